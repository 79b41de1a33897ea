"""What a run settles at: the mean over the end of its curve; and what a curve says besides.

A curve is a value an epoch: None where nothing was measured, which is not the same as a value that is not finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from nbstudy.decision.metrics import Better, Metric
from nbstudy.numbers import mean


def settled_epochs(values: Sequence[float | None]) -> list[float]:
    """Return what was measured in the last tenth of a curve, rounded up, or last of all where nothing was there.

    Nothing where it has no value at its end.
    """
    if lost_after(values) is not None:
        return []
    length = math.ceil(len(values) / 10)
    last = measured(values[len(values) - length :])
    return last or measured(values)[-1:]


def settled(values: Sequence[float | None]) -> float:
    """Return the mean of a curve's settled epochs; NaN where one of these, or their sum, is not finite, or none is there."""
    return middle_of(settled_epochs(values))


def middle_of(last: Sequence[float]) -> float:
    """Return the mean of settled epochs, as `settled` does."""
    if not last or not all(map(math.isfinite, last)):
        return math.nan
    try:
        return mean(last)
    except OverflowError:
        return math.nan


def lost_after(values: Sequence[float | None]) -> int | None:
    """Return the epoch, from 1, after which a curve has no value though it should have; None where there is none.

    It should have one when its end is empty for longer than it ever was before: what is measured every n-th epoch
    may be empty there, and a loss of which the writer left out what is not a number is not.
    """
    if not values or values[-1] is not None:  # as most are
        return None
    longest = 0
    empty = 0
    last: int | None = None
    for epoch, value in enumerate(values, 1):
        if value is None:
            empty += 1
            continue
        longest = max(longest, empty)
        empty = 0
        last = epoch
    if empty > longest:
        return last
    return None


def measured(values: Iterable[float | None]) -> list[float]:
    """Return the values that were measured, finite or not."""
    return [value for value in values if value is not None]


def spread(values: Sequence[float | None]) -> float:
    """Return the standard deviation within a curve's settled epochs; NaN where it cannot be known."""
    return spread_of(settled_epochs(values))


def spread_of(last: Sequence[float]) -> float:
    """Return the standard deviation of settled epochs, as `spread` does."""
    if len(last) < 2 or not all(map(math.isfinite, last)):
        return math.nan
    try:
        middle = mean(last)
        squares = math.fsum((value - middle) ** 2 for value in last)
    except OverflowError:
        return math.nan
    return math.sqrt(squares / (len(last) - 1))


def best_epoch(values: Sequence[float | None], metric: Metric) -> tuple[float, int | None]:
    """Return the best value of a curve and the first epoch that has it, from 1; NaN and None of nothing finite."""
    finite = list(filter(math.isfinite, measured(values)))
    if not finite:
        return math.nan, None
    best = min(finite)
    if metric.better is Better.HIGHER:
        best = max(finite)
    return best, values.index(best) + 1
