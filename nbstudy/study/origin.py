"""Where runs come from: their study, and the command that runs them again.

No path of this machine is in it: all begin in the project.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nbstudy.study.project import is_within
from nbstudy.study.study import Study

ELSEWHERE = "DIR"  # stands for outputs that lie outside of the project


@dataclass(frozen=True)
class Origin:
    """What all runs of one command come from."""

    study: str  # its name
    command: tuple[str, ...]  # words of a command line, in the directory of the project
    summary: str | None  # the name of the study's summary in its outputs
    outputs: str  # their directory


def origin_of(
    study: Study, file: Path, overrides: Iterable[tuple[str, str]], outputs: Path, is_named: bool
) -> Origin:
    """Return where the runs of a command come from: the study's file, `-p` and `--outputs` as they were given.

    The outputs are named where the command names them.
    """
    root = study.project.root
    command = ["nbstudy"]
    if (root / "runner.py").is_file():
        command = ["python", "runner.py"]
    command.append(within_project(file, root) or file.name)
    for name, value in overrides:
        command += ["-p", name, value]
    place = within_project(outputs, root) or ELSEWHERE
    if is_named:
        command += ["--outputs", place]
    summary = None
    if "summary" in study.notebooks:
        summary = study.log_of("summary")
    return Origin(study.name, tuple(command), summary, place)


def within_project(path: Path, root: Path) -> str:
    """Return a path as it begins in a project, empty where it lies outside."""
    there = os.path.relpath(path.absolute(), root)
    if not is_within(there):
        return ""
    return Path(there).as_posix()
