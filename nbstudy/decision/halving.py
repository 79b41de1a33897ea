"""The rule of successive halving: who climbs a rung, by what each candidate has cost there (Jamieson and Talwalkar, 2016).

What a study file says of rungs is read in `study.halving`; the verdict of a rung is `elimination.keep_best`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rung:
    """A stage of successive halving: how long its candidates train, and how many of them go on."""

    epochs: int
    keep: int | None  # None for the last one, where the rule decides
    replicates: int = (
        0  # new runs of each candidate by which alone it is judged here; 0: by those that brought it here
    )


@dataclass(frozen=True)
class Stage:
    """A rung as it stands: decided when every candidate has its cost."""

    rung: Rung
    candidates: list[str]  # in the study's order
    costs: dict[str, float]  # of those whose runs are complete, best first; infinite where one has diverged

    @property
    def waits_for(self) -> list[str]:
        """The candidates that it takes to decide it."""
        return [name for name in self.candidates if name not in self.costs]

    @property
    def survivors(self) -> list[str]:
        """The candidates that go on, in the study's order: the best that did not diverge; none before it is decided."""
        if self.waits_for:
            return []
        finite = [name for name, cost in self.costs.items() if math.isfinite(cost)]
        best = set(finite[: self.rung.keep])
        return [name for name in self.candidates if name in best]


def climb(
    rungs: Sequence[Rung], candidates: Sequence[str], cost_of: Callable[[str, Rung], float | None]
) -> list[Stage]:
    """Let candidates climb rungs as far as these are decided; the last stage is the one that is under way, or the top.

    `cost_of` says what a candidate has cost at a rung, so that lower is better: the mean over its runs, of their
    settled values over the rung's epochs; infinite where one has diverged, None where one is not complete. Of equal
    costs the first in the order of candidates is the better one. Nothing else counts: not when runs came, nor on
    how many machines, nor what came of later rungs (Jamieson and Talwalkar, 2016).
    """
    stages: list[Stage] = []
    left = list(candidates)
    for rung in rungs:
        costs = {}
        for name in left:
            cost = cost_of(name, rung)
            if cost is not None:
                costs[name] = cost
        best_first = sorted(costs, key=costs.__getitem__)
        stages.append(Stage(rung, left, {name: costs[name] for name in best_first}))
        left = stages[-1].survivors
        if not left:
            break
    return stages
