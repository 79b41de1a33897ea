"""Runs that lie under another name than is asked for now: what to rename, where that makes them complete."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbstudy.checks import StudyError
from nbstudy.files import read_record
from nbstudy.records.record import read_run
from nbstudy.records.runs import Task, made_in


def renamed_runs(missing: Iterable[Task], extras: Iterable[str], outputs: Path) -> dict[str, str]:
    """Return which missing configuration each extra run would be if its directory had that name.

    Those that would be none are left out.
    """
    tasks = [task for task in missing if not task.place.exists()]
    waiting = {key_of(task.parameters, task): task for task in reversed(tasks)}  # the first of equal ones
    renamed = {}
    for extra in extras:
        with suppress(StudyError):  # a newer version wrote it
            run = read_run(outputs / extra)
            if not run or not waiting:
                continue
            key = key_of(run["parameters"], tasks[0])
            if key in waiting and is_as_asked(waiting[key], outputs / extra):
                renamed[extra] = waiting.pop(key).name
    return renamed


def key_of(parameters: dict[str, Any], task: Task) -> str:
    """Return a text that is the same for parameters that are equal but for the one that lengthens a run.

    They are those of the task's template, whose defaults count where one is not said.
    """
    defaults = task.context.template.defaults
    own = {name: parameters.get(name, default) for name, default in defaults.items()}
    own.pop(task.context.lengthens or "", None)
    return json.dumps(own, sort_keys=True)


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
    if key_of(run["parameters"], task) != key_of(
        task.parameters, task
    ):  # first, since there may be very many tasks
        return False
    return made_in(task, directory).is_current
