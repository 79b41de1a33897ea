"""Tasks of tiny.ipynb, and what their runs and attempts leave, planted without a runner.

Helpers only: the fixtures are in records/conftest.py.
"""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from nbstudy.records import attempts
from nbstudy.records.runs import Task
from nbstudy.study.template import hash_of_code
from project import TINY_STUDY

FAILING_STUDY = TINY_STUDY + "  bad: {steps: 9, text: fail}\n"


def with_steps(task: Task, steps: int) -> Task:
    """Return the task with another number of steps."""
    return replace(task, parameters=task.parameters | {"steps": steps})


def with_modules(task: Task, modules: dict[str, str]) -> Task:
    """Return the task with modules beside its template: source by path."""
    template = replace(task.context.template, modules=modules, same_code={task.context.template.hash: True})
    return replace(task, context=replace(task.context, template=template))


def with_code(task: Task, *cells: str) -> Task:
    """Return the task with another template, of these cells."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in cells])
    same_code = {hash_of_code(cells): True}
    template = replace(
        task.context.template, cells=list(cells), text=nbformat.writes(notebook), same_code=same_code
    )
    return replace(task, context=replace(task.context, template=template))


def write_history(directory: Path, epochs: int) -> None:
    """Leave a history with so many epochs."""
    lines = ["epoch,val_loss", *(f"{epoch},{1 / epoch}" for epoch in range(1, epochs + 1))]
    (directory / "history.csv").write_text("\n".join(lines) + "\n")


def write_archive(path: Path) -> None:
    """Leave a whole checkpoint that is an archive."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights", b"0123456789" * 99)


def begin(
    task: Task, epochs: int, checkpoint: bool = True, environment: dict[str, str] | None = None
) -> Path:
    """Begin an attempt that gets so far and is killed there."""
    attempt = attempts.begin_attempt(task, cores=1, environment=environment or {})
    write_history(attempt, epochs)
    if checkpoint:
        write_archive(attempt / task.context.checkpoint)
    return attempt


def complete_run(task: Task) -> Path:
    """Run a task to its end; return the place of its result."""
    attempt = begin(task, task.parameters["steps"])
    attempts.finish_attempt(attempt, 5.0, None, None)
    attempts.promote(task, attempt)
    return task.place


def names_in(directory: Path) -> set[str]:
    """Return the names of what lies in a directory."""
    return {path.name for path in directory.iterdir()}


def with_threads(task: Task, threads: int) -> Task:
    """Return the task with another number of threads."""
    return replace(task, context=replace(task.context, threads=threads))
