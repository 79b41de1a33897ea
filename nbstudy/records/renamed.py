"""Runs that lie under another name than is asked for now: what to rename, where that makes them complete."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from nbstudy.checks import StudyError
from nbstudy.files import read_record
from nbstudy.records.runs import Task, made_in, read_run


def renamed_runs(missing: Iterable[Task], extras: Iterable[str], outputs: Path) -> dict[str, str]:
    """Return which missing configuration each extra run would be if its directory had that name.

    Those that would be none are left out.
    """
    waiting = list(missing)
    renamed = {}
    for extra in extras:
        for task in waiting:
            if not task.place.exists() and is_as_asked(task, outputs / extra):
                renamed[extra] = task.name
                waiting.remove(task)
                break
    return renamed


def renamed_study(
    tasks: Iterable[Task], outputs: Path, file: Path, overrides: object
) -> tuple[Path, Path] | None:
    """Return the outputs beside these that hold runs of the same study, and the study file that is gone.

    None where there are no such outputs, or there is a study of these already.
    """
    if (outputs / "study.json").exists():
        return None
    asked = list(tasks)
    for path in sorted(outputs.parent.glob("*/study.json")):
        with suppress(StudyError):  # a newer version wrote it: what concerns another study stops none
            record = read_record(path)
            earlier = file.with_name(f"{record.get('name')}{file.suffix}")
            if earlier.exists() or record.get("overrides") != overrides:
                continue
            if any(is_as_asked(task, path.parent / task.name) for task in asked):
                return path.parent, earlier
    return None


def is_as_asked(task: Task, directory: Path) -> bool:
    """Tell whether a directory holds a run that would be complete in the place of a task."""
    run = read_run(directory)
    if not run:
        return False
    made_with = task.context.template.defaults | run["parameters"]
    for name, value in task.parameters.items():  # first, since there may be very many tasks
        if name != task.context.lengthens and made_with.get(name) != value:
            return False
    return made_in(task, directory).is_current
