"""The rule of a race: who is left after which lap, and when and why it ends.

In a lap all that are left get further runs, the same number each; then the rule looks at them, and those that it keeps
go on to the next lap. What a study file says of it is read in `study.race`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from nbstudy.decision.critical import ERROR_RATE
from nbstudy.decision.elimination import Family, Standing, Verdict, judge, stand, verdict_on
from nbstudy.decision.scores import Score
from nbstudy.decision.spending import error_rates_of


class End(StrEnum):
    """Why a race ends; the first that fits."""

    NONE_LEFT = "none is left"  # all have diverged
    ONE_LEFT = "one is left"
    TIE = "a tie"  # those that are left differ by the margin at most, as far as chance lets it be known
    NO_MORE_LAPS = "it was the last lap"
    BUDGET = "the next lap would exceed the budget"


@dataclass(frozen=True)
class Plan:
    """What a race may do."""

    replicates: tuple[int, ...]  # how many runs each has that is left, at the end of each lap
    margin: float = 0.0  # what differs by no more is equally good
    budget: float = math.inf  # what all runs of the race may cost together


@dataclass(frozen=True, eq=False)
class Lap:
    """A lap as it stands: decided when each that is left has its runs."""

    number: int  # 1 is the first
    runs: int  # of each candidate, by which it is judged
    candidates: list[str]  # that are left, in the study's order
    verdict: Verdict  # on those whose runs are complete; it drops none before it is decided
    spent: float  # what all runs of the race cost, when this lap is decided
    further: float = (
        math.nan
    )  # what those of the next lap cost; NaN where there is none, or before this is decided
    end: End | None = None  # None where the race goes on, or this is not decided

    @property
    def waits_for(self) -> list[str]:
        """The candidates that it takes to decide it."""
        return [name for name in self.candidates if name not in self.verdict.costs]

    @property
    def left(self) -> list[str]:
        """The candidates that are left after it, in the study's order; none before it is decided."""
        if self.waits_for:
            return []
        return [name for name in self.candidates if not self.verdict.drops(name)]


def run_race(
    plan: Plan,
    candidates: Sequence[str],
    costs: Mapping[str, float],
    scores_of: Callable[[str, int], Mapping[str, Score] | None],
    error_rate: float = ERROR_RATE,
) -> list[Lap]:
    """Race as far as laps are decided; the last lap is the one that is under way, or the one that ends the race.

    `scores_of` says what the first runs of a candidate have come to, so many of them, the first run by the candidate's
    own name; None where one of them is not complete. `costs` are those of a run of each candidate. Nothing else counts:
    not when runs came, nor what those of later laps came to. The truly best is dropped in any lap with `error_rate`.
    """
    rates = iter(error_rates_of(plan.replicates, error_rate))
    laps: list[Lap] = []
    left = list(candidates)
    behind: dict[str, Score] = {}  # the runs of those that were dropped, which still say what chance does
    spent = 0.0
    for before, runs in itertools.pairwise([0, *plan.replicates]):
        spent += cost_of(left, runs - before, costs)
        own = {name: scores_of(name, runs) for name in left}
        scores = dict(behind)
        for name in left:
            scores |= own[name] or {}
        family = Family(tuple(left), next(rates))
        if None in own.values():
            undecided = verdict_on(stand(scores, left, family), {}, ())
            return [*laps, Lap(len(laps) + 1, runs, left, undecided, spent)]
        lap = Lap(len(laps) + 1, runs, left, judge(scores, left, family), spent)
        laps.append(decided(lap, plan, costs))
        if laps[-1].end:
            break
        left = lap.left
        behind = {run: score for run, score in scores.items() if score.configuration not in left}
    return laps


def decided(lap: Lap, plan: Plan, costs: Mapping[str, float]) -> Lap:
    """Return a lap on which the rule has judged, with what the next one costs, and whether the race ends."""
    if lap.number < len(plan.replicates):
        lap = replace(lap, further=cost_of(lap.left, plan.replicates[lap.number] - lap.runs, costs))
    return replace(lap, end=end_of(lap, plan))


def end_of(lap: Lap, plan: Plan) -> End | None:
    """Return why a race ends with a lap; None where it goes on."""
    if not lap.left:
        return End.NONE_LEFT
    if len(lap.left) == 1:
        return End.ONE_LEFT
    if largest_difference(lap.verdict) <= plan.margin:
        return End.TIE
    if math.isnan(lap.further):
        return End.NO_MORE_LAPS
    if lap.spent + lap.further > plan.budget:
        return End.BUDGET
    return None


def largest_difference(verdict: Verdict) -> float:
    """Return by how much any that is kept may be worse than the best; infinite where chance is unknown.

    These bounds hold together, with the confidence of the rule: where the truly best is above no other by more than is
    allowed to it, each is worse than that by no more than it seems to be, and what is allowed (Hsu, 1984).
    """
    return max(
        (bound(verdict, name, other) for name, other in itertools.permutations(verdict.kept, 2)), default=0.0
    )


def bound(standing: Standing, name: str, other: str) -> float:
    """Return by how much a candidate may be worse than another, if that is the best."""
    return standing.costs[name] - standing.costs[other] + standing.allowed(other, name)


def cost_of(candidates: Sequence[str], runs: int, costs: Mapping[str, float]) -> float:
    """Return what so many runs of each candidate cost."""
    return runs * math.fsum(costs[name] for name in candidates)


def runs_at_last(laps: Sequence[Lap]) -> dict[str, int]:
    """Return how many runs each candidate has been asked for: those of the last lap that it takes part in."""
    runs: dict[str, int] = {}
    for lap in laps:
        runs |= dict.fromkeys(lap.candidates, lap.runs)
    return runs
