"""How several looks at the same runs share one error rate.

A run that counts at one look counts at all later ones, so what looks come to is correlated, and together they may err
more often than if they shared out the error rate (Bonferroni). Here a look may err the more often the more runs it sees:
that takes fewer runs than the same rate at all looks would (Pocock, 1977), as simulated races show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nbstudy.decision.critical import ERROR_RATE, critical_value

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

POINTS = 10  # two to the power of it are the paths of the best over which is averaged
LEAST_NODES = 32  # of the quadrature over what another comes to at a look
NODES_A_STEP = 12  # by as many times as all steps together are longer than the one to a look
AT_ONCE = 2**21  # densities, so that they fit into memory
REACH = 6.0  # standard deviations, beyond which nothing counts
KNOWN = 10**7  # degrees of freedom: as if it were known what chance does
MANY = 64  # candidates


@lru_cache(maxsize=256)
def error_rates_of(looks: tuple[int, ...], error_rate: float = ERROR_RATE) -> tuple[float, ...]:
    """Return the error rates with which looks may judge, so that all of them together keep to `error_rate`.

    `looks` are the numbers of runs of each candidate. They are those of many equal candidates whose deviation is known.
    Of fewer they could be up to a tenth higher, which is left for the deviation's being estimated, from few runs at the
    first looks: the tests simulate what comes of it.
    """
    from scipy import optimize

    if len(looks) == 1:
        return (error_rate,)

    def excess_coverage(last: float) -> float:
        return chance_to_be_kept(looks, MANY, rising_to(last, looks)) - (1 - error_rate)

    return rising_to(
        float(optimize.brentq(excess_coverage, error_rate / len(looks), error_rate, xtol=1e-6)), looks
    )


def rising_to(last: float, looks: tuple[int, ...]) -> tuple[float, ...]:
    """Return error rates that rise with the runs that looks see, to that of the last one."""
    return tuple(last * runs / looks[-1] for runs in looks)


def chance_to_be_kept(looks: tuple[int, ...], candidates: int, error_rates: Sequence[float]) -> float:
    """Return the probability that one of equal candidates is dropped at no look, which judge with such error rates.

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
    criticals = [critical_value(1, {1: candidates - 1}, KNOWN, rate) for rate in error_rates]
    lowest = walks - criticals * np.sqrt(2 * times)
    nodes = max(LEAST_NODES, math.ceil(NODES_A_STEP * float((np.sqrt(times) / steps).max())))
    parts = np.array_split(lowest, math.ceil(len(lowest) * nodes**2 / AT_ONCE))
    chances = np.concatenate([chance_to_stay_above(part, times, nodes) for part in parts])
    return float((chances ** (candidates - 1)).mean())


def chance_to_stay_above(lowest: Array, times: Array, nodes: int) -> Array:
    """Return the probability that a random walk is above some values at some times, for each row of these.

    It is followed from time to time by Gauss's quadrature with so many nodes.
    """
    import numpy as np
    from scipy import special

    at, weights = special.roots_legendre(nodes)
    steps = np.sqrt(np.diff(times, prepend=0.0))
    before = np.zeros((len(lowest), 1))  # where it may be, for each row
    chances = np.ones((len(lowest), 1))
    for number, step in enumerate(steps):
        reach = REACH * math.sqrt(times[number])
        low = np.clip(lowest[:, number], -reach, reach)[:, None]
        places = low + (reach - low) * (at + 1) / 2
        densities = density((places[:, :, None] - before[:, None, :]) / step) / step
        chances = (densities @ chances[:, :, None])[:, :, 0] * (reach - low) * weights / 2
        before = places
    result: Array = np.clip(chances.sum(axis=1), 0.0, 1.0)
    return result


def density(z: Array) -> Array:
    """Return the standard normal density."""
    import numpy as np

    result: Array = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return result
