"""Compare ways to make the same runs by the time that a whole command takes: they take turns.

A way is a function that makes the runs in an empty directory and returns an Outcome. Since all take turns, a
machine that slows down for a while slows all of them.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

OURS = "runner.py"
TOLERANCE = 0.03  # of validation accuracies: a way that is further from ours did not train the same


@dataclass(frozen=True)
class Outcome:
    """What a command took and gave."""

    seconds: float  # from the start of its process to the end
    accuracies: list[float]  # of its runs, on the validation set after the last epoch; empty where none train


Way = Callable[[Path], Outcome]


@dataclass(frozen=True)
class Comparison:
    """The outcomes of some ways to make the same runs, by the way's name, one a repetition."""

    outcomes: dict[str, list[Outcome]]

    def seconds(self, way: str) -> float:
        """Return the median seconds of a way."""
        return statistics.median([outcome.seconds for outcome in self.outcomes[way]])

    def times_ours(self, way: str) -> float:
        """Return how many times as long as runner.py a way takes."""
        return self.seconds(way) / self.seconds(OURS)

    def fastest_peer(self) -> str:
        """Return the name of the fastest way but ours."""
        return min(self.outcomes.keys() - {OURS}, key=self.seconds)

    def accuracy(self, way: str) -> float:
        """Return the median accuracy of all runs of a way, since that of one run jumps by the epoch."""
        accuracies: list[float] = []
        for outcome in self.outcomes[way]:
            accuracies += outcome.accuracies
        return statistics.median(accuracies)

    def trained_the_same(self, way: str) -> bool:
        """Tell whether a way is about as accurate as runner.py."""
        return abs(self.accuracy(way) - self.accuracy(OURS)) <= TOLERANCE


def compare(ways: dict[str, Way], repetitions: int) -> Comparison:
    """Let the ways take turns, so many times, each in a new directory; say on stderr what each took."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in ways}
    for _ in range(repetitions):
        for name, way in ways.items():
            with tempfile.TemporaryDirectory() as place:
                outcome = way(Path(place))
            print(f"{name}: {outcome.seconds:.1f} s", file=sys.stderr, flush=True)
            outcomes[name].append(outcome)
    return Comparison(outcomes)
