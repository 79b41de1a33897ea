"""What lies in a study's outputs: the state of every configuration, read from the file system alone.

A run is complete when it lies in its final place, outputs/<study>/<configuration>/, and was made with today's
parameters and code. Attempts that are running, interrupted or failed lie in incomplete/<configuration>/<number>/.
Nothing is written here; attempts.py does that.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from nbstudy.decision.metrics import Better
from nbstudy.files import (
    CHECKPOINT,
    HISTORY,
    has_hash,
    hash_of,
    is_in_git,
    read_object,
)
from nbstudy.numbers import is_number
from nbstudy.records.history import History, read_history
from nbstudy.records.inputs import changed_files
from nbstudy.records.intact import IntactFiles, is_intact
from nbstudy.records.lease import Lease
from nbstudy.records.progress import describe_early_end, ended_after
from nbstudy.records.record import (
    MODULES,
    attempts_in,
    is_there,
    log_of,
    read_run,
    record_of,
    told_by_log,
)
from nbstudy.records.seen import Seen
from nbstudy.records.states import Asked, Made, State, changed_threads, compare, decide
from nbstudy.study.inputs import ProjectFiles
from nbstudy.study.modules import hashes_of
from nbstudy.study.origin import Origin
from nbstudy.study.project import Project
from nbstudy.study.study import Preparation, Study
from nbstudy.study.template import Template, says_the_same

ARCHIVES = {".keras", ".zip", ".npz"}  # the checkpoints that can be told whole by their content


@dataclass(frozen=True)
class Finding:
    """The state of a configuration, and what is left to do."""

    state: State
    reason: str = ""  # why it is not complete
    left: float = 1.0  # the share of its epochs that is left to train
    resumes: bool = False  # whether the next attempt begins with a checkpoint
    replaces: bool = False  # whether a complete run will go to make room for it
    can_be_accepted: bool = False  # whether that run can be taken as current instead

    @property
    def beginning(self) -> str:
        """Say how the next attempt begins."""
        beginning = "started"
        if self.resumes:
            beginning = "resumes"
        if self.reason:
            beginning += f" ({self.reason})"
        return beginning


@dataclass(frozen=True)
class Context:
    """What all runs of one command have in common."""

    template: Template
    lengthens: str | None  # the parameter whose increase continues a finished run
    prepare: Preparation | None  # that a host executes before its first run
    lease: Lease
    timeout: float | None = None  # minutes that an attempt may take
    versions: dict[str, str] | None = None  # of the libraries that another host must have
    checkpoint: str = CHECKPOINT  # the file that a run resumes from
    threads: int = 1  # that a run computes with
    metric: str | None = None  # that decides, where the study file says it
    project: Project | None = None  # which a run can find its data and modules in
    files: ProjectFiles = field(default_factory=ProjectFiles)  # of it, that runs read
    better: Better | None = None  # which values of the metric are, where the study file says it
    origin: Origin | None = None  # that their logs tell of
    intact: IntactFiles = field(default_factory=IntactFiles)  # of what runs left
    seen: Seen = field(default_factory=Seen)  # of the same, by this command


@dataclass(frozen=True)
class Task:
    """One configuration to run, with all that a worker needs for it."""

    name: str
    parameters: dict[str, Any]
    flops: float  # of the whole run
    context: Context
    may_be_longer: bool = False  # whether a run with more epochs than are asked for is complete, too
    tested: str | None = None  # the run that it tests, of the notebook that opens the test set: see tested.py
    weights: str | None = None  # a hash of what it tests of that

    @property
    def place(self) -> Path:
        """Where the complete run lies."""
        return self.context.lease.outputs / self.name

    @property
    def incomplete(self) -> Path:
        """Where the attempts lie that are running, interrupted or failed."""
        return self.context.lease.outputs / "incomplete" / self.name

    @property
    def epochs(self) -> float | None:
        """The epochs that are asked for, None where the template does not say which parameter that is."""
        asked = self.parameters.get(self.context.lengthens or "")
        if is_number(asked):
            return asked
        return None

    @property
    def asked(self) -> Asked:
        """What is asked of it now."""
        context = self.context
        return Asked(
            self.parameters,
            context.template.defaults,
            context.lengthens,
            context.threads,
            self.may_be_longer,
        )

    def attempts(self) -> list[Path]:
        """Return the directories of the attempts, oldest first."""
        return attempts_in(self.incomplete)

    def is_awaited(self, attempt: Path) -> bool:
        """Tell whether the runner still waits for an attempt: it holds the study, and none is newer or complete.

        The directory of the attempt itself may be gone: its template may have removed it.
        """
        with suppress(OSError):
            newer = [each for each in self.attempts() if int(each.name) > int(attempt.name)]
            return self.context.lease.is_held() and self.incomplete.exists() and not newer
        return True


def tasks_of(study: Study, context: Context) -> dict[str, Task]:
    """Return a task for each configuration of a study, by name."""
    return {
        name: Task(name, parameters, study.flops[name], context, may_be_longer=study.climbs(name))
        for name, parameters in study.configurations.items()
    }


# --- what a directory holds ---
def history_of(directory: Path) -> History:
    """Return what the history.csv of a run or an attempt says."""
    return read_history(directory, read_run(directory))


def damaged_files(
    directory: Path,
    run: dict[str, Any],
    files: Collection[str] | None = None,
    is_intact: Callable[[Path, str], bool] = is_intact,
) -> list[str]:
    """Return the files of a complete run, or those of some, that are not as they were; a log may have been saved again.

    What git and editors do to line ends is no damage. A history without a hash is damaged where it is empty.
    """
    hashes = run.get("files", {})
    damaged = []
    for name, digest in hashes.items():
        if (files is None or name in files) and not is_intact(directory / name, digest):
            damaged.append(name)
    has_succeeded = run.get("finished") and not run["error"]
    if HISTORY not in hashes and has_succeeded and is_empty(directory / HISTORY):
        damaged.append(HISTORY)
    return damaged


def is_empty(file: Path) -> bool:
    """Tell whether a file is there and holds nothing, as a power loss may leave it."""
    with suppress(OSError):
        return file.is_file() and not file.stat().st_size
    return False


def is_lost(history: Path) -> bool:
    """Tell whether a history is there and says nothing: what was trained beside it cannot be gone on from."""
    return history.exists() and not history_of(history.parent).epochs


def is_whole(checkpoint: Path) -> bool:
    """Tell whether a checkpoint is there and its content is what was written.

    An archive (by its name, or by its first bytes) is read through. Of any other file nobody but its template knows
    the content: it counts as whole if it is not empty, since a template replaces its checkpoint in one step.
    """
    import zipfile  # which a command with nothing to do can spare

    with suppress(Exception):  # a damaged archive shows in many ways
        with checkpoint.open("rb") as file:
            first_bytes = file.read(2)
        if first_bytes != b"PK" and checkpoint.suffix not in ARCHIVES:
            return bool(first_bytes)
        with zipfile.ZipFile(checkpoint) as archive:
            return archive.testzip() is None
    return False


def why_incomplete(task: Task, attempt: Path) -> str | None:
    """Say what an attempt lacks that ran to its end without an error, None if it is complete.

    result.json, where there is one, holds a JSON object. A history, where there is one, can be read; it is as long as
    it was asked to be, or result.json says why it is not.
    """
    file = attempt / "result.json"
    result = read_object(file)
    if result is None and file.exists():
        return "result.json is not a JSON object; write one with json.dump({...})"
    history = history_of(attempt)
    if history.fault:
        return history.fault
    if task.epochs is None or history.epochs >= task.epochs or describe_early_end(result or {}):
        return None
    return (
        f"{HISTORY} has {history.epochs} of {task.epochs} epochs, and result.json does not say why "
        "(`diverged` or `ended`)"
    )


def extras(names: Collection[str], outputs: Path) -> list[str]:
    """Return the names of runs on disk that the study does not have."""
    found = {path.parent.name for path in outputs.glob("*/run.json")}
    found |= {path.parent.parent.name for path in outputs.glob("incomplete/*/*/run.json")}
    return sorted(found.difference(names))


# --- what it means for a configuration ---
def find(task: Task) -> Finding:
    """Find what is on disk for a configuration."""
    place = made_in(task, task.place)
    if not place.is_current:
        place = left_by_promotion(task, place)
    state, decisive = decide(place, made_in_attempts(task))
    if state.is_done:
        reason = ""
        if place.directory != task.place:
            reason = f"lies in {place.directory.as_posix()}, and is put in its place at the next start"
        return Finding(state, reason, left=0.0)

    usable = usable_directories(task)
    start = resume_point(task, usable)
    replaces = is_there(place.directory) and not goes_on_from_place(task, start)
    finding = partial(Finding, state, replaces=replaces, can_be_accepted=can_be_accepted(task, place))
    left = 1.0
    beginning = starting_over(task, usable)
    if start is not None:
        finished = history_of(start).epochs
        beginning = f"resumes after epoch {finished}"
        if task.epochs:
            left = max(0.0, 1 - finished / task.epochs)

    if state is State.UNFINISHED:
        reason = decisive.run["error"] or interrupt(decisive.directory)
        if start is None:
            reason += f", {beginning}"
        return finding(reason, left, start is not None)
    if not place.run:
        reasons = [*place.outdated.values(), *cure_of_damage(place), *unknown_attempt(task)]
        return finding(", ".join(reasons))
    damages = [f"{name} is damaged" for name in place.damaged]
    reason = ", ".join([*place.outdated.values(), *damages, *cure_of_damage(place), beginning])
    return finding(reason, left, start is not None)


def goes_on_from_place(task: Task, start: Path | None) -> bool:
    """Tell whether an attempt that begins so goes on from the run in its place, which is then a part of it."""
    return start is not None and (start == task.place or read_run(start).get("continued", False))


def can_be_accepted(task: Task, place: Made) -> bool:
    """Tell whether nothing but code, files or threads keeps the run in its place from being current."""
    if not place.run or place.damaged:  # run.json among them, where the run is told by its log
        return False
    changes = changed_threads(task.asked, place.run) | changed_code(task, place.directory, place.run)
    return bool(changes) and place.outdated == changes


def unknown_attempt(task: Task) -> list[str]:
    """Name the newest attempt where nothing says any more what made it; empty where that is known, or there is none."""
    for attempt in task.attempts()[-1:]:
        if is_there(attempt) and not record_of(task.name, attempt):
            files = f"run.json and {task.name}.ipynb"
            return [
                f"starts over: {files} in {attempt.as_posix()} are damaged, and nothing says what made it"
            ]
    return []


def cure_of_damage(place: Made) -> list[str]:
    """Say how git brings back what is damaged of a run, as far as it was committed; nothing outside of a work tree."""
    damaged = [*place.damaged]
    if not place.run and place.directory.exists():
        damaged = ["run.json"]
    if not damaged or not is_in_git(place.directory):
        return []
    files = " ".join(shlex.quote((place.directory / name).as_posix()) for name in damaged)
    return [f"if it was committed `git restore {files}` brings it back"]


def left_by_promotion(task: Task, place: Made) -> Made:
    """Return the complete run where a promotion that was cut short left it, else what is in its place."""
    attempts = task.attempts()
    if attempts and can_be_promoted(task, attempts[-1]):
        return made_in(task, attempts[-1])
    replaced = task.incomplete / "replaced"
    if replaced.exists() and not is_there(task.place):
        return made_in(task, replaced)
    return place


def can_be_promoted(task: Task, attempt: Path) -> bool:
    """Tell whether an attempt is complete, and was made with today's parameters and code."""
    run = read_run(attempt)
    if not run.get("finished") or run["error"] or differences(task, attempt):
        return False
    return why_incomplete(task, attempt) is None


def made_in(task: Task, directory: Path) -> Made:
    """Return what lies in a directory of a configuration, beside what is asked for now."""
    run = read_run(directory)
    is_told_by_log = not run
    if is_told_by_log:
        run = told_by_log(directory / f"{task.name}.ipynb")
    damaged = damaged_files(directory, run, is_intact=task.context.intact.is_intact)
    if run and is_told_by_log:
        damaged.append("run.json")
        is_attempt = directory.parent == task.incomplete
        if not is_attempt and is_short(directory, run.get("parameters", {}).get(task.context.lengthens)):
            damaged.append(HISTORY)
    return compare(
        task.asked,
        directory,
        run,
        changed_code(task, directory, run),
        damaged,
        ended_after,
    )


def is_short(directory: Path, epochs: Any) -> bool:
    """Tell whether a history that is there has fewer epochs than a run was made with, and no result says why."""
    if not (directory / HISTORY).exists() or ended_after(directory) is not None:
        return False
    found = history_of(directory).epochs
    return not found or (is_number(epochs) and found < epochs)


def made_in_attempts(task: Task) -> Iterator[Made]:
    """Yield what lies in the attempts of a configuration, the newest first."""
    for attempt in reversed(task.attempts()):
        yield made_in(task, attempt)


def usable_directories(task: Task) -> list[Path]:
    """Return what was made as is asked now, but for its length: attempts, newest first, then what is in its place."""
    made = [*made_in_attempts(task), made_in(task, task.place)]
    return [each.directory for each in made if each.is_usable]


def resume_point(task: Task, usable: list[Path]) -> Path | None:
    """Return the newest of these directories that has a whole checkpoint: what the next attempt begins with."""
    if usable and was_in_vain(task, usable[0]):
        return None
    for directory in usable:
        if is_whole(directory / task.context.checkpoint) and not is_lost(directory / HISTORY):
            return directory
    return None


def was_in_vain(task: Task, attempt: Path) -> bool:
    """Tell whether an attempt resumed, added nothing, and lacks epochs: its history had lost what its checkpoint has."""
    run = read_run(attempt)
    before = run.get("resumed_after")
    if not before or not run["error"] or run["error"] != why_incomplete(task, attempt):
        return False
    return history_of(attempt).epochs <= int(before)


def interrupt(attempt: Path) -> str:
    """Say how far an attempt came that did not end by itself."""
    epochs = history_of(attempt).epochs
    if epochs:
        return f"interrupted at epoch {epochs}"
    return "interrupted"


def starting_over(task: Task, usable: list[Path]) -> str:
    """Say that a run starts over, and what is wrong with the checkpoint that it could have resumed from."""
    checkpoint = task.context.checkpoint
    if not usable or task.context.lengthens is None:
        return "starts over"
    if is_whole(usable[0] / checkpoint):
        return f"starts over: {HISTORY} is damaged"
    if (usable[0] / checkpoint).exists():
        return f"starts over: {checkpoint} is damaged"
    return f"starts over: {checkpoint} is not here"


def differences(task: Task, directory: Path) -> list[str]:
    """Say what a run was made with that is not today's, so that it is stale."""
    return [*made_in(task, directory).outdated.values()]


def changed_code(task: Task, directory: Path, run: dict[str, Any]) -> dict[str, str]:
    """Say by file whether the template, the modules that it imports, or other files that it read, are not a run's."""
    if not run:
        return {}
    template = task.context.template
    changes = {}
    made_before = run.get("accepted", [])  # what it was made with before something else was accepted
    if template.hash not in made_before and not template.is_same_code(
        run["code"], log_of(task.name, directory, run)
    ):
        changes[template.file] = f"{template.file} changed"
    hashes, today = run.get("modules", {}), hashes_of(template.modules)
    for path in sorted(template.modules.keys() | hashes.keys()):
        if f"{path} {today.get(path, 'none')}" in made_before:
            continue
        if not is_same_module(template, path, hashes.get(path, ""), directory):
            changes[path] = f"{path} changed"
    return changes | changed_files(directory, run, task.context.files, template)


def is_same_module(template: Template, path: str, digest: str, directory: Path) -> bool:
    """Tell whether a run had a module with this hash that is the template's, but for comments and spacing.

    A copy of it that is gone or holds other code than the hash names says nothing of the other runs.
    """
    source = template.modules.get(path)
    if source is None:
        return False
    if hash_of(source) == digest:
        return True
    known = template.same_code
    key = f"{path} {digest}"
    if key not in known and has_hash(source.encode(), digest):
        known[key] = True
    if key not in known:
        with suppress(OSError, UnicodeDecodeError):
            was = (directory / MODULES / path).read_bytes()
            if has_hash(was, digest):
                known[key] = says_the_same([was.decode()], [source])
    return known.get(key, False)
