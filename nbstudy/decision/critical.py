"""Critical values: by how many standard errors one of several means may be above another by chance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nbstudy.decision.blocks import Design, Seeds
from nbstudy.decision.metrics import ROUNDING

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

ERROR_RATE = 0.05  # the share of studies in which the truly best candidate may be dropped
NODES = 80  # of each quadrature
POINTS = 15  # two to the power of it are the points over which what is no product is averaged
SINGULAR = 1e-9  # the share of a variance that is none, but rounding


def critical_value(
    runs: int, others: Mapping[int, int], degrees: int, error_rate: float = ERROR_RATE
) -> float:
    """Return the critical value of Dunnett's one-sided comparison of one group with others.

    `runs` is the number of runs of the one, `others` says how many other groups there are of each number of runs,
    and `degrees` are those of freedom of their common deviation. It solves
    `E_u E_z prod_j Phi((c u + l_j z) / sqrt(1 - l_j^2)) = 1 - error_rate` with `l_j^2 = n_j / (n_j + n)`, z standard
    normal and u^2 chi-squared over its degrees of freedom (Dunnett, 1955). NaN without others or degrees.
    """
    if not others or degrees < 1:
        return math.nan
    shares = tuple(sorted((number / (number + runs), count) for number, count in others.items()))
    return solve_critical_value(shares, degrees, error_rate)


def critical_for(
    within: Design | None, runs: Seeds, others: Mapping[Seeds, int], degrees: int, error_rate: float
) -> float:
    """Return the critical value of comparing one with others, all given by the seeds of their runs.

    Without a design, seeds are left out of it, and their numbers alone count.
    """
    import numpy as np

    if within is None:
        numbers = Counter[int]()
        for theirs, count in others.items():
            numbers[len(theirs)] += count
        return critical_value(len(runs), numbers, degrees, error_rate)
    kinds = [*others]
    common = [[1 / len(runs) + within.covariance_of(runs, one, two) for two in kinds] for one in kinds]
    own = [1 / len(theirs) for theirs in kinds]
    return critical_value_of(np.array(common), own, [*others.values()], degrees, error_rate)


def critical_value_of(
    common: Array, own: Sequence[float], counts: Sequence[int], degrees: int, error_rate: float
) -> float:
    """Return the critical value where the differences from the others have any covariance.

    The others are of some kinds, of each so many as `counts` says. `common` is the covariance of differences from two of
    them, by their kinds, and `own` is by how much the variance of one is larger, both in units of the rest's variance.
    Where all of them have the same in common, the quadrature above holds; otherwise the same integral is averaged over a
    Sobol sequence: the same on every machine and for any order of kinds, within 0.001 of the critical value, and at error rates
    of less than 1 % within 0.3 % of it. NaN without others or degrees.
    """
    if not counts or degrees < 1:
        return math.nan
    first = float(common[0, 0])
    if abs(common - first).max() < ROUNDING:
        groups = [(round(first / (first + each), 12), count) for each, count in zip(own, counts, strict=True)]
        return solve_critical_value(tuple(sorted(groups)), degrees, error_rate)
    rounded = common.round(12)
    order = sorted(range(len(own)), key=lambda kind: (own[kind], counts[kind], sorted(rounded[kind])))
    rows = rounded[order][:, order].tolist()
    own_in_order = tuple(own[kind] for kind in order)
    counts_in_order = tuple(counts[kind] for kind in order)
    return average_critical_value(tuple(map(tuple, rows)), own_in_order, counts_in_order, degrees, error_rate)


@lru_cache(maxsize=1024)
def average_critical_value(
    common: tuple[tuple[float, ...], ...],
    own: tuple[float, ...],
    counts: tuple[int, ...],
    degrees: int,
    error_rate: float,
) -> float:
    """Return the critical value by averaging over what differences have in common: see `critical_value_of`."""
    import numpy as np
    from scipy import optimize, special, stats

    factor = factor_of(np.array(common))
    sequence = stats.qmc.Sobol(1 + factor.shape[1], scramble=False).random_base2(POINTS)
    points = sequence + 0.5 / len(sequence)  # none at zero
    u = (2 * special.gammaincinv(degrees / 2, points[:, 0]) / degrees) ** 0.5
    drawn = special.ndtri(points[:, 1:]) @ factor.T
    alone = np.sqrt(own)
    together = np.sqrt(np.diag(common) + own)

    def excess_coverage(c: float) -> float:
        inside = special.ndtr((c * u[:, None] * together + drawn) / alone) ** np.array(counts)
        return float(inside.prod(axis=1).mean()) - (1 - error_rate)

    return float(optimize.brentq(excess_coverage, 0.0, highest(sum(counts), degrees, error_rate), xtol=1e-6))


def factor_of(covariance: Array) -> Array:
    """Return the lower triangular factor of a covariance, also of one that has no full rank.

    It is the only one, while vectors of equal eigenvalues are turned one way or another by each library.
    """
    import numpy as np

    left, columns = covariance.copy(), []
    for place, variance in enumerate(covariance.diagonal()):
        if left[place, place] > SINGULAR * variance:
            column = left[:, place] / math.sqrt(left[place, place])
            left -= np.outer(column, column)
            columns.append(column)
    return np.array(columns).T


@lru_cache(maxsize=4096)
def solve_critical_value(shares: tuple[tuple[float, int], ...], degrees: int, error_rate: float) -> float:
    """Return the critical value against groups given as (l_j^2, how many such groups)."""
    from scipy import optimize, special

    (nodes, node_weights), (z, z_weights) = quadratures()
    u = (2 * special.gammaincinv(degrees / 2, (nodes + 1) / 2) / degrees) ** 0.5
    u = u[:, None]
    total = node_weights.sum() * z_weights.sum()

    def excess_coverage(c: float) -> float:
        inside = 1.0
        for share, number in shares:
            inside = inside * special.ndtr((c * u + math.sqrt(share) * z) / math.sqrt(1 - share)) ** number
        return float(node_weights @ inside @ z_weights / total) - (1 - error_rate)

    number = sum(count for _, count in shares)
    return float(optimize.brentq(excess_coverage, 0.0, highest(number, degrees, error_rate)))


@lru_cache(maxsize=1)
def quadratures() -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return the nodes and weights of Gauss's quadratures over u's distribution, on -1 to 1, and over z."""
    from scipy import special

    return special.roots_legendre(NODES), special.roots_hermitenorm(NODES)


def highest(number: int, degrees: int, error_rate: float) -> float:
    """Return what no critical value against so many others exceeds: Bonferroni's, with room for rounding."""
    from scipy import special

    return 1.01 * float(special.stdtrit(degrees, 1 - error_rate / number))


def students_quantile(degrees: int) -> float:
    """Return how many standard errors a 95 % interval reaches to each side, by Student's distribution."""
    from scipy import special

    return float(special.stdtrit(degrees, 0.975))
