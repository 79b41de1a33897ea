"""Studies of equal candidates, drawn by chance: how often the rule errs in any of their rounds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from nbstudy.decision.elimination import Family, judge
from nbstudy.decision.scores import Score


@dataclass(frozen=True)
class Simulated:
    """A kind of study: how many runs its candidates have, and in which rounds they meet."""

    runs: Sequence[int]  # of each candidate; the first is the best, though by nothing
    worse: float = 0.0  # by how much the last candidate is worse than all others
    witnesses: int = 0  # configurations of three runs that are no candidates, and show what chance does

    @property
    def names(self) -> list[str]:
        """The candidates."""
        return [f"c{place}" for place in range(len(self.runs))]

    @property
    def rounds(self) -> list[list[str]]:
        """The first with some others, a few at a time, and all together."""
        first, *others = self.names
        few = max(2, len(others) // 5)
        groups = [[first, *others[place : place + few]] for place in range(0, len(others), few)]
        if len(groups) == 1:
            return [self.names]
        return [*groups, self.names]

    def draw(self, drawn: random.Random) -> dict[str, Score]:
        """Return what the runs of one study come to."""
        scores = {}
        numbers = [*self.runs, *[3] * self.witnesses]
        for place, runs in enumerate(numbers):
            name = f"c{place}"
            cost = 0.0
            if place == len(self.runs) - 1:
                cost = self.worse
            for number in range(runs):
                run = f"{name}_{number}" if number else name
                scores[run] = Score(cost + drawn.gauss(0, 1), name)
        return scores


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
