"""What one run left, read from its files: run.json, result.json and history.csv.

Files of runs may be damaged in any way: what cannot be read counts as missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from nbstudy.files import CHECKPOINT, HISTORY, object_in
from nbstudy.numbers import as_count, finite, is_number
from nbstudy.records import inputs
from nbstudy.records.histories import read_histories
from nbstudy.records.history import History
from nbstudy.records.inputs import key_of
from nbstudy.records.intact import is_as_hashed
from nbstudy.records.metrics import NO_NUMBERS
from nbstudy.records.progress import ended_after
from nbstudy.records.record import attempts_in, is_there, read_run, told_by_log
from nbstudy.records.replaced import replaced_in
from nbstudy.records.runs import damaged_files
from nbstudy.records.states import Asked, Made, State, compare, decide, threads_of

RESULT = "result.json"
READ = (HISTORY, RESULT)  # the files of a run that numbers are read from
Kind = TypeVar("Kind")


@dataclass(frozen=True, eq=False)
class Run:
    """What there is of a configuration: its complete run, else its newest usable attempt, else a stale run."""

    name: str
    directory: Path
    state: State
    changes: dict[str, str]  # by parameter or file: what is not as the study asks, as in "l2 0.001 -> 0.005"
    parameters: dict[str, Any]  # those that the study asks for
    record: dict[str, Any]  # run.json
    result: dict[str, Any]  # result.json
    written: History  # history.csv, which tells what was not measured from what is not finite
    checkpoint: (
        Path  # the file that its template resumes from, model.keras where it does not say; it may be gone
    )
    note: str  # what the author of the study notes of it
    earlier: Run | None = (
        None  # of an attempt: the complete run that it will replace, as asked but for its length
    )

    @cached_property
    def history(self) -> pd.DataFrame:
        """The history, a row an epoch, from 1, and a column a metric; NaN where it was not measured or is not finite."""
        index = pd.RangeIndex(1, self.epochs + 1, name="epoch")
        history = pd.DataFrame(dict(self.written.metrics), index=index, dtype=float)
        return history.where(history.abs() < math.inf)

    @property
    def epochs(self) -> int:
        """How many it has, as its history tells."""
        return self.written.epochs

    @property
    def curves(self) -> Mapping[str, list[float | None]]:
        """The metrics of the history: a value an epoch, None where it was not measured."""
        return self.written.metrics

    @property
    def fault_of_history(self) -> str | None:
        """What is wrong with its history, once it has ended: one that is still written may be cut short."""
        if self.state is State.UNFINISHED:
            return None
        return self.written.fault or None

    @property
    def error(self) -> str | None:
        """The error of an attempt that failed."""
        if self.state is not State.UNFINISHED:
            return None
        return field_of(self.record, "error", str) or None

    @property
    def word(self) -> str:
        """The state in a word, which is "failed" for an attempt that did."""
        if self.error:
            return "failed"
        return str(self.state)

    @property
    def reason(self) -> str | None:
        """Why it is not complete."""
        if self.state in (State.STALE, State.REPLACED):
            return ", ".join(self.changes.values())
        if self.state is State.UNFINISHED:
            return self.error or f"interrupted at epoch {self.epochs}"
        return None

    @property
    def minutes(self) -> float:
        """How long it took, over all attempts; 0 where that is not known."""
        return field_of(self.record, "seconds", float) / 60

    @property
    def weights(self) -> int | None:
        """The number of weights of its network; None where it says none."""
        return as_count(self.result.get("weights")) or None

    @property
    def diverged(self) -> int | None:
        """The epoch at which its loss was no longer finite."""
        return as_count(self.result.get("diverged"))

    @property
    def ended(self) -> str | None:
        """Why it ended early on purpose, in words."""
        return " ".join(field_of(self.result, "ended", str).split()) or None

    @cached_property
    def numbers(self) -> dict[str, float]:
        """The numbers that result.json says it came to; NaN where one is not finite."""
        numbers = {}
        for name, value in self.result.items():
            if is_number(value) and name not in NO_NUMBERS:
                numbers[name] = finite(value)
        return numbers

    @property
    def recorded_environment(self) -> dict[str, str]:
        """What it was begun with, as the runner recorded it: processor, libraries, threads; empty if it did not."""
        environment = as_texts(field_of(self.record, "environment", dict))
        if not environment:
            return {}
        return environment | {"threads": self.threads}

    @property
    def threads(self) -> str:
        """The number of threads that it was made with, and that another number was accepted."""
        accepted = [str(note) for note in field_of(self.record, "accepted", list)]
        for note in accepted:
            if note.startswith("threads "):
                return f"{note.removeprefix('threads ')}, accepted"
        return str(threads_of(self.record))

    @property
    def own_environment(self) -> dict[str, str]:
        """The device and the libraries that it says itself, in result.json; empty where it does not."""
        versions = field_of(self.result, "versions", dict)
        if not versions:
            return {}
        return as_texts({"device": field_of(self.result, "device", str)} | versions)

    @property
    def environment_changes(self) -> list[str]:
        """What was not the same when it was resumed, as in "keras 3.14 -> 3.15 after epoch 57"."""
        return [str(change) for change in field_of(self.record, "environment_changes", list)]


# --- which run counts ---
class Contents:
    """What is in files of runs, each of which is read once: first it is looked for damage, then for what the run came to."""

    def __init__(self) -> None:
        self.known: dict[str, bytes | None] = {}

    def of(self, file: Path) -> bytes | None:
        """Return the bytes of a file, None where it cannot be read."""
        path = str(file)  # which is faster to look up
        if path not in self.known:
            self.known[path] = None
            with suppress(OSError):
                self.known[path] = file.read_bytes()
        return self.known[path]

    def is_intact(self, file: Path, digest: str) -> bool:
        """Tell whether a file is as its hash says, or is a notebook with cells."""
        content = self.of(file)
        return content is not None and is_as_hashed(content, digest)


@dataclass(frozen=True)
class Found:
    """What there is of a configuration; what it came to is yet to be read."""

    name: str
    state: State
    made: Made
    asked: Asked
    earlier: Made | None = None  # of an attempt: the complete run that it will replace


def find_run(name: str, outputs: Path, asked: Asked, record: dict[str, Any], contents: Contents) -> Found:
    """Find the first that there is: the complete run, the newest usable attempt, the stale run, or nothing.

    That is what `runs.find` tells the runner, but read by study.json alone. Damage is looked for in READ alone.
    """
    place = made_in(outputs / name, name, asked, record, contents)
    if place.is_current:
        return Found(name, State.COMPLETE, place, asked)
    incomplete = outputs / "incomplete" / name
    place = left_by_promotion(place, incomplete, asked, record, contents)
    state, decisive = decide(place, made_in_attempts(incomplete, asked, record, contents))
    earlier = None
    if (
        state is State.UNFINISHED
        and place.run
        and place.changes.keys() <= {asked.lengthens}
        and not place.damaged
    ):
        earlier = place
    return Found(name, state, decisive, asked, earlier)


def left_by_promotion(
    place: Made, incomplete: Path, asked: Asked, record: dict[str, Any], contents: Contents
) -> Made:
    """Return the complete run where a promotion that was cut short left it, else what is in its place."""
    for attempt in attempts_in(incomplete)[-1:]:
        made = made_in(attempt, incomplete.name, asked, record, contents)
        has_succeeded = made.run and made.run["finished"] and not made.run["error"]
        # the hashes of its files are written before anything is renamed
        if has_succeeded and made.run.get("files") and made.is_current:
            return made
    replaced = incomplete / "replaced"
    if replaced.exists() and not is_there(place.directory):
        return made_in(replaced, incomplete.name, asked, record, contents)
    return place


def made_in(directory: Path, name: str, asked: Asked, record: dict[str, Any], contents: Contents) -> Made:
    """Return what lies in a directory of a configuration, beside what a study.json asks for."""
    run = read_run(directory)
    is_told_by_log = not run
    if is_told_by_log:
        run = told_by_log(directory / f"{name}.ipynb")
    damaged = damaged_files(directory, run, READ, contents.is_intact)
    if run and is_told_by_log:
        damaged.append("run.json")
    return compare(asked, directory, run, changed_code(directory, run, record), damaged, ended_after)


def made_in_attempts(
    incomplete: Path, asked: Asked, record: dict[str, Any], contents: Contents
) -> Iterator[Made]:
    """Yield what lies in the attempts of a configuration, the newest first."""
    for attempt in reversed(attempts_in(incomplete)):
        yield made_in(attempt, incomplete.name, asked, record, contents)


def changed_code(directory: Path, run: dict[str, Any], record: dict[str, Any]) -> dict[str, str]:
    """Say by file whether the template, its modules, and other files that a run read are those that a study.json tells of."""
    if not run:
        return {}
    changes = {}
    same_code = field_of(record, "code", list)  # of modules by path and hash
    made_before = field_of(run, "accepted", list)  # what it was made with before something else was accepted
    codes = [run["code"], *(note for note in made_before if " " not in str(note))]
    if not any(code in same_code for code in codes):
        template = Path(field_of(record, "notebooks", dict).get("run", "the template")).name
        changes[template] = f"{template} changed"
    asked, made_with = field_of(record, "modules", dict), field_of(run, "modules", dict)
    for path in sorted(asked.keys() | made_with.keys()):
        if f"{path} {asked.get(path, 'none')}" in made_before:
            continue
        if asked.get(path) != made_with.get(path) and f"{path} {made_with.get(path)}" not in same_code:
            changes[path] = f"{path} changed"
    return changes | changed_files(directory, run, record)


def changed_files(directory: Path, run: dict[str, Any], record: dict[str, Any]) -> dict[str, str]:
    """Say by file what of its project a run read that is not as a study.json tells."""
    same_code = field_of(record, "code", list)

    def is_as_it_was(path: str, was: str, now: str) -> bool:
        return key_of(path, f"{was} {now}") in same_code

    return inputs.changes(
        run,
        inputs.imported_by(directory, run),
        field_of(record, "imported", dict),
        field_of(record, "inputs", dict),
        field_of(record, "input_patterns", list),
        is_as_it_was,
    )


def find_replaced(
    name: str, outputs: Path, asked: Asked, record: dict[str, Any], contents: Contents
) -> Iterator[Found]:
    """Yield what was replaced of a configuration, the oldest first, each named with the time when that was.

    Its parameters are its own.
    """
    for directory in replaced_in(outputs, name):
        made = made_in(directory, name, asked, record, contents)
        if made.run:
            its_own = replace(asked, parameters=asked.defaults | made.run["parameters"])
            yield Found(f"{name}@{directory.name}", State.REPLACED, made, its_own)


# --- its files ---
def read_runs(found: Sequence[Found], record: dict[str, Any], contents: Contents) -> dict[str, Run]:
    """Read what runs or attempts left, and what study.json says of them; return them by name."""
    earlier = {}
    before = [Found(each.name, State.STALE, each.earlier, each.asked) for each in found if each.earlier]
    if before:
        earlier = read_runs(before, record, contents)
    histories = read_histories(
        [(contents.of(each.made.directory / HISTORY), each.made.run) for each in found]
    )
    checkpoint = field_of(record, "checkpoint", str) or CHECKPOINT
    notes = field_of(record, "notes", dict)
    runs = {}
    for each, history in zip(found, histories, strict=True):
        made = each.made
        runs[each.name] = Run(
            name=each.name,
            directory=made.directory,
            state=each.state,
            changes=made.outdated | {file: f"{file} is damaged" for file in made.damaged},
            parameters=each.asked.parameters,
            record=made.run,
            result=object_in(contents.of(made.directory / RESULT) or b"") or {},
            written=history,
            checkpoint=made.directory / checkpoint,
            note=field_of(notes, each.name, str),
            earlier=earlier.get(each.name),
        )
    return runs


def field_of(content: dict[str, Any], name: str, kind: type[Kind]) -> Kind:
    """Return a field of a JSON object, an empty value of its kind where it is missing or damaged."""
    value = content.get(name)
    if isinstance(value, kind):
        return value
    return kind()


def as_texts(content: dict[str, Any]) -> dict[str, str]:
    """Return the fields of a JSON object as texts."""
    return {name: str(value) for name, value in content.items()}
