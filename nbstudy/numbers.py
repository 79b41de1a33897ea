"""What counts as a number, in study files and in what runs leave."""

from __future__ import annotations

import math
from collections.abc import Collection
from contextlib import suppress
from numbers import Integral
from typing import Any, TypeGuard

LARGEST = 2**63  # what a column of whole numbers cannot hold


def is_number(value: Any) -> TypeGuard[int | float]:
    """Tell whether a value is a number, and no bool, which Python takes for one."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Tell whether a value is a whole number, NumPy's included, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def finite(value: float) -> float:
    """Return a number that a column can hold: a whole one if it is not too large, NaN where it is not finite."""
    if isinstance(value, int) and abs(value) < LARGEST:
        return value
    with suppress(OverflowError):
        if math.isfinite(value):
            return float(value)
    return math.nan


def mean(values: Collection[float]) -> float:
    """Return the mean of some numbers, of which there is one at least; their sum is rounded once.

    It is `statistics.fmean`, in a module that takes five milliseconds to import, which every command would.
    """
    return math.fsum(values) / len(values)


def as_count(value: Any) -> int | None:
    """Return a number of things in a JSON file, which may be written as 12.0; None where it is none."""
    if not is_number(value) or not 0 <= value < LARGEST or value != int(value):
        return None
    return int(value)
