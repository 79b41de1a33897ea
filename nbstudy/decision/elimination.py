"""Eliminate candidates, and choose among those that are left: plain numbers in, a Verdict or a Choice out.

The rule is a multiple comparison with the best (Hsu, 1981). Its critical value is that of all candidates of a family, so
that the truly best of them is dropped anywhere, in whatever rounds they meet, with the family's error rate at most.
Another rule is a change of `judge`, and of what explains it: `report.rule` in words, `power` in numbers. Figures, tables
and sentences of rounds take what they say from the Verdict. SciPy is imported when there is something to decide.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING

from nbstudy.decision.blocks import (
    Design,
    Fit,
    Own,
    Seeds,
    finite_runs,
    fit_apart,
    fit_within_seeds,
    shared_seeds,
    variance,
)
from nbstudy.decision.critical import ERROR_RATE, critical_for, critical_value, students_quantile
from nbstudy.decision.metrics import ROUNDING
from nbstudy.decision.noise import Noise, noise_of
from nbstudy.decision.rivals import Rivals, most_above
from nbstudy.decision.scores import Score, runs_of_candidates

if TYPE_CHECKING:
    from nbstudy.decision.blocks import Array


@dataclass(frozen=True)
class Family:
    """All candidates that are compared by one metric at one length, in however many rounds."""

    candidates: tuple[str, ...]
    error_rate: float = ERROR_RATE  # with which the truly best of them may be dropped anywhere
    further: int = 0  # candidates beside them that the same runs left behind on the way


@dataclass(frozen=True)
class Comparison:
    """A candidate against the one that speaks most against it."""

    other: str
    worse_by: float  # the difference of their costs, below zero where the candidate is the better one
    allowed: float  # the difference above which the candidate is dropped; infinite where chance is unknown

    @property
    def above(self) -> float:
        """How much the difference is above what is allowed."""
        return self.worse_by - self.allowed

    @property
    def is_too_much(self) -> bool:
        """Whether the candidate is dropped by it."""
        return self.worse_by > self.allowed


# of a candidate: the seeds of its runs, and their deviation where it has replicates
Kind = tuple[Seeds, Own | None]


@dataclass(frozen=True)
class Standing:
    """Where the candidates of a round stand, before anything is decided."""

    costs: dict[str, float]  # of the candidates that can be judged, means over their runs, best first
    runs: dict[str, int]  # how many runs each of these means is over
    noise: Noise
    own: dict[str, Own] = field(default_factory=dict, kw_only=True)  # deviations of those with replicates
    family: Counter[Seeds] = field(default_factory=Counter, kw_only=True)  # how many have runs of such seeds
    error_rate: float = field(default=ERROR_RATE, kw_only=True)
    configurations: dict[str, str] = field(default_factory=dict, kw_only=True)  # of candidates, in the design
    within: Design | None = field(default=None, kw_only=True)  # of all runs; None where seeds are left out

    def seeds(self, name: str) -> Seeds:
        """Return the seeds of a candidate's runs; None for each where they are left out."""
        if self.within is None:
            return (None,) * self.runs[name]
        return self.within.seeds[self.configurations[name]]

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

    def allowed(self, name: str, other: str, like: str | None = None) -> float:
        """Return by how much a candidate may be worse than another: `c * s * sqrt(1 / n + 1 / m)`.

        It is as if it had as many runs as another one that it is `like`. Infinite where chance is unknown.
        """
        if not self.noise.is_known:
            return math.inf
        runs = self.seeds(like or name)
        error = math.sqrt(variance(self.within, runs, self.seeds(other)))
        critical = self.critical_against_others(runs, self.seeds(name), self.degrees(name, other))
        return critical * self.deviation(name, other) * error

    @property
    def numbers(self) -> Counter[int]:
        """How many of the family have so many runs each."""
        numbers = Counter[int]()
        for runs, count in self.family.items():
            numbers[len(runs)] += count
        return numbers

    @cached_property
    def criticals(self) -> dict[tuple[Seeds, Seeds, int], float]:
        """The critical values that were asked for: see `critical_against_others`."""
        return {}

    def critical_against_others(self, runs: Seeds, own: Seeds, degrees: int) -> float:
        """Return the critical value of one with these runs against the family without one that has its `own`."""
        asked = runs, own, degrees
        if asked not in self.criticals:
            others = self.family - Counter([own])
            self.criticals[asked] = critical_for(self.within, runs, others, degrees, self.error_rate)
        return self.criticals[asked]

    def deviation(self, name: str, other: str) -> float:
        """Return the deviation of a run of these two: the pooled one, or theirs alone where that is larger."""
        return max(self.noise.deviation, self.of_these_two(name, other).deviation)

    def degrees(self, name: str, other: str) -> int:
        """Return the degrees of freedom of that deviation: the fewer, the more of it is theirs alone.

        Of its square, the part that is the pooled one's has many, and what theirs has beyond that has few (after
        Satterthwaite, 1946).
        """
        theirs = self.of_these_two(name, other)
        if theirs.deviation <= self.noise.deviation * (1 + ROUNDING):
            return self.noise.degrees
        share = (1 - (self.noise.deviation / theirs.deviation) ** 2) ** 2
        return max(1, int(1 / (share / theirs.degrees + (1 - share) / self.noise.degrees)))

    def of_these_two(self, name: str, other: str) -> Own:
        """Return the deviation of these two alone; one without replicates borrows the pooled one."""
        one, two = self.own_of(name), self.own_of(other)
        n, m = self.runs[name], self.runs[other]
        parts = one.deviation**2 / n, two.deviation**2 / m
        together = sum(parts)
        if not together:
            return Own(0.0, self.noise.degrees)
        degrees = together**2 / (parts[0] ** 2 / one.degrees + parts[1] ** 2 / two.degrees)
        return Own(math.sqrt(together / (1 / n + 1 / m)), degrees)

    def borrows(self, name: str) -> bool:
        """Tell whether a candidate has no replicates, so that the deviation between those of others stands in."""
        return not self.noise.is_guess and self.noise.is_known and name not in self.own

    @property
    def least_step(self) -> float:
        """The least difference that the rule sees between two candidates of a single run each."""
        others = self.numbers - Counter([1])
        critical = critical_value(1, others, self.noise.degrees, self.error_rate)
        return least_difference(critical, self.noise, 1, 1)

    def compare(self, name: str, other: str) -> Comparison:
        """Compare a candidate with another one."""
        kinds = self.kind_of(name), self.kind_of(other)
        if kinds not in self.differences:
            self.differences[kinds] = self.allowed(name, other)
        return Comparison(other, self.costs[name] - self.costs[other], self.differences[kinds])

    @cached_property
    def differences(self) -> dict[tuple[Kind, Kind], float]:
        """The allowed differences that were asked for, by the kinds of two candidates, since many are alike."""
        return {}

    def kind_of(self, name: str) -> Kind:
        """Return what the differences follow from that are allowed to a finite candidate."""
        return self.seeds(name), self.own.get(name)

    @cached_property
    def foremost(self) -> list[str]:
        """The two best finite candidates of each kind, best first: no other one speaks most against any candidate."""
        found = Counter[Kind]()
        foremost = []
        for name in self.finite:
            found[self.kind_of(name)] += 1
            if found[self.kind_of(name)] <= 2:
                foremost.append(name)
        return foremost

    @cached_property
    def rivals(self) -> Rivals:
        """The foremost as arrays, against which one is compared at once."""
        owns = {name: self.own_of(name) for name in self.foremost}
        return Rivals.of(
            names=self.foremost,
            costs=[self.costs[name] for name in self.foremost],
            runs=[self.runs[name] for name in self.foremost],
            variances=[own.deviation**2 / self.runs[name] for name, own in owns.items()],
            degrees=[own.degrees for own in owns.values()],
        )

    def own_of(self, name: str) -> Own:
        """Return the deviation of a candidate's own runs; one without replicates borrows the pooled one."""
        return self.own.get(name, Own(self.noise.deviation, self.noise.degrees))

    def most_above(self, name: str) -> Array:
        """Return by how much a candidate is above what is allowed against each of the foremost, at most."""
        seeds = self.seeds(name)

        def critical(degrees: int) -> float:
            return self.critical_against_others(seeds, seeds, degrees)

        own, runs = self.own_of(name), self.runs[name]
        one = Rivals.of([name], [self.costs[name]], [runs], [own.deviation**2 / runs], [own.degrees])
        return most_above(one, self.rivals, self.noise, critical)

    def strongest(self, name: str) -> Comparison | None:
        """Return the comparison that speaks most against a candidate: the one that is most above what is allowed.

        None where it is alone.
        """
        if not self.noise.is_known:
            for other in self.foremost[:2]:
                if other != name:
                    return self.compare(name, other)
            return None
        strongest = None
        most = self.most_above(name)
        for _ in self.foremost:
            place = int(most.argmax())
            if most[place] == -math.inf or (strongest and most[place] < strongest.above):
                break
            comparison = self.compare(name, self.foremost[place])
            if strongest is None or comparison.above > strongest.above:
                strongest = comparison
            most[place] = -math.inf
        return strongest

    def ahead_of(self, name: str) -> list[str]:
        """Return the candidates that are better than one by more than chance explains, best first."""
        if name not in self.finite:
            return []
        return [other for other in self.finite if other != name and self.compare(name, other).is_too_much]

    def half_width(self, name: str) -> float:
        """Return half the width of the 95 % interval of a candidate's mean; NaN where chance is unknown."""
        noise = self.noise.of_a_mean
        if not noise.is_known:
            return math.nan
        return students_quantile(noise.degrees) * noise.deviation / math.sqrt(self.runs[name])


@dataclass(frozen=True)
class Verdict(Standing):
    """What the rule says of a round."""

    against: dict[str, Comparison]  # by candidate; one that is alone or not finite has none
    dropped: tuple[str, ...]  # best first

    @cached_property
    def all_dropped(self) -> frozenset[str]:
        """The dropped in no order, among which a name is found as soon where they are many."""
        return frozenset(self.dropped)

    def drops(self, name: str) -> bool:
        """Tell whether the rule drops a candidate."""
        return name in self.all_dropped

    @cached_property
    def kept(self) -> list[str]:
        """The candidates that the rule keeps, best first."""
        return [name for name in self.costs if not self.drops(name)]

    @cached_property
    def spared(self) -> list[str]:
        """The kept candidates that would be dropped if their mean were over as many runs as the best one's."""
        if self.best is None:
            return []
        runs = self.runs[self.best]
        spared = []
        kept = [name for name in self.kept if name in self.finite]  # all are kept by a rung that waits
        for name in kept:
            if self.runs[name] < runs and self.excess[name] > self.allowed(name, self.best, like=self.best):
                spared.append(name)
        return spared

    def borrowed(self, name: str) -> list[str]:
        """Return those of a candidate and of the one that speaks most against it that borrow their deviation."""
        compared = [name]
        if name in self.against:
            compared.append(self.against[name].other)
        return [each for each in compared if len(compared) > 1 and self.borrows(each)]

    def disputed(self, dropped: Collection[str]) -> list[str]:
        """Return the judged candidates that this or another decision drops, and not both; best first."""
        others = set(dropped)
        return [name for name in self.costs if self.drops(name) != (name in others)]


@dataclass(frozen=True)
class Choice:
    """What is chosen among candidates, and what another rule would choose."""

    chosen: str | None  # the smallest that the rule keeps; None where no candidate is finite
    verdict: Verdict  # of the rule on the candidates
    within_one_error: str | None  # the choice of the one-standard-error rule
    error: float  # the standard error of the best mean, NaN where chance is unknown


# --- the rule ---
def judge(scores: Mapping[str, Score], candidates: Collection[str], family: Family | None = None) -> Verdict:
    """Drop the candidates that are worse than another by more than chance explains.

    A candidate's cost is the mean over its runs. It is dropped when it is above any other's by more than
    `c * s * sqrt(1 / n + 1 / m)`: s is the deviation between replicates of the whole study, or of these two where that
    is larger, n and m are the numbers of runs of the two, and c is the critical value, for the degrees of freedom of s,
    of a one-sided comparison of this candidate with all others of its family, in whatever rounds they meet; without a
    family these are the candidates.
    One that is no longer finite is always dropped; where chance is unknown, no other is.
    """
    standing = stand(scores, candidates, family)
    against = {}
    dropped = []
    for name in standing.costs:
        if name not in standing.finite:
            dropped.append(name)
            continue
        comparison = standing.strongest(name)
        if comparison is not None:
            against[name] = comparison
            if comparison.is_too_much:
                dropped.append(name)
    return verdict_on(standing, against, dropped)


def verdict_on(standing: Standing, against: Mapping[str, Comparison], dropped: Collection[str]) -> Verdict:
    """Return the verdict that drops some of the candidates where they stand so."""
    own = {each.name: getattr(standing, each.name) for each in fields(standing)}
    return Verdict(**own, against=dict(against), dropped=tuple(dropped))


def stand(scores: Mapping[str, Score], candidates: Collection[str], family: Family | None = None) -> Standing:
    """Rank candidates by their mean costs, equal ones in the order of scores.

    `scores` holds every run of the study that can be judged, since all replicates say what chance does. A candidate
    without a score is not ranked, and of candidates that are replicates of each other only the first is.
    """
    if family is None:
        family = Family(tuple(candidates))
    runs = finite_runs(scores)
    members = whole_configurations(scores, [*candidates, *family.candidates])
    within = fit_within_seeds(runs, members)
    apart = fit_apart(runs)
    fitted = within or apart
    shared = shared_seeds(fitted.design.seeds, members)
    costs = {}
    numbers = {}
    configurations = {}
    for name, own_runs in runs_of_candidates(scores, candidates).items():
        configurations[name] = scores[name].configuration
        numbers[name] = len(own_runs)
        costs[name] = math.inf
        if configurations[name] in members:
            costs[name] = fitted.estimate(configurations[name], shared)
    ranked = sorted(costs, key=costs.__getitem__)
    best = next((name for name in ranked if math.isfinite(costs[name])), None)
    own = {name: fitted.own[of] for name, of in configurations.items() if of in fitted.own}
    return Standing(
        {name: costs[name] for name in ranked},
        numbers,
        noise_of(scores, apart, within, best),
        own=own,
        family=seeds_of_family(fitted, members, family.further),
        error_rate=family.error_rate,
        configurations=configurations,
        within=within.design if within else None,
    )


def whole_configurations(scores: Mapping[str, Score], candidates: Collection[str]) -> Collection[str]:
    """Return the configurations of candidates all of whose runs are finite; one is found as soon where they are many."""
    whole: dict[str, None] = {}
    for name, runs in runs_of_candidates(scores, candidates).items():
        if all(math.isfinite(scores[run].cost) for run in runs):
            whole[scores[name].configuration] = None
    return whole.keys()


def seeds_of_family(fitted: Fit, members: Collection[str], further: int) -> Counter[Seeds]:
    """Return how many configurations have runs of such seeds.

    Those `further` ones that are not among the members are as most of these are.
    """
    family = Counter(fitted.design.seeds[configuration] for configuration in members)
    for usual, _ in family.most_common(1):
        family[usual] += further
    return family


def least_difference(critical: float, noise: Noise, runs: int, others_runs: int) -> float:
    """Return the least difference of two means that chance does not explain, infinite where it is unknown."""
    if not noise.is_known:
        return math.inf
    return critical * noise.deviation * math.sqrt(1 / runs + 1 / others_runs)


def least_difference_of_two(noise: Noise) -> float:
    """Return the least difference that chance does not explain between two single runs that are compared alone."""
    return least_difference(critical_value(1, {1: 1}, noise.degrees), noise, 1, 1)


# --- the choice ---
def choose(
    scores: Mapping[str, Score],
    candidates: Collection[str],
    sizes: Mapping[str, int],
    family: Family | None = None,
) -> Choice:
    """Choose the smallest of the candidates that the rule keeps: the one with the fewest weights.

    `sizes` holds the number of weights of each run; of two of a size, or where it is not known, the better one is
    chosen. Where chance is unknown, and the rule keeps all, it is the best. Beside it stands what the
    one-standard-error rule chooses (Breiman, Friedman, Olshen and Stone, 1984): the smallest whose mean is within one
    standard error of the best mean.
    """
    return choice_on(judge(scores, candidates, family), sizes)


def choice_on(verdict: Verdict, sizes: Mapping[str, int]) -> Choice:
    """Choose on a verdict, as `choose` says."""
    best = verdict.best
    if best is None:
        return Choice(None, verdict, None, math.nan)
    error = verdict.noise.of_a_mean.deviation / math.sqrt(verdict.runs[best])
    near = [name for name in verdict.finite if name == best or verdict.excess[name] <= error]
    chosen = best
    if verdict.noise.is_known:
        chosen = smallest(verdict.kept, sizes, verdict)
    return Choice(chosen, verdict, smallest(near, sizes, verdict), error)


def smallest(names: Collection[str], sizes: Mapping[str, int], verdict: Verdict) -> str:
    """Return the name with the fewest weights; where these are equal or unknown, the one with the lowest cost."""
    return min(names, key=lambda name: (sizes.get(name) or math.inf, verdict.costs[name]))
