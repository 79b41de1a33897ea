"""By how much a candidate may be above what is allowed against each of many others: bounds for all of them at once.

Which of them speaks most against it is then found by comparing it with a few, and not with each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbstudy.decision.metrics import ROUNDING
from nbstudy.decision.noise import Noise

if TYPE_CHECKING:
    from nbstudy.decision.blocks import Array

MANY = 100  # with fewer it takes less to compare them than to look for critical values
FEW = 16  # degrees of freedom
TINY = 1e-300  # in place of nothing, by which no number can be divided
SLACK = 0.001  # of a bound: for rounding, and where two have a few more degrees than all together


@dataclass(frozen=True, eq=False)
class Rivals:
    """Candidates as arrays, a value each."""

    places: dict[str, int]  # of their names
    costs: Array
    runs: Array  # numbers, over which the costs are means
    variances: Array  # of these means, by their own runs
    degrees: Array  # of freedom that these are estimated with

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        costs: Sequence[float],
        runs: Sequence[int],
        variances: Sequence[float],
        degrees: Sequence[float],
    ) -> Rivals:
        """Return candidates of these names."""
        import numpy as np

        arrays = [np.array(values, dtype=float) for values in (costs, runs, variances, degrees)]
        return cls({name: place for place, name in enumerate(names)}, *arrays)


def most_above(one: Rivals, others: Rivals, noise: Noise, critical: Callable[[int], float]) -> Array:
    """Return by how much one is above what is allowed against each of the others, at most; -inf against itself.

    `critical` returns a critical value by its degrees of freedom. It is taken at no fewer of these than there are, and seeds
    have no effect: both make what is allowed less.
    """
    import numpy as np

    error = 1 / one.runs + 1 / others.runs
    squares = np.maximum(noise.deviation**2 * error, one.variances + others.variances)
    criticals = np.full(len(others.costs), critical(noise.degrees))
    if len(others.costs) > MANY and noise.deviation:
        criticals = least_criticals(degrees_of(one, others, noise), noise.degrees, critical)
    least = criticals * np.sqrt(squares)
    differences = one.costs - others.costs
    most: Array = differences - least + SLACK * (abs(differences) + least)
    for name in one.places.keys() & others.places.keys():
        most[others.places[name]] = -math.inf
    return most


def degrees_of(one: Rivals, others: Rivals, noise: Noise) -> Array:
    """Return the degrees of freedom of each comparison, as `Standing.degrees` does, but not rounded down."""
    import numpy as np

    pooled = noise.deviation**2 * (1 / one.runs + 1 / others.runs)
    together = np.maximum(one.variances + others.variances, TINY)
    squares = one.variances**2 / one.degrees + others.variances**2 / others.degrees
    theirs = np.maximum(together**2 / np.maximum(squares, TINY), TINY)
    ratio = np.minimum(1.0, pooled / together)
    share = (1 - ratio) ** 2
    degrees: Array = 1 / (share / theirs + (1 - share) / noise.degrees)
    return degrees


def least_criticals(degrees: Array, most: int, critical: Callable[[int], float]) -> Array:
    """Return critical values that are no larger than those of so many degrees of freedom, rounded down.

    They are those of FEW or fewer, which differ much, and of powers of two, so that not many have to be found.
    """
    import numpy as np

    rounded = np.floor(np.maximum(degrees * (1 + ROUNDING), 1.0))
    powers = 2.0 ** np.ceil(np.log2(rounded))
    steps = np.minimum(np.where(rounded > FEW, powers, rounded), most)
    known, places = np.unique(steps, return_inverse=True)
    criticals: Array = np.array([critical(int(step)) for step in known])[places]
    return criticals
