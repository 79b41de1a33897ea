"""What a watch notes of a project's files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from nbstudy.execution.kernel import temporary_directory
from nbstudy.execution.watch import Watch

NOTES = "notes"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with code and data."""
    root = tmp_path / "project"
    for path in ("src/helper.py", "src/table.csv", "data/houses.csv"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("value = 1\n")
    return root


def watch(project: Path) -> Watch:
    """Return a watch whose notes have a place, which is told of files as Python's audit hook is."""
    watched = Watch(str(project), str(project / "outputs"))
    watched.write_to(str(project.parent / NOTES), str(project / "modules"))
    return watched


def read(watched: Watch, path: Path) -> None:
    """Tell a watch that a file is about to be read."""
    watched.see("open", (str(path), "r", os.O_RDONLY))


def noted(project: Path) -> list[dict[str, Any]]:
    """Return the notes."""
    return [json.loads(line) for line in (project.parent / NOTES).read_text().splitlines()]


def test_directories_of_kernels_are_not_the_project_s(project: Path) -> None:
    with temporary_directory(project) as private:
        (private / "modules").mkdir()
        (private / "modules" / "helper.py").touch()
        (private / "modules" / "table.csv").symlink_to(project / "src" / "table.csv")
        (private / "watch.py").touch()
        watched = Watch(str(project), str(project / "outputs"))
        read(watched, private / "watch.py")
        watched.write_to(str(project.parent / NOTES), str(private / "modules"))
        read(watched, private / "modules" / "helper.py")
        read(watched, private / "modules" / "table.csv")
    assert [note["path"] for note in noted(project)] == ["src/table.csv"]
