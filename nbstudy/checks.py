"""Refuse what is wrong in a study or a command: the place, what is wrong, and the cure."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NoReturn

import click

NAMES_SHOWN = 20  # of the known ones, where none is close to a mistyped name
STUDY_KEYS = {"extends", "replicates"}  # of a configuration in a study file, beside its parameters
FAULTS_SHOWN = 20  # more than that are only counted


class StudyError(click.ClickException):
    """What is wrong with a study or a command, where, and the cure; ends a command with status 2."""

    exit_code = 2

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        super().__init__(describe_faults(faults))


class Faults:
    """What is wrong in many places, collected, so that one command says all of it.

    A block `with faults:` may fail like any other; what it refuses is kept, and the program goes on after it.
    `end` then refuses everything together.
    """

    def __init__(self) -> None:
        self.found: list[str] = []

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, StudyError):
            self.found.extend(error.faults)
            return True
        return False

    def end(self) -> None:
        """Raise a StudyError that says all that was found, if anything was."""
        if self.found:
            raise StudyError(*self.found)


def describe_faults(faults: Sequence[str]) -> str:
    """Return one fault as it is, several as a list of bounded length."""
    if len(faults) == 1:
        return faults[0]
    lines = [f"{len(faults):,} mistakes:", *faults[:FAULTS_SHOWN]]
    if len(faults) > FAULTS_SHOWN:
        lines.append(f"and {len(faults) - FAULTS_SHOWN:,} more")
    return "\n  ".join(lines)


class Interrupted(SystemExit):
    """Ctrl-C or a termination signal; the command ends with this status."""


def fail(place: str, what: str) -> NoReturn:
    """Refuse a study or a command."""
    raise StudyError(f"{place}: {what}")


def shorten(value: Any) -> str:
    """Return a text of bounded length that shows a value, however large that is."""
    try:
        return reprlib.repr(value)
    except ValueError:  # of integers with more digits than Python converts
        return "a number with thousands of digits"


def check_known(names: Iterable[Any], known: Collection[str], place: str) -> None:
    """Refuse the names that are not among the known ones, and name the nearest that is."""
    unknown = []
    for name in names:
        if not isinstance(name, str) or name not in known:
            unknown.append(name)
    faults = []
    for name in unknown[:NAMES_SHOWN]:  # of very many names, finding the nearest would take minutes
        faults.append(f"{place}: unknown name {shorten(name)}; {suggestion(name, known)}")
    if len(unknown) > NAMES_SHOWN:
        faults.append(f"{place}: {len(unknown) - NAMES_SHOWN:,} more unknown names")
    if faults:
        raise StudyError(*faults)


def suggestion(name: Any, known: Collection[str]) -> str:
    """Return the known name that is nearest to a mistyped one, else some that are known."""
    # takes a moment to import, and nothing is misspelt as a rule
    import difflib

    if isinstance(name, str):
        closest = difflib.get_close_matches(name, known, 1)
        if closest:
            return f"did you mean {closest[0]!r}?"
    if not known:
        return "there are none here"
    some = ", ".join(list(known)[:NAMES_SHOWN])
    if len(known) > NAMES_SHOWN:
        some += ", …"
    return f"known: {some}"


def mapping(value: Any, place: str, known: Collection[str] | None = None) -> dict[str, Any]:
    """Return a mapping whose keys are names, all of them known where that is asked, or refuse it."""
    if not isinstance(value, dict):
        fail(place, f"must be a mapping, `name: value` a line, not {shorten(value)}")
    for key in value:
        if not isinstance(key, str):
            fail(place, f"the name {shorten(key)} must be text; put it in quotes")
    if known is not None:
        check_known(value, known, place)
    return dict(value)


def sequence(value: Any, place: str) -> list[Any]:
    """Return a list, or refuse what is none."""
    if not isinstance(value, list):
        fail(place, f"must be a list, `- ...` a line, not {shorten(value)}")
    return list(value)
