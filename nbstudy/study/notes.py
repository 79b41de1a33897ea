"""What the author of a study notes of its configurations, to be shown beside what they came to."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from nbstudy.checks import Faults, check_known, mapping
from nbstudy.study.parameters import TEXT, convert


def read_notes(value: Any, place: str, known: Collection[str] | None) -> dict[str, str]:
    """Return the notes of a study file by configuration, or refuse them; None: nobody knows yet which there are."""
    notes = mapping(value, place)
    faults = Faults()
    with faults:
        if known is not None:
            check_known(notes, known, place)
    for name, text in notes.items():
        with faults:
            notes[name] = convert(text, TEXT, f"{place}: {name}")
    faults.end()
    return notes
