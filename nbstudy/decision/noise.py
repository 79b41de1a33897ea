"""What chance does: by how much runs differ that are equal but for their seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nbstudy.decision.scores import Score, replicates_of


@dataclass(frozen=True)
class Noise:
    """By how much chance alone changes the settled value of a run."""

    deviation: float  # a standard deviation, NaN where it is unknown
    degrees: int  # degrees of freedom that it was estimated with, 0 where it is unknown
    run: str | None = None  # whose settled epochs it was guessed from; None: between replicates

    @property
    def is_known(self) -> bool:
        """Whether it can decide anything."""
        return self.degrees >= 1 and math.isfinite(self.deviation)

    @property
    def is_guess(self) -> bool:
        """Whether it is not between replicates."""
        return self.run is not None


def noise_of(scores: Mapping[str, Score], best: str | None) -> Noise:
    """Estimate what chance does: the deviation between replicates, pooled over all configurations.

    Without replicates, the deviation within the settled epochs of the best run stands in for it: a guess.
    """
    squares = 0.0
    degrees = 0
    for costs in replicated_costs(scores).values():
        squares += squares_of(costs)
        degrees += len(costs) - 1
    if degrees:
        return Noise(math.sqrt(squares / degrees), degrees)
    if best is None:
        return Noise(math.nan, 0)
    return Noise(scores[best].spread, scores[best].settled_epochs - 1, run=best)


def own_deviations(scores: Mapping[str, Score]) -> dict[str, float]:
    """Return the deviation between the replicates of each configuration that has some."""
    return {
        configuration: math.sqrt(squares_of(costs) / (len(costs) - 1))
        for configuration, costs in replicated_costs(scores).items()
    }


def replicated_costs(scores: Mapping[str, Score]) -> dict[str, list[float]]:
    """Return the finite costs of each configuration that has several."""
    replicated = {}
    for configuration, names in replicates_of(scores).items():
        costs = [scores[name].cost for name in names if math.isfinite(scores[name].cost)]
        if len(costs) > 1:
            replicated[configuration] = costs
    return replicated


def squares_of(costs: Sequence[float]) -> float:
    """Return the sum of the squared distances of costs from their mean."""
    mean = statistics.fmean(costs)
    return math.fsum((cost - mean) ** 2 for cost in costs)
