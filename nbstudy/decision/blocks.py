"""What runs say of their configurations: means, and what chance does to them; where seeds are common, within these.

Runs with equal seeds have something in common, such as the order of their batches. Where all candidates share some
seeds, a run is `configuration + seed + rest`, fitted by least squares, also where some have more runs than others, and
what chance does is the rest. Where they do not, a run is `configuration + rest`: that is the same with one seed for all.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nbstudy.decision.metrics import ROUNDING
from nbstudy.decision.scores import Score, replicates_of
from nbstudy.numbers import mean

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

LEAST_SHARED = 2  # seeds that all candidates must have for blocks
LEAST_DEGREES = (
    4  # of freedom that blocks must leave: with fewer, they cost more than they can be expected to give
)

Seeds = tuple[Hashable, ...]  # of a configuration's runs; None for each where seeds are left out


@dataclass(frozen=True, eq=False)
class Design:
    """Which runs there are, whatever they come to."""

    seeds: dict[str, Seeds]  # of each configuration's runs
    places: dict[Hashable, int]  # of the seeds in the arrays
    shares: Array  # of each seed in each configuration's mean: a row a configuration, a column a seed
    covariance: Array  # of the seeds' effects, in units of the rest's variance
    degrees: int  # of freedom of the rest

    def covariance_of(self, one: Seeds, two: Seeds, three: Seeds) -> float:
        """Return what the effects of seeds add to the covariance of `one - two` and `one - three`."""
        if one in (two, three):
            return 0.0
        weights = self.weights(one)
        return float((weights - self.weights(two)) @ self.covariance @ (weights - self.weights(three)))

    def weights(self, seeds: Seeds) -> Array:
        """Return the share of each seed in a mean over runs of these."""
        import numpy as np

        weights = np.zeros(len(self.places))
        for seed in seeds:
            weights[self.places[seed]] += 1 / len(seeds)
        return weights


@dataclass(frozen=True)
class Own:
    """The deviation of a configuration's own runs."""

    deviation: float
    degrees: float  # of freedom that it is estimated with: less than one for each further run, where seeds take some


@dataclass(frozen=True, eq=False)
class Fit:
    """What runs come to."""

    design: Design
    means: dict[str, float]  # of each configuration's runs
    effects: dict[Hashable, float]  # of the seeds
    deviation: float  # of the rest; NaN without degrees of freedom
    own: dict[str, Own]  # the same of each configuration that has replicates

    def estimate(self, configuration: str, shared: Collection[Hashable]) -> float:
        """Return what a configuration comes to with the seeds that all share: its mean, where it has these alone."""
        own = mean([self.effects[seed] for seed in self.design.seeds[configuration]])
        with_shared = mean([self.effects[seed] for seed in shared])
        return self.means[configuration] - (own - with_shared)


def variance(within: Design | None, one: Seeds, other: Seeds) -> float:
    """Return the variance of the difference of two means over runs of these seeds, in units of the rest's.

    Without a design, seeds are left out of it.
    """
    alone = 1 / len(one) + 1 / len(other)
    if within is None:
        return alone
    return alone + within.covariance_of(one, other, other)


def design_of(seeds: Mapping[str, Seeds]) -> Design:
    """Return the design of runs, given by the seeds of each configuration's."""
    return solve_design(tuple(seeds.items()))


@lru_cache(maxsize=256)
def solve_design(given: tuple[tuple[str, Seeds], ...]) -> Design:
    """Solve the normal equations of a design, swept of the configurations."""
    import numpy as np

    seeds = dict(given)

    places: dict[Hashable, int] = {}
    for own in seeds.values():
        for seed in own:
            places.setdefault(seed, len(places))
    counts = np.zeros((len(seeds), len(places)))
    for row, own in enumerate(seeds.values()):
        for seed in own:
            counts[row, places[seed]] += 1
    numbers = counts.sum(axis=1)
    shares = counts / numbers[:, None]
    equations = np.diag(counts.sum(axis=0)) - counts.T @ shares
    rank = int(np.linalg.matrix_rank(equations, tol=1e-9, hermitian=True))
    covariance = np.linalg.pinv(equations, rcond=1e-9, hermitian=True)
    in_order = {name: tuple(sorted(own, key=places.__getitem__)) for name, own in seeds.items()}
    return Design(in_order, places, shares, covariance, int(numbers.sum()) - len(seeds) - rank)


def fit(runs: Mapping[str, list[Score]], seeds: Mapping[str, Seeds], design: Design) -> Fit:
    """Fit the finite runs of configurations; `seeds` are those of the design, in the order of the runs."""
    import numpy as np

    means = {name: mean([score.cost for score in own]) for name, own in runs.items()}
    rows = np.repeat(np.arange(len(runs)), [len(own) for own in runs.values()])
    columns = np.array([design.places[seed] for own in seeds.values() for seed in own], dtype=int)
    apart = np.array([score.cost - means[name] for name, own in runs.items() for score in own])
    effects = design.covariance @ np.bincount(columns, apart, len(design.places))
    rest = apart - effects[columns] + (design.shares @ effects)[rows]
    size = max(map(abs, means.values()), default=0.0)
    rest[abs(rest) < ROUNDING * size] = 0.0
    # how much of a run's rest is left in its residual: one less what its mean and its seed's effect take of it
    per_mean = np.sum(design.shares @ design.covariance * design.shares, axis=1)[rows]
    per_both = (design.shares @ design.covariance)[rows, columns]
    left = 1 - 1 / np.bincount(rows)[rows] - (np.diag(design.covariance)[columns] - 2 * per_both + per_mean)
    deviation = math.nan
    if design.degrees:
        deviation = math.sqrt(math.fsum(rest**2) / design.degrees)
    own = {}
    squares = np.bincount(rows, rest**2)
    freedom = np.bincount(rows, left)
    for row, name in enumerate(runs):
        if len(runs[name]) > 1 and freedom[row] > ROUNDING:
            own[name] = Own(math.sqrt(squares[row] / freedom[row]), float(freedom[row]))
    return Fit(design, means, dict(zip(design.places, effects.tolist(), strict=True)), deviation, own)


def fit_apart(runs: Mapping[str, list[Score]]) -> Fit:
    """Fit runs without their seeds."""
    seeds = {name: (None,) * len(own) for name, own in runs.items()}
    return fit(runs, seeds, design_of(seeds))


def fit_within_seeds(runs: Mapping[str, list[Score]], candidates: Collection[str]) -> Fit | None:
    """Fit runs within their seeds; None where the design is not made for it.

    It is where all candidates share LEAST_SHARED seeds, and LEAST_DEGREES are left. What runs came to plays no part.
    """
    seeds = {name: tuple(score.seed for score in own) for name, own in runs.items()}
    if len(candidates) < 2 or any(None in own for own in seeds.values()):
        return None
    if len(shared_seeds(seeds, candidates)) < LEAST_SHARED:
        return None
    design = design_of(seeds)
    if design.degrees < LEAST_DEGREES:
        return None
    return fit(runs, seeds, design)


def shared_seeds(seeds: Mapping[str, Seeds], candidates: Collection[str]) -> Seeds:
    """Return the seeds that all candidates have, in the order of the first one's."""
    if not candidates:
        return ()
    first, *others = [seeds[name] for name in candidates]
    return tuple(seed for seed in dict.fromkeys(first) if all(seed in other for other in others))


def finite_runs(scores: Mapping[str, Score]) -> dict[str, list[Score]]:
    """Return the scores of each configuration that are finite, exact copies aside."""
    runs = {}
    for configuration, names in replicates_of(scores).items():
        own = [scores[name] for name in names if math.isfinite(scores[name].cost)]
        if own:
            runs[configuration] = own
    return runs
