"""Refuse what is wrong in a study or a command: the place, what is wrong, and the cure."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Collection, Iterable
from typing import Any, NoReturn

import click

NAMES_SHOWN = 20  # of the known ones, where none is close to a mistyped name


class StudyError(click.ClickException):
    """What is wrong with a study or a command, where, and the cure; ends a command with status 2."""

    exit_code = 2


def fail(place: str, what: str) -> NoReturn:
    """Refuse a study or a command."""
    message = f"{place}: {what}"
    raise StudyError(message)


def shorten(value: Any) -> str:
    """Return a text of bounded length that shows a value, however large that is."""
    try:
        return reprlib.repr(value)
    except ValueError:  # of integers with more digits than Python converts
        return "a number with thousands of digits"


def check_known(names: Iterable[Any], known: Collection[str], place: str) -> None:
    """Refuse a name that is not among the known ones, and name the nearest that is."""
    for name in names:
        if not isinstance(name, str) or name not in known:
            fail(place, f"unknown name {shorten(name)}; {suggestion(name, known)}")


def suggestion(name: Any, known: Collection[str]) -> str:
    """Return the known name that is nearest to a mistyped one, else some that are known."""
    if isinstance(name, str):
        closest = difflib.get_close_matches(name, known, 1)
        if closest:
            return f"did you mean {closest[0]!r}?"
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
