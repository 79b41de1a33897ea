"""What chance does: by how much runs differ that are equal but for their seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
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
    for names in replicates_of(scores).values():
        costs = [scores[name].cost for name in names if math.isfinite(scores[name].cost)]
        if len(costs) > 1:
            mean = statistics.fmean(costs)
            squares += sum((cost - mean) ** 2 for cost in costs)
            degrees += len(costs) - 1
    if degrees:
        return Noise(math.sqrt(squares / degrees), degrees)
    if best is None:
        return Noise(math.nan, 0)
    return Noise(scores[best].spread, scores[best].settled_epochs - 1, run=best)
