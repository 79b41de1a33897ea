"""Eliminate candidates, and choose among those that are left: plain numbers in, a Verdict or a Choice out.

A stricter rule is a change of `judge` (or of `DEVIATIONS` alone); another notion of chance is a change of
`noise_of`. Figures, tables and sentences take what they say from the Verdict.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

DEVIATIONS = 2.0  # how many standard deviations worse than the best a candidate may be
HIGHER_IS_BETTER = re.compile("acc|auc|precision|recall|f1|r2|score")  # in the name of a metric


@dataclass(frozen=True)
class Score:
    """What a run is judged by."""

    cost: float  # its settled value, so that lower is better; infinite where it is no longer finite
    configuration: str  # the first of its replicates: runs that are equal but for their seed
    spread: float = math.nan  # standard deviation within its settled epochs, NaN for a single epoch
    settled_epochs: int = 1
    is_copy: bool = False  # equal to an earlier run, its seed included: no replicate of it


@dataclass(frozen=True)
class Noise:
    """By how much chance alone changes a settled value."""

    deviation: float  # a standard deviation, NaN where it is unknown
    degrees: int  # degrees of freedom that it was estimated with
    run: str | None = None  # whose settled epochs it was estimated in; None: between replicates


@dataclass(frozen=True)
class Verdict:
    """What the rule says of a round."""

    costs: dict[str, float]  # of the candidates that can be judged, best first
    best: str | None  # None where none of them is finite
    excess: dict[str, float]  # how much each cost is above the best one
    threshold: float  # the excess above which a candidate is dropped, NaN where chance is unknown
    dropped: tuple[str, ...]  # best first
    noise: Noise

    @property
    def kept(self) -> list[str]:
        """The candidates that the rule keeps, best first."""
        return [name for name in self.costs if name not in self.dropped]

    def disputed(self, dropped: Collection[str]) -> list[str]:
        """Return the judged candidates that this or another decision drops, and not both; best first."""
        return [name for name in self.costs if (name in self.dropped) != (name in dropped)]


@dataclass(frozen=True)
class Choice:
    """What the one-standard-error rule chooses, and from what; a configuration has the name of its first run."""

    chosen: str | None  # None where no run is finite
    best: str | None  # the configuration with the lowest mean cost
    means: dict[str, float]  # mean cost of each configuration that can be chosen
    runs: dict[str, list[str]]  # the runs that each mean is taken over, best first
    error: float  # standard error of the best mean, 0 where chance is unknown
    kept: tuple[str, ...]  # the configurations whose mean is within one standard error of the best
    single: tuple[str, ...]  # runs that are better than the best mean, and without replicates
    noise: Noise


@cache
def lower_is_better(metric: str) -> bool:
    """Tell by its name whether lower values of a metric are better."""
    return not HIGHER_IS_BETTER.search(metric)


def settled_epochs(values: Sequence[float]) -> list[float]:
    """Return the last tenth of a curve, rounded up."""
    length = math.ceil(len(values) / 10)
    return list(values[len(values) - length :])


def settled(values: Sequence[float]) -> float:
    """Return the mean of the last tenth of a curve; NaN where one of these is not finite, or none is there."""
    last = settled_epochs(values)
    if not last or not all(map(math.isfinite, last)):
        return math.nan
    return statistics.fmean(last)


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation within the last tenth of a curve; NaN where it cannot be known."""
    last = settled_epochs(values)
    if len(last) < 2 or not all(map(math.isfinite, last)):
        return math.nan
    mean = statistics.fmean(last)
    squares = math.fsum((value - mean) ** 2 for value in last)
    return math.sqrt(squares / (len(last) - 1))


def best_epoch(values: Sequence[float], metric: str) -> tuple[float, int | None]:
    """Return the best value of a curve and the first epoch that has it, from 1; NaN and None of nothing finite."""
    costs = [as_cost(value, metric) for value in values]
    lowest = min(costs, default=math.inf)
    if math.isinf(lowest):
        return math.nan, None
    place = costs.index(lowest)
    return values[place], place + 1


def value_of(cost: float, metric: str) -> float:
    """Return a cost as a value of its metric, NaN where it is infinite."""
    if math.isinf(cost):
        return math.nan
    return as_cost(cost, metric)


def as_cost(value: float, metric: str) -> float:
    """Return a value of a metric as a cost, for which lower is better; infinite where it is not finite."""
    if not math.isfinite(value):
        return math.inf
    if lower_is_better(metric):
        return value
    return -value


def judge(scores: Mapping[str, Score], candidates: Collection[str]) -> Verdict:
    """Drop the candidates that are worse than the best one by more than chance explains.

    `scores` holds every run that can be judged: the replicates among them say what chance does.
    A candidate without a score is not judged. One that is no longer finite is always dropped;
    where chance is unknown, no other is.
    """
    costs = ranked(scores, candidates)
    best = best_of(costs)
    noise = noise_of(scores, best)
    threshold = DEVIATIONS * noise.deviation
    lowest = min(costs.values(), default=math.inf)
    excess = {}
    dropped = []
    for name, cost in costs.items():
        excess[name] = cost - lowest
        if math.isinf(cost) or excess[name] > threshold:
            dropped.append(name)
    return Verdict(costs, best, excess, threshold, tuple(dropped), noise)


def noise_of(scores: Mapping[str, Score], best: str | None) -> Noise:
    """Estimate what chance does: the deviation between replicates, pooled over all configurations.

    Without replicates, the deviation within the settled epochs of the best run stands in for it.
    """
    squares = 0.0
    degrees = 0
    for names in replicates_of(scores).values():
        if len(names) > 1:
            costs = [scores[name].cost for name in names]
            squares += statistics.variance(costs) * (len(costs) - 1)
            degrees += len(costs) - 1
    if degrees:
        return Noise(math.sqrt(squares / degrees), degrees)
    if best is None:
        return Noise(math.nan, 0)
    return Noise(scores[best].spread, scores[best].settled_epochs - 1, run=best)


def choose(scores: Mapping[str, Score], sizes: Mapping[str, int]) -> Choice:
    """Choose the smallest configuration whose mean cost is within one standard error of the lowest mean.

    Breiman, Friedman, Olshen and Stone (1984). `sizes` holds the number of weights of each configuration; one
    without it counts as the largest, and of two of a size the better mean is chosen. Where there are
    replicates, only replicated configurations can be chosen.
    """
    costs = ranked(scores, scores)
    noise = noise_of(scores, best_of(costs))
    runs = replicates_of({name: scores[name] for name in costs})
    if not runs:
        return Choice(None, None, {}, {}, 0.0, (), (), noise)

    single = [names[0] for names in runs.values() if len(names) == 1]
    if len(single) < len(runs):
        runs = {name: names for name, names in runs.items() if len(names) > 1}
    means = {}
    for configuration, names in runs.items():
        means[configuration] = statistics.fmean(costs[name] for name in names)
    best = min(means, key=means.__getitem__)
    error = noise.deviation / math.sqrt(len(runs[best]))
    if math.isnan(error):
        error = 0.0
    kept = [name for name in means if means[name] <= means[best] + error]
    return Choice(
        chosen=min(kept, key=lambda name: (sizes.get(name) or math.inf, means[name])),
        best=best,
        means=means,
        runs=runs,
        error=error,
        kept=tuple(kept),
        single=tuple(name for name in single if costs[name] < means[best]),
        noise=noise,
    )


def ranked(scores: Mapping[str, Score], candidates: Collection[str]) -> dict[str, float]:
    """Return the costs of the candidates that have a score, best first; equal ones in the order of scores."""
    judged = [name for name in scores if name in candidates]
    judged.sort(key=lambda name: scores[name].cost)
    return {name: scores[name].cost for name in judged}


def best_of(costs: Mapping[str, float]) -> str | None:
    """Return the first that is finite of costs that are ranked."""
    for name, cost in costs.items():
        if math.isfinite(cost):
            return name
    return None


def replicates_of(scores: Mapping[str, Score]) -> dict[str, list[str]]:
    """Return the runs of each configuration that are finite and no copies, in the order of scores."""
    runs: dict[str, list[str]] = {}
    for name, score in scores.items():
        if math.isfinite(score.cost) and not score.is_copy:
            runs.setdefault(score.configuration, []).append(name)
    return runs
