"""How several looks at the same runs share one error rate.

A run that counts at one look counts at all later ones, so what looks come to is correlated, and each may err more often
than if they shared the error rate evenly (Bonferroni). All have the same rate here (Pocock, 1977).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nbstudy.decision.critical import ERROR_RATE, critical_value

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

POINTS = 10  # two to the power of it are the paths of the best over which is averaged
NODES = 32  # of the quadrature over what another comes to at a look
REACH = 8.5  # standard deviations, beyond which nothing counts
KNOWN = 10**7  # degrees of freedom: as if it were known what chance does
MANY = 64  # candidates


@lru_cache(maxsize=256)
def error_rate_of_a_look(looks: tuple[int, ...], error_rate: float = ERROR_RATE) -> float:
    """Return the error rate with which each look may judge, so that all of them together keep to `error_rate`.

    `looks` are the numbers of runs of each candidate. It is that of many equal candidates whose deviation is known. Of
    fewer each look could err up to a tenth more, which is left for the deviation's being estimated, from few runs at
    the first looks: the tests simulate what comes of it.
    """
    from scipy import optimize

    if len(looks) == 1:
        return error_rate

    def excess_coverage(rate: float) -> float:
        return chance_to_be_kept(looks, MANY, rate) - (1 - error_rate)

    return float(optimize.brentq(excess_coverage, error_rate / len(looks), error_rate, xtol=1e-6))


def chance_to_be_kept(looks: tuple[int, ...], candidates: int, error_rate: float) -> float:
    """Return the probability that one of equal candidates is dropped at no look, each of which judges at a rate.

    What a candidate comes to from look to look is a random walk. Given that of the one, over which is averaged by a Sobol
    sequence, the others are independent: each is to stay above what would drop the one.
    """
    import numpy as np
    from scipy import special, stats

    times = np.array(looks) / looks[-1]
    steps = np.sqrt(np.diff(times, prepend=0.0))
    sequence = stats.qmc.Sobol(len(looks), scramble=False).random_base2(POINTS)
    points = sequence + 0.5 / len(sequence)  # none at zero
    walks = np.cumsum(special.ndtri(points) * steps, axis=1)
    critical = critical_value(1, {1: candidates - 1}, KNOWN, error_rate)
    lowest = walks - critical * np.sqrt(2 * times)
    nodes, weights = special.roots_legendre(NODES)
    before = np.zeros((len(walks), 1))  # where another may stand, for each walk of the one
    chances = np.ones((len(walks), 1))
    for look, step in enumerate(steps):
        reach = REACH * math.sqrt(times[look])
        low = np.clip(lowest[:, look], -reach, reach)[:, None]
        places = low + (reach - low) * (nodes + 1) / 2
        densities = density((places[:, :, None] - before[:, None, :]) / step) / step
        chances = (densities @ chances[:, :, None])[:, :, 0] * (reach - low) * weights / 2
        before = places
    is_kept = np.clip(chances.sum(axis=1), 0.0, 1.0) ** (candidates - 1)
    return float(is_kept.mean())


def density(z: Array) -> Array:
    """Return the standard normal density."""
    import numpy as np

    result: Array = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return result
