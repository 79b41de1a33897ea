"""Eliminate candidates, and choose among those that are left: plain numbers in, a Verdict or a Choice out.

The rule is a multiple comparison with the best (Hsu, 1981): the truly best of a round's candidates is dropped in at
most ERROR_RATE of rounds, which figures and sentences name too. Another rule is a change of `judge`, and of what explains
it: `report.rule` in words, `least_step` and `replicates_needed` below in numbers. Figures, tables and sentences of rounds
take what they say from the Verdict. SciPy is imported when there is something to decide.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from nbstudy.decision.halving import Stage
from nbstudy.decision.metrics import Better, Metric

ERROR_RATE = 0.05  # the share of rounds in which the truly best candidate may be dropped
POWER = 0.8  # the chance with which enough replicates tell a difference
MOST_REPLICATES = 1000  # more are not worth counting
NODES = 80  # of each quadrature


@dataclass(frozen=True)
class Score:
    """What a run is judged by."""

    cost: float  # its settled value, so that lower is better; infinite where that is not finite, or not there
    configuration: str  # the first of its replicates: runs that are equal but for their seed
    spread: float = math.nan  # standard deviation within its settled epochs, NaN for a single epoch
    settled_epochs: int = 1
    is_copy: bool = False  # equal to an earlier run, its seed included: no replicate of it


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


@dataclass(frozen=True)
class Comparison:
    """A candidate against the one that speaks most against it."""

    other: str
    worse_by: float  # the difference of their costs, below zero where the candidate is the better one
    allowed: float  # the difference above which the candidate is dropped; infinite where chance is unknown

    @property
    def is_too_much(self) -> bool:
        """Whether the candidate is dropped by it."""
        return self.worse_by > self.allowed


@dataclass(frozen=True)
class Standing:
    """Where the candidates of a round stand, before anything is decided."""

    costs: dict[str, float]  # of the candidates that can be judged, means over their runs, best first
    runs: dict[str, int]  # how many runs each of these means is over
    noise: Noise

    @cached_property
    def finite(self) -> dict[str, float]:
        """The costs that are finite, best first."""
        return {name: cost for name, cost in self.costs.items() if math.isfinite(cost)}

    @property
    def best(self) -> str | None:
        """The candidate with the lowest cost; None where none is finite."""
        return next(iter(self.finite), None)

    @cached_property
    def excess(self) -> dict[str, float]:
        """How much each cost is above the best one."""
        lowest = min(self.costs.values(), default=math.inf)
        return {name: cost - lowest for name, cost in self.costs.items()}

    @cached_property
    def groups(self) -> Counter[int]:
        """How many finite candidates there are of each number of runs."""
        return Counter(self.runs[name] for name in self.finite)

    @cached_property
    def leaders(self) -> dict[int, list[str]]:
        """The two best candidates of each number of runs."""
        leaders: dict[int, list[str]] = {}
        for name in self.finite:
            same = leaders.setdefault(self.runs[name], [])
            if len(same) < 2:
                same.append(name)
        return leaders

    def rivals(self, name: str) -> list[str]:
        """Return the best other candidate of each number of runs: no other can say more against this one."""
        rivals = []
        for same in self.leaders.values():
            others = [other for other in same if other != name]
            rivals += others[:1]
        return rivals

    def allowed(self, name: str, other: str, runs: int | None = None) -> float:
        """Return by how much a candidate may be worse than another: `c * s * sqrt(1 / n + 1 / m)`.

        `runs` stands in for the number of its runs. Infinite where chance is unknown.
        """
        if runs is None:
            runs = self.runs[name]
        others = self.groups - Counter([self.runs[name]])
        critical = critical_value(runs, others, self.noise.degrees)
        return least_difference(critical, self.noise, runs, self.runs[other])

    def compare(self, name: str, other: str) -> Comparison:
        """Compare a candidate with another one."""
        return Comparison(other, self.costs[name] - self.costs[other], self.allowed(name, other))

    def ahead_of(self, name: str) -> list[str]:
        """Return the candidates that are better than one by more than chance explains, best first."""
        if name not in self.finite:
            return []
        return [other for other in self.finite if other != name and self.compare(name, other).is_too_much]

    def half_width(self, name: str) -> float:
        """Return half the width of the 95 % interval of a candidate's mean; NaN where chance is unknown."""
        if not self.noise.is_known:
            return math.nan
        return students_quantile(self.noise.degrees) * self.noise.deviation / math.sqrt(self.runs[name])


@dataclass(frozen=True)
class Verdict(Standing):
    """What the rule says of a round."""

    against: dict[str, Comparison]  # by candidate; one that is alone or not finite has none
    dropped: tuple[str, ...]  # best first

    @property
    def kept(self) -> list[str]:
        """The candidates that the rule keeps, best first."""
        return [name for name in self.costs if name not in self.dropped]

    @cached_property
    def spared(self) -> list[str]:
        """The kept candidates that would be dropped if their mean were over as many runs as the best one's."""
        if self.best is None:
            return []
        runs = self.runs[self.best]
        spared = []
        for name in self.kept:
            if self.runs[name] < runs and self.excess[name] > self.allowed(name, self.best, runs):
                spared.append(name)
        return spared

    def disputed(self, dropped: Collection[str]) -> list[str]:
        """Return the judged candidates that this or another decision drops, and not both; best first."""
        return [name for name in self.costs if (name in self.dropped) != (name in dropped)]


@dataclass(frozen=True)
class Choice:
    """What is chosen among candidates, and what another rule would choose."""

    chosen: str | None  # the smallest that the rule keeps; None where no candidate is finite
    verdict: Verdict  # of the rule on the candidates
    within_one_error: str | None  # the choice of the one-standard-error rule
    error: float  # the standard error of the best mean, NaN where chance is unknown


# --- values ---
# A curve is a value an epoch: None where nothing was measured, which is not the same as a value that is not finite.
def settled_epochs(values: Sequence[float | None]) -> list[float]:
    """Return what was measured in the last tenth of a curve, rounded up, or last of all where nothing was there.

    Nothing where it has no value at its end.
    """
    if lost_after(values) is not None:
        return []
    length = math.ceil(len(values) / 10)
    last = measured(values[len(values) - length :])
    return last or measured(values)[-1:]


def settled(values: Sequence[float | None]) -> float:
    """Return the mean of a curve's settled epochs; NaN where one of these is not finite, or none is there."""
    last = settled_epochs(values)
    if not last or not all(map(math.isfinite, last)):
        return math.nan
    return statistics.fmean(last)


def lost_after(values: Sequence[float | None]) -> int | None:
    """Return the epoch, from 1, after which a curve has no value though it should have; None where there is none.

    It should have one when its end is empty for longer than it ever was before: what is measured every n-th epoch
    may be empty there, and a loss of which the writer left out what is not a number is not.
    """
    longest = 0
    empty = 0
    last: int | None = None
    for epoch, value in enumerate(values, 1):
        if value is None:
            empty += 1
            continue
        longest = max(longest, empty)
        empty = 0
        last = epoch
    if empty > longest:
        return last
    return None


def measured(values: Iterable[float | None]) -> list[float]:
    """Return the values that were measured, finite or not."""
    return [value for value in values if value is not None]


def spread(values: Sequence[float | None]) -> float:
    """Return the standard deviation within a curve's settled epochs; NaN where it cannot be known."""
    last = settled_epochs(values)
    if len(last) < 2 or not all(map(math.isfinite, last)):
        return math.nan
    mean = statistics.fmean(last)
    squares = math.fsum((value - mean) ** 2 for value in last)
    return math.sqrt(squares / (len(last) - 1))


def best_epoch(values: Sequence[float | None], metric: Metric) -> tuple[float, int | None]:
    """Return the best value of a curve and the first epoch that has it, from 1; NaN and None of nothing finite."""
    finite = [value for value in measured(values) if math.isfinite(value)]
    if not finite:
        return math.nan, None
    best = min(finite)
    if metric.better is Better.HIGHER:
        best = max(finite)
    return best, values.index(best) + 1


# --- the rule ---
def judge(scores: Mapping[str, Score], candidates: Collection[str]) -> Verdict:
    """Drop the candidates that are worse than another by more than chance explains.

    A candidate's cost is the mean over its runs. It is dropped when it is above any other's by more than
    `c * s * sqrt(1 / n + 1 / m)`: s is the deviation between replicates, n and m are the numbers of runs of the two,
    and c is the critical value of a one-sided comparison of this candidate with all others. One that is no longer
    finite is always dropped; where chance is unknown, no other is.
    """
    standing = stand(scores, candidates)
    against = {}
    dropped = []
    for name in standing.costs:
        if name not in standing.finite:
            dropped.append(name)
            continue
        comparisons = [standing.compare(name, rival) for rival in standing.rivals(name)]
        if comparisons:
            against[name] = strongest(comparisons)
            if against[name].is_too_much:
                dropped.append(name)
    return Verdict(standing.costs, standing.runs, standing.noise, against, tuple(dropped))


def stand(scores: Mapping[str, Score], candidates: Collection[str]) -> Standing:
    """Rank candidates by their mean costs, equal ones in the order of scores.

    `scores` holds every run of the study that can be judged, since all replicates say what chance does. A candidate
    without a score is not ranked, and of candidates that are replicates of each other only the first is.
    """
    costs = {}
    numbers = {}
    for name, runs in runs_of_candidates(scores, candidates).items():
        costs[name] = statistics.fmean(scores[run].cost for run in runs)
        numbers[name] = len(runs)
    ranked = sorted(costs, key=costs.__getitem__)
    best = next((name for name in ranked if math.isfinite(costs[name])), None)
    return Standing({name: costs[name] for name in ranked}, numbers, noise_of(scores, best))


def strongest(comparisons: Collection[Comparison]) -> Comparison:
    """Return the comparison that speaks most against a candidate: the one that is most above what is allowed."""
    return max(comparisons, key=lambda each: (each.worse_by - each.allowed, each.worse_by))


def least_difference(critical: float, noise: Noise, runs: int, others_runs: int) -> float:
    """Return the least difference of two means that chance does not explain, infinite where it is unknown."""
    if not noise.is_known:
        return math.inf
    return critical * noise.deviation * math.sqrt(1 / runs + 1 / others_runs)


def least_step(noise: Noise, runs: int, others_runs: int) -> float:
    """Return the least difference that the rule sees between two alone."""
    critical = critical_value(runs, {others_runs: 1}, noise.degrees)
    return least_difference(critical, noise, runs, others_runs)


def critical_value(runs: int, others: Mapping[int, int], degrees: int) -> float:
    """Return the critical value of Dunnett's one-sided comparison of one group with others, at ERROR_RATE.

    `runs` is the number of runs of the one, `others` says how many other groups there are of each number of runs,
    and `degrees` are those of freedom of their common deviation. It solves
    `E_u E_z prod_j Phi((c u + l_j z) / sqrt(1 - l_j^2)) = 1 - ERROR_RATE` with `l_j^2 = n_j / (n_j + n)`, z standard
    normal and u^2 chi-squared over its degrees of freedom (Dunnett, 1955). NaN without others or degrees.
    """
    if not others or degrees < 1:
        return math.nan
    return solve_critical_value(runs, tuple(sorted(others.items())), degrees)


@lru_cache(maxsize=4096)
def solve_critical_value(runs: int, groups: tuple[tuple[int, int], ...], degrees: int) -> float:
    """Return the critical value against groups given as (number of runs, how many such groups)."""
    from scipy import optimize, special

    shares, share_weights = special.roots_legendre(NODES)  # of u's distribution, on -1 to 1
    u = (2 * special.gammaincinv(degrees / 2, (shares + 1) / 2) / degrees) ** 0.5
    u = u[:, None]
    z, z_weights = special.roots_hermitenorm(NODES)
    total = share_weights.sum() * z_weights.sum()

    def excess_coverage(c: float) -> float:
        inside = 1.0
        for others_runs, number in groups:
            share = others_runs / (others_runs + runs)
            inside = inside * special.ndtr((c * u + math.sqrt(share) * z) / math.sqrt(1 - share)) ** number
        return float(share_weights @ inside @ z_weights / total) - (1 - ERROR_RATE)

    return float(optimize.brentq(excess_coverage, 0.0, 1000.0))


def students_quantile(degrees: int) -> float:
    """Return how many standard errors a 95 % interval reaches to each side, by Student's distribution."""
    from scipy import special

    return float(special.stdtrit(degrees, 0.975))


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


# --- halving ---
def keep_best(scores: Mapping[str, Score], stage: Stage) -> Verdict:
    """Return the verdict of a rung that keeps a number of candidates: what it drops, whatever chance explains.

    `scores` are those of the runs by which it judges.
    """
    standing = stand(scores, stage.candidates)
    dropped: tuple[str, ...] = ()
    if not stage.waits_for:
        survivors = set(stage.survivors)
        dropped = tuple(name for name in stage.costs if name not in survivors)
    return Verdict(stage.costs, standing.runs, standing.noise, {}, dropped)


# --- the choice ---
def choose(scores: Mapping[str, Score], candidates: Collection[str], sizes: Mapping[str, int]) -> Choice:
    """Choose the smallest of the candidates that the rule keeps: the one with the fewest weights.

    `sizes` holds the number of weights of each run; of two of a size, or where it is not known, the better one is
    chosen. Where chance is unknown, and the rule keeps all, it is the best. Beside it stands what the
    one-standard-error rule chooses (Breiman, Friedman, Olshen and Stone, 1984): the smallest whose mean is within one
    standard error of the best mean.
    """
    verdict = judge(scores, candidates)
    best = verdict.best
    if best is None:
        return Choice(None, verdict, None, math.nan)
    error = verdict.noise.deviation / math.sqrt(verdict.runs[best])
    near = [name for name in verdict.finite if name == best or verdict.excess[name] <= error]
    chosen = best
    if verdict.noise.is_known:
        chosen = smallest(verdict.kept, sizes, verdict)
    return Choice(chosen, verdict, smallest(near, sizes, verdict), error)


def smallest(names: Collection[str], sizes: Mapping[str, int], verdict: Verdict) -> str:
    """Return the name with the fewest weights; where these are equal or unknown, the one with the lowest cost."""
    return min(names, key=lambda name: (sizes.get(name) or math.inf, verdict.costs[name]))


def replicates_needed(verdict: Verdict) -> int | None:
    """Return how many runs each of the two best needs for the rule to tell them apart, with POWER.

    That is at the difference and the deviation that were seen, whose degrees of freedom grow with the runs. None
    where they are told apart already or equal, where it takes more than MOST_REPLICATES, or without replicates.
    """
    first, second = (*verdict.finite, "", "")[:2]
    if not second or second in verdict.dropped or not verdict.excess[second] or verdict.noise.is_guess:
        return None
    has = verdict.runs[first], verdict.runs[second]
    low, high = max(has), MOST_REPLICATES
    if power_of(verdict, high) < POWER:
        return None
    if power_of(verdict, low) >= POWER and min(has) < max(has):
        return low
    while high - low > 1:  # `low` are too few, `high` are enough
        middle = (low + high) // 2
        if power_of(verdict, middle) >= POWER:
            high = middle
        else:
            low = middle
    return high


def power_of(verdict: Verdict, runs: int) -> float:
    """Return the chance that the rule drops the second best where the two best have so many runs each."""
    from scipy import special

    first, second, *rest = verdict.finite
    degrees = verdict.noise.degrees + 2 * runs - verdict.runs[first] - verdict.runs[second]
    others = Counter([runs, *(verdict.runs[name] for name in rest)])
    critical = critical_value(runs, others, degrees)
    shift = verdict.excess[second] / (verdict.noise.deviation * math.sqrt(2 / runs))
    return 1 - float(special.nctdtr(degrees, shift, critical))


# --- runs and replicates ---
def runs_of_candidates(scores: Mapping[str, Score], candidates: Collection[str]) -> dict[str, list[str]]:
    """Return the runs of each candidate that has a score: its own and its replicates, exact copies aside.

    Of candidates that are replicates or copies of each other, the first in the order of scores stands for all.
    """
    replicates = replicates_of(scores)
    runs = {}
    configurations = set()
    asked = set(candidates)
    for name, score in scores.items():
        if name in asked and score.configuration not in configurations:
            configurations.add(score.configuration)
            runs[name] = replicates.get(score.configuration, [name])
    return runs


def replicates_of(scores: Mapping[str, Score]) -> dict[str, list[str]]:
    """Return the runs of each configuration that are no copies, in the order of scores."""
    runs: dict[str, list[str]] = {}
    for name, score in scores.items():
        if not score.is_copy:
            runs.setdefault(score.configuration, []).append(name)
    return runs
