"""Put the head on the log of an attempt that has ended, from what it left."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from nbstudy.decision.metrics import Data, Metric, data_of, deciding, metric_called
from nbstudy.execution.head import Facts, head_of
from nbstudy.execution.log import failed_cell, put_head
from nbstudy.files import read_json
from nbstudy.numbers import is_number
from nbstudy.records.history import History, read_history
from nbstudy.records.metrics import NO_NUMBERS
from nbstudy.records.progress import describe_early_end
from nbstudy.records.record import read_run
from nbstudy.records.runs import Task
from nbstudy.records.settled import settled_metrics
from nbstudy.study.configurations import REFIT


def write_head(task: Task, attempt: Path) -> None:
    """Put the head on the log of an attempt that has ended, in place of one that it has, as far as the disk allows."""
    log = attempt / f"{task.name}.ipynb"
    run = read_run(attempt)
    if run and read_json(log).get("cells"):
        with suppress(OSError):
            put_head(log, head_of(facts_of(task, attempt, run)))


def facts_of(task: Task, attempt: Path, run: dict[str, Any]) -> Facts:
    """Return what the head of an attempt's log tells, by its run.json and the other files that it left."""
    history = read_history(attempt, run)
    result = read_json(attempt / "result.json")
    judged_by = judging(task, history)
    decides = None
    if judged_by is not None:
        decides = judged_by.name
    numbers = {}
    if not history.metrics:
        numbers = {
            name: value
            for name, value in result.items()
            if is_number(value) and name not in NO_NUMBERS - {"weights"}
        }
    told = {name: value for name in ("data", "device") if isinstance(value := result.get(name), str)}
    failed_in = ""
    if run["error"]:
        failed_in = failed_cell(attempt / f"{task.name}.ipynb")
    return Facts(
        name=task.name,
        template=task.context.template.file,
        defaults=task.context.template.defaults,
        run=run,
        origin=task.context.origin,
        selects=task.tested is None,
        epochs=history.epochs,
        early_end=describe_early_end(result),
        data=told.get("data", ""),
        device=told.get("device", ""),
        judged_by=judged_by,
        metrics=settled_metrics(history, decides),
        numbers=numbers,
        failed_in=failed_in,
        summary=path_to_summary(task, has_failed=bool(run["error"])),
    )


def judging(task: Task, history: History) -> Metric | None:
    """Return the metric of its history that a run is judged by; None where it has none, or is not judged by one.

    A final run that learned from the validation data is not, nor is what was measured on training data.
    """
    if task.parameters.get(REFIT) is True or task.tested is not None:
        return None
    name = task.context.metric or deciding(history.metrics)
    if name not in history.metrics or data_of(name) is Data.TRAINING:
        return None
    return metric_called(name, task.context.better)


def path_to_summary(task: Task, has_failed: bool) -> str:
    """Return the path from a log to the study's summary: from a run's final place, or from an attempt's if it failed."""
    origin = task.context.origin
    if origin is None or origin.summary is None:
        return ""
    if has_failed:
        return f"../../../{origin.summary}"
    return f"../{origin.summary}"
