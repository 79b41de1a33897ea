"""The state of a configuration, decided in one place: for the runner, and for a reader who has no study file.

Both say by their own means what made a run that is not today's: the runner by the template itself, a reader by
study.json. What that means for the state is the same for both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from nbstudy.files import HISTORY
from nbstudy.numbers import is_number
from nbstudy.records.record import is_there

THREADS = "number of threads"  # among changes by parameter or file, none of which is called so


class State(StrEnum):
    """What is on disk for a configuration; the first that fits.

    Another one is a line here, its place in `decide`, and what it means for the next attempt in `runs.find`; the
    sections of the page treat what is not complete alike, and name it by its text.
    """

    COMPLETE = "complete"  # in its place, made with today's parameters and code
    UNFINISHED = "unfinished"  # attempts made with today's parameters and code: interrupted, or failed
    STALE = "stale"  # in its place, but made with other parameters or code, or damaged
    MISSING = "missing"  # nothing that can be used
    REPLACED = "replaced"  # kept where nobody asks for it; never that of a configuration

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to run."""
        return self is State.COMPLETE


@dataclass(frozen=True)
class Asked:
    """What a study asks of a configuration now."""

    parameters: dict[str, Any]
    defaults: dict[str, Any]  # of the template, which count where the record of a run lacks a parameter
    lengthens: str | None  # the parameter whose increase continues a finished run
    threads: int | None  # that a run computes with; None where an earlier version wrote what is asked
    may_be_longer: bool = False  # whether a run with more epochs than are asked for is complete, too


@dataclass(frozen=True)
class Made:
    """A run or an attempt on disk, beside what is asked for now."""

    directory: Path
    run: dict[str, Any]  # run.json, else what its log tells; empty where neither says what made it
    changes: dict[str, str]  # what is not as asked, by parameter or file, as in "l2 0.001 -> 0.005"
    outdated: dict[
        str, str
    ]  # of these what makes it stale: not its length, where it may be longer or ended early
    damaged: Collection[str]  # files that are not as they were, as far as that was looked for
    is_usable: bool  # as asked, but perhaps shorter

    @property
    def is_current(self) -> bool:
        """Whether it is complete, if it lies in its final place."""
        return bool(self.run) and not self.outdated and not self.damaged


def compare(
    asked: Asked,
    directory: Path,
    run: dict[str, Any],
    changed_code: dict[str, str],
    damaged: Collection[str] = (),
    ended_after: Callable[[Path], int | None] = lambda _: None,
) -> Made:
    """Compare a run or an attempt with what is asked for now; `changed_code` says which files are not today's.

    `ended_after` is asked where more epochs are wanted than were: it tells after how many the run ended by itself, and
    would end again however many are asked for, None where it did not.
    """
    if not run:
        changes = {}
        if is_there(directory):
            changes["run.json"] = "run.json is damaged"
        return Made(directory, run, changes, changes, damaged, is_usable=False)
    made_with = asked.defaults | run["parameters"]
    changes = changed_parameters(asked.parameters, made_with) | changed_threads(asked, run) | changed_code
    outdated = dict(changes)
    is_usable = not changes
    if asked.lengthens is not None and asked.lengthens in changes:
        epochs, epochs_asked = made_with.get(asked.lengthens), asked.parameters.get(asked.lengthens)
        is_usable = len(changes) == 1 and is_fewer(epochs, epochs_asked)
        is_longer = asked.may_be_longer and is_fewer(epochs_asked, epochs)
        ended = ended_after(directory)
        has_ended = ended is not None and is_number(epochs_asked) and epochs_asked >= ended
        if is_longer or has_ended:
            del outdated[asked.lengthens]
    return Made(directory, run, changes, outdated, damaged, is_usable and HISTORY not in damaged)


def decide(place: Made, attempts: Iterable[Made]) -> tuple[State, Made]:
    """Return the state of a configuration and what it is decided by, given its attempts, the newest first."""
    if place.is_current:
        return State.COMPLETE, place
    for attempt in attempts:
        if attempt.is_usable:
            return State.UNFINISHED, attempt
    if is_there(place.directory):
        return State.STALE, place
    return State.MISSING, place


def changed_parameters(asked: dict[str, Any], made_with: dict[str, Any]) -> dict[str, str]:
    """Say of each parameter that is not as asked what it was and what it is, as in "l2 0.001 -> 0.005"."""
    return {
        name: f"{name} {made_with.get(name)} -> {value}"
        for name, value in asked.items()
        if made_with.get(name) != value
    }


def changed_threads(asked: Asked, run: dict[str, Any]) -> dict[str, str]:
    """Say that a run was made with another number of threads, as in "threads 1 -> 4"."""
    if asked.threads is None or threads_of(run) in (None, asked.threads):
        return {}
    if f"threads {asked.threads}" in run.get(
        "accepted", []
    ):  # it was made with these, before others were accepted
        return {}
    return {THREADS: f"threads {threads_of(run)} -> {asked.threads}"}


def threads_of(run: dict[str, Any]) -> int | None:
    """Return the number of threads that a run was made with, None where its record was lost.

    Earlier versions gave it one a core.
    """
    threads: int | None = run.get("threads", run.get("cores"))
    return threads


def is_variable(name: str) -> bool:
    """Tell whether what was recorded of an environment is a variable of it, as XLA_FLAGS, and not a library."""
    return name.isupper() and "_" in name


def is_fewer(epochs: Any, others: Any) -> bool:
    """Tell whether both are numbers of epochs, and the first is the lower one."""
    return is_number(epochs) and is_number(others) and epochs < others
