"""What chance does: by how much runs differ that are equal but for their seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from nbstudy.decision.blocks import Fit
from nbstudy.decision.scores import Score


@dataclass(frozen=True)
class Noise:
    """By how much chance alone changes the settled value of a run."""

    deviation: float  # a standard deviation, NaN where it is unknown
    degrees: int  # degrees of freedom that it was estimated with, 0 where it is unknown
    run: str | None = None  # whose settled epochs it was guessed from; None: between replicates
    between: Noise | None = None  # of runs with different seeds, where this is of runs with the same

    @property
    def is_known(self) -> bool:
        """Whether it can decide anything."""
        return self.degrees >= 1 and math.isfinite(self.deviation)

    @property
    def is_guess(self) -> bool:
        """Whether it is not between replicates."""
        return self.run is not None

    @property
    def of_a_mean(self) -> Noise:
        """What chance does to a run by itself, whatever its seed: by this a mean is uncertain, if not a difference."""
        return self.between or self


def noise_of(scores: Mapping[str, Score], apart: Fit, within: Fit | None, best: str | None) -> Noise:
    """Return what chance does: the deviation between replicates, pooled over all configurations.

    Where runs were fitted within their seeds, it is that of runs with the same seed. Without replicates, the deviation
    within the settled epochs of the best run stands in for it: a guess.
    """
    if apart.design.degrees:
        noise = Noise(apart.deviation, apart.design.degrees)
        if within is None:
            return noise
        return Noise(within.deviation, within.design.degrees, between=noise)
    if best is None:
        return Noise(math.nan, 0)
    return Noise(scores[best].spread, scores[best].settled_epochs - 1, run=best)
