"""What many runs came to by a metric that was watched by epoch: what settling.py says of one, found for all at once.

The values are those of settling.py to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nbstudy.decision.metrics import Better, Metric
from nbstudy.decision.settling import settled
from nbstudy.numbers import mean
from nbstudy.records.histories import Array, as_array
from nbstudy.records.history import History


def values_of(histories: Sequence[History], metric: str) -> Array:
    """Return a metric of histories, one after the other; NaN where it was not measured or is not finite."""
    values = np.concatenate([np.empty(0), *(as_array(history, metric) for history in histories)])
    return np.where(np.isfinite(values), values, np.nan)


def settled_values(histories: Sequence[History], metric: str) -> list[float]:
    """Return what each history settles at."""
    found = []
    for history in histories:
        last = as_array(history, metric)[history.epochs - math.ceil(history.epochs / 10) :].tolist()
        if last and all(map(math.isfinite, last)):
            found.append(mean(last))
        else:
            found.append(settled(history.metrics.get(metric, [])))
    return found


def best_epochs(histories: Sequence[History], metric: Metric) -> list[tuple[float, int | None]]:
    """Return the best value of each history and the first epoch that has it, from 1; NaN and None of nothing finite."""
    begun = [place for place, history in enumerate(histories) if history.epochs]
    found: list[tuple[float, int | None]] = [(math.nan, None)] * len(histories)
    if not begun:
        return found
    rows = [histories[place].epochs for place in begun]
    begins = np.cumsum([0, *rows[:-1]])
    values = values_of([histories[place] for place in begun], metric.name)
    costs = values
    if metric.better is Better.HIGHER:
        costs = -values
    costs = np.where(np.isnan(costs), np.inf, costs)
    least = np.repeat(np.minimum.reduceat(costs, begins), rows)
    candidates = np.flatnonzero(costs == least)  # an epoch at least of each history
    first = candidates[np.searchsorted(candidates, begins)]
    for place, value, epoch in zip(begun, values[first].tolist(), (first - begins + 1).tolist(), strict=True):
        if not math.isnan(value):
            found[place] = (value, epoch)
    return found
