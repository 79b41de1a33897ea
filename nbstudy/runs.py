"""What lies in a study's outputs: the state of every configuration, read from the file system alone.

A run is complete when it lies in its final place, outputs/<study>/<configuration>/, and was made with today's
parameters and code. Attempts that are running, interrupted or failed lie in incomplete/<configuration>/<number>/.
Nothing is written here; attempts.py does that.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import click

from nbstudy.checks import fail
from nbstudy.files import hash_of, read_json, read_record
from nbstudy.lease import Lease
from nbstudy.study import Study
from nbstudy.template import Template

CHECKPOINT = "model.keras"  # what a run resumes from
HISTORY = "history.csv"  # a row an epoch
FIELDS: dict[str, Any] = {  # of run.json, without which a run is not known
    "parameters": dict,
    "code": str,
    "started": str,
    "seconds": float,
    "attempts": int,
    "finished": bool,
    "error": str | None,
    "flops": float,
    "cores": int,
}


class State(StrEnum):
    """What is on disk for a configuration; the first that fits."""

    COMPLETE = "complete"  # in its place, made with today's parameters and code
    UNFINISHED = "unfinished"  # attempts made with today's parameters and code: interrupted, or failed
    STALE = "stale"  # in its place, but made with other parameters or code, or damaged
    MISSING = "missing"  # nothing that can be used

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to run."""
        return self is State.COMPLETE


@dataclass(frozen=True)
class Finding:
    """The state of a configuration, and what is left to do."""

    state: State
    reason: str = ""  # why it is not complete
    left: float = 1.0  # the share of its epochs that is left to train

    @property
    def beginning(self) -> str:
        """Say how the next attempt begins."""
        beginning = "started"
        if self.left < 1:
            beginning = "resumes"
        if self.reason:
            beginning += f" ({self.reason})"
        return beginning


@dataclass(frozen=True)
class Context:
    """What all runs of one command have in common."""

    template: Template
    lengthens: str | None  # the parameter whose increase continues a finished run
    prepare: tuple[str, str] | None  # file and text of the notebook that a host executes before its first run
    lease: Lease
    timeout: float | None = None  # minutes that an attempt may take
    versions: dict[str, str] | None = None  # of the libraries that another host must have


@dataclass(frozen=True)
class Task:
    """One configuration to run, with all that a worker needs for it."""

    name: str
    parameters: dict[str, Any]
    flops: float  # of the whole run
    context: Context

    @property
    def place(self) -> Path:
        """Where the complete run lies."""
        return self.context.lease.outputs / self.name

    @property
    def incomplete(self) -> Path:
        """Where the attempts lie that are running, interrupted or failed."""
        return self.context.lease.outputs / "incomplete" / self.name

    @property
    def epochs(self) -> int | None:
        """The epochs that are asked for, None where the template does not say which parameter that is."""
        return self.parameters.get(self.context.lengthens or "")

    def attempts(self) -> list[Path]:
        """Return the directories of the attempts, oldest first."""
        return attempts_in(self.incomplete)

    def is_awaited(self, attempt: Path) -> bool:
        """Tell whether the runner still waits for an attempt: it holds the study, and none is newer."""
        with suppress(OSError):
            return self.context.lease.is_held() and self.attempts()[-1:] == [attempt]
        return True


def tasks_of(study: Study, context: Context) -> dict[str, Task]:
    """Return a task for each configuration of a study, by name."""
    return {
        name: Task(name, parameters, study.flops[name], context)
        for name, parameters in study.configurations.items()
    }


# --- what a directory holds ---
def attempts_in(incomplete: Path) -> list[Path]:
    """Return the directories of a configuration's attempts, oldest first."""
    attempts = [path for path in incomplete.glob("*") if path.name.isdecimal()]
    return sorted(attempts, key=lambda path: int(path.name))


def read_run(directory: Path) -> dict[str, Any]:
    """Return what run.json says of a run or an attempt, empty where it is missing or damaged."""
    run = read_record(directory / "run.json")
    for field, kind in FIELDS.items():
        if not isinstance(run.get(field, ...), kind):
            return {}
    return run


def read_history(directory: Path) -> list[dict[str, str]]:
    """Return the rows of a run's history, one an epoch; none where there is no history."""
    with suppress(OSError, csv.Error, ValueError):
        return list(csv.DictReader((directory / HISTORY).read_text().splitlines()))
    return []


def damaged_files(directory: Path, run: dict[str, Any]) -> list[str]:
    """Return the files of a complete run that are not as they were; a log may have been saved again."""
    return [name for name, digest in run.get("files", {}).items() if not is_intact(directory / name, digest)]


def is_intact(file: Path, digest: str) -> bool:
    """Tell whether a file is as its hash says, or is a notebook with cells."""
    with suppress(OSError):
        return hash_of(file.read_bytes()) == digest or bool(read_json(file).get("cells"))
    return False


def is_whole(checkpoint: Path) -> bool:
    """Tell whether a checkpoint is there and its content is what was written."""
    with suppress(Exception):  # a damaged archive shows in many ways
        return zipfile.ZipFile(checkpoint).testzip() is None
    return False


def describe_progress(directory: Path) -> str:
    """Say how many epochs a run has, its last loss, and whether it diverged."""
    history = read_history(directory)
    words = [f"{len(history)} epochs"]
    for metric in ("val_loss", "loss"):
        if history and metric in history[-1]:
            words.append(f"{metric} {history[-1][metric]:.7}")
            break
    diverged = read_json(directory / "result.json").get("diverged")
    if diverged:
        words.append(f"diverged at epoch {diverged}")
    return ", ".join(words)


def extras(names: Collection[str], outputs: Path) -> list[str]:
    """Return the names of runs on disk that the study does not have."""
    found = {path.parent.name for path in outputs.glob("*/run.json")}
    found |= {path.parent.parent.name for path in outputs.glob("incomplete/*/*/run.json")}
    return sorted(found.difference(names))


# --- what it means for a configuration ---
def find(task: Task) -> Finding:
    """Find what is on disk for a configuration."""
    run = read_run(task.place)
    changes = differences(task, task.place)
    changes += [f"{name} is damaged" for name in damaged_files(task.place, run)]
    if run and not changes:
        return Finding(State.COMPLETE, left=0.0)

    start = resume_point(task)
    resumes = start is not None and task.epochs is not None and is_whole(start / CHECKPOINT)
    finished = len(read_history(start or task.place))
    left = 1.0
    if resumes and task.epochs:
        left = max(0.0, 1 - finished / task.epochs)

    if start is not None and start != task.place:
        reason = read_run(start)["error"] or f"interrupted at epoch {finished}"
        return Finding(State.UNFINISHED, reason, left)
    if not run and task.place.exists():
        return Finding(State.STALE, "run.json is damaged")
    if not run:
        return Finding(State.MISSING)
    if resumes:
        changes.append(f"resumes after epoch {finished}")
    else:
        changes.append(starting_over(start))
    return Finding(State.STALE, ", ".join(changes), left)


def starting_over(start: Path | None) -> str:
    """Say that a run starts over, and what is wrong with the checkpoint that it could have resumed from."""
    if start is None:
        return "starts over"
    if (start / CHECKPOINT).exists():
        return f"starts over: {CHECKPOINT} is damaged"
    return f"starts over: {CHECKPOINT} is not here"


def differences(task: Task, directory: Path, may_grow: bool = False) -> list[str]:
    """Say what a run was made with that is not today's; with `may_grow`, the epochs may have been fewer."""
    run = read_run(directory)
    template = task.context.template
    was = template.defaults | run.get("parameters", {})
    changes = changed_parameters(task.parameters, was)
    grown = task.context.lengthens
    if may_grow and grown in changes and was[grown] < task.parameters[grown]:
        del changes[grown]
    words = list(changes.values())
    if not template.is_same_code(run.get("code", ""), directory / f"{task.name}.ipynb"):
        words.append(f"{template.file} changed")
    return words


def changed_parameters(asked: dict[str, Any], was: dict[str, Any]) -> dict[str, str]:
    """Say of each parameter that is not as asked what it was and what it is, as in "l2 0.001 -> 0.005"."""
    return {
        name: f"{name} {was.get(name)} -> {value}" for name, value in asked.items() if was.get(name) != value
    }


def resume_point(task: Task) -> Path | None:
    """Return the newest directory that the next attempt can resume from, with a whole checkpoint if any."""
    usable = []
    for directory in [*reversed(task.attempts()), task.place]:
        run = read_run(directory)
        if not run or differences(task, directory, may_grow=True):
            continue
        if HISTORY not in damaged_files(directory, run):
            usable.append(directory)
    for directory in usable:
        if is_whole(directory / CHECKPOINT):
            return directory
    if usable:
        return usable[0]
    return None


# --- what must not be overwritten ---
def check_outputs(study: Study, outputs: Path, named: bool) -> None:
    """Refuse to write where another study's runs lie, or where a directory named by hand holds other things."""
    record = outputs / "study.json"
    there = read_record(record)
    if record.exists() and not there:
        click.echo(f"{record} is damaged: running writes it anew")
    if there and (there.get("name"), there.get("overrides")) != (study.name, study.overrides):
        fail(str(outputs), "holds another study or other overrides; name another directory")
    found: set[str] = set()
    try:
        if outputs.exists():
            found = {path.name for path in outputs.iterdir()}
    except OSError as error:
        fail(str(outputs), f"cannot hold runs: {error.strerror}; name a directory")
    if named and found - {".lock"} and "study.json" not in found:
        fail(str(outputs), "holds other things and no study.json; name a new or an empty directory")


def check_place(task: Task) -> None:
    """Refuse to replace a directory that is no run."""
    traces = (task.place / "run.json", task.place / f"{task.name}.ipynb")
    if task.place.exists() and not any(trace.exists() for trace in traces):
        fail(str(task.place), "is in the way and holds no run; move it, or rename the configuration")
