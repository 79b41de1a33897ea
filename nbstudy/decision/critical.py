"""Critical values: by how many standard errors one of several means may be above another by chance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

ERROR_RATE = 0.05  # the share of studies in which the truly best candidate may be dropped
NODES = 80  # of each quadrature


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


@lru_cache(maxsize=4096)
def solve_critical_value(shares: tuple[tuple[float, int], ...], degrees: int, error_rate: float) -> float:
    """Return the critical value against groups given as (l_j^2, how many such groups)."""
    from scipy import optimize, special

    nodes, node_weights = special.roots_legendre(NODES)  # of u's distribution, on -1 to 1
    u = (2 * special.gammaincinv(degrees / 2, (nodes + 1) / 2) / degrees) ** 0.5
    u = u[:, None]
    z, z_weights = special.roots_hermitenorm(NODES)
    total = node_weights.sum() * z_weights.sum()

    def excess_coverage(c: float) -> float:
        inside = 1.0
        for share, number in shares:
            inside = inside * special.ndtr((c * u + math.sqrt(share) * z) / math.sqrt(1 - share)) ** number
        return float(node_weights @ inside @ z_weights / total) - (1 - error_rate)

    return float(optimize.brentq(excess_coverage, 0.0, 1e6))


def students_quantile(degrees: int) -> float:
    """Return how many standard errors a 95 % interval reaches to each side, by Student's distribution."""
    from scipy import special

    return float(special.stdtrit(degrees, 0.975))
