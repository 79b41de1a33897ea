"""The number of threads that every run of a study computes with: a part of what makes it, like its seed."""

from __future__ import annotations

from typing import Any

from nbstudy.checks import fail
from nbstudy.study.parameters import WHOLE_NUMBER, convert

MOST_THREADS = 1024  # of a run


def read_threads(value: Any, place: str) -> int:
    """Return the number of threads that a study file asks for, or refuse what is none."""
    threads: int = convert(value, WHOLE_NUMBER, place)
    if not 1 <= threads <= MOST_THREADS:
        fail(place, f"must be from 1 to {MOST_THREADS}, not {value}")
    return threads
