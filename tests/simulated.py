"""Studies drawn by chance: how often the rule errs in any of their rounds, or in a race, and what that takes."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from nbstudy.decision.elimination import Family, judge
from nbstudy.decision.race import End, Lap, Plan, run_race
from nbstudy.decision.scores import Score


@dataclass(frozen=True)
class Simulated:
    """A kind of study: how many runs its candidates have, and in which rounds they meet."""

    runs: Sequence[int]  # of each candidate; the first is the best, though by nothing
    worse: float = 0.0  # by how much the last candidate is worse than all others
    witnesses: int = 0  # configurations of three runs that are no candidates, and show what chance does
    deviations: Sequence[float] = ()  # of the candidates' runs; all 1 where they are not said
    effect: float | None = None  # the deviation of what runs of equal seeds share; None: no seeds are equal
    together: int = 0  # how many others meet the first in a round, all in turn; 0: half of them, once
    is_heavy_tailed: bool = False  # Student's t with 3 degrees of freedom, of the same deviation

    @property
    def names(self) -> list[str]:
        """The candidates."""
        return [f"c{place}" for place in range(len(self.runs))]

    @property
    def rounds(self) -> list[list[str]]:
        """The first with some others, a few at a time, and all together."""
        first, *others = self.names
        few = self.together or max(2, len(others) // 2)
        groups = [[first, *others[place : place + few]] for place in range(0, len(others), few)]
        if not self.together:
            groups = groups[:1]
        if groups == [self.names]:
            return groups
        return [*groups, self.names]

    def draw(self, drawn: random.Random) -> dict[str, Score]:
        """Return what the runs of one study come to."""
        scores = {}
        numbers = [*self.runs, *[3] * self.witnesses]
        effects = [(self.effect or 0.0) * drawn.gauss(0, 1) for _ in range(max(numbers))]
        for place, runs in enumerate(numbers):
            name = f"c{place}"
            cost = 0.0
            if place == len(self.runs) - 1:
                cost = self.worse
            deviation = 1.0
            if place < len(self.deviations):
                deviation = self.deviations[place]
            for number in range(runs):
                run = f"{name}_{number}" if number else name
                seed = number
                if self.effect is None:
                    seed += 100 * place
                value = cost + effects[number] + deviation * chance(drawn, self.is_heavy_tailed)
                scores[run] = Score(value, name, seed=seed)
        return scores


def chance(drawn: random.Random, is_heavy_tailed: bool) -> float:
    """Return what chance does to a run, with a deviation of 1."""
    if not is_heavy_tailed:
        return drawn.gauss(0, 1)
    squares = sum(drawn.gauss(0, 1) ** 2 for _ in range(3))
    return drawn.gauss(0, 1) / math.sqrt(squares)  # of t's deviation, the root of 3


def share_dropped(kind: Simulated, name: str, studies: int, is_one_family: bool = True) -> float:
    """Return the share of studies in which a candidate is dropped in any round.

    Without a family each round is judged by itself, as the rule once did.
    """
    drawn = random.Random(12)
    dropped = 0
    family = None
    if is_one_family:
        family = Family(tuple(kind.names))
    rounds = [each for each in kind.rounds if name in each]
    for _ in range(studies):
        scores = kind.draw(drawn)
        dropped += any(name in judge(scores, each, family).dropped for each in rounds)
    return dropped / studies


@dataclass(frozen=True)
class SimulatedRace:
    """A kind of race: what its candidates come to in very many runs, of which the first is the best."""

    means: Sequence[float]
    plan: Plan
    deviations: Sequence[float] = ()  # of the first candidates' runs; 1 of those for which it is not said
    effect: float | None = None  # the deviation of what runs of equal seeds share; None: no seeds are equal
    is_heavy_tailed: bool = False  # Student's t with 3 degrees of freedom, of the same deviation

    @property
    def names(self) -> list[str]:
        """The candidates."""
        return [f"c{place}" for place in range(len(self.means))]

    def draw(self, drawn: random.Random) -> list[Lap]:
        """Return the laps of one race."""
        most = self.plan.replicates[-1]
        effects = [(self.effect or 0.0) * drawn.gauss(0, 1) for _ in range(most)]
        deviations = [*self.deviations, *[1.0] * len(self.means)]
        runs: dict[str, list[Score]] = {}
        for place, name in enumerate(self.names):
            runs[name] = []
            for number in range(most):
                value = self.means[place] + effects[number]
                value += deviations[place] * chance(drawn, self.is_heavy_tailed)
                seed = number
                if self.effect is None:
                    seed += 100 * place
                runs[name].append(Score(value, name, seed=seed))

        def scores_of(name: str, number: int) -> dict[str, Score]:
            return {f"{name}_{at}" if at else name: score for at, score in enumerate(runs[name][:number])}

        return run_race(self.plan, self.names, dict.fromkeys(self.names, 1.0), scores_of)


@dataclass(frozen=True)
class Outcome:
    """What many races of a kind came to."""

    errors: float  # the share in which the best is dropped
    decided: float  # the share in which it alone is left
    runs: float  # of a race, on average
    ties: float  # the share that ends in a tie
    wrong_ties: float  # with one that is worse by more than the margin


def outcome_of(kind: SimulatedRace, races: int) -> Outcome:
    """Return what so many races of a kind come to."""
    drawn = random.Random(12)
    best, *_ = kind.names
    worse = {
        name
        for name, mean in zip(kind.names, kind.means, strict=True)
        if mean - kind.means[0] > kind.plan.margin
    }
    ends = [kind.draw(drawn)[-1] for _ in range(races)]
    return Outcome(
        errors=sum(best not in lap.left for lap in ends) / races,
        decided=sum(lap.left == [best] for lap in ends) / races,
        runs=sum(lap.spent for lap in ends) / races,
        ties=sum(lap.end is End.TIE for lap in ends) / races,
        wrong_ties=sum(lap.end is End.TIE and not worse.isdisjoint(lap.left) for lap in ends) / races,
    )
