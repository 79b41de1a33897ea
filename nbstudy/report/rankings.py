"""All configurations, judged by one criterion: by a metric over some epochs, or by its best epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from nbstudy.decision.elimination import Family, Verdict, choice_on, choose, judge
from nbstudy.decision.metrics import Metric, can_decide, data_of
from nbstudy.decision.scores import Score, runs_of_candidates
from nbstudy.records.results import Results
from nbstudy.records.rounds import decisive_runs, decisive_scores, runs_of_racers
from nbstudy.records.rungs import first_by_name
from nbstudy.records.scores import scores_of


@dataclass(frozen=True)
class Ranking:
    """All configurations, judged by one criterion."""

    title: str  # the criterion in words
    metric: Metric
    verdict: Verdict
    chosen: str | None  # what would be chosen by it, among the candidates of the last round
    runs: dict[str, list[str]] = field(default_factory=dict)  # by which each configuration is judged
    epochs: int | None = None  # how many of them count; None: all
    by_best_epoch: bool = False

    @property
    def what(self) -> str:
        """The criterion in words of a sentence."""
        if self.by_best_epoch:
            return f"{self.metric} at the best epoch"
        return self.title

    @cached_property
    def values(self) -> dict[str, float]:
        """The values that are finite, best first."""
        costs = self.verdict.costs
        return {name: self.metric.value(costs[name]) for name in costs if math.isfinite(costs[name])}


def ranking_of(
    results: Results, metric: Metric | None = None, epochs: int | None = None, by_best_epoch: bool = False
) -> Ranking:
    """Rank all configurations that can be compared: by the first epochs, all where that is not said.

    Where there are rungs, and no epochs are asked for, it ranks the candidates of the highest one reached, or of the
    race after them. By the metric of a race it keeps what the race keeps.
    """
    if metric is None:
        metric = results.metric
    return find_ranking(results, metric, epochs, by_best_epoch)


@lru_cache(maxsize=16)  # those of a page, several of whose sections ask for the same one
def find_ranking(results: Results, metric: Metric, epochs: int | None, by_best_epoch: bool) -> Ranking:
    """Rank all configurations as `ranking_of` does."""
    is_by_the_rounds = metric == results.metric and epochs is None and not by_best_epoch
    scores = scores_of(results, metric, epochs, by_best_epoch)
    compared = comparable(results)
    decisive = decisive_runs(results, results.rounds)
    if decisive and epochs is None:
        scores = by_candidate(scores, decisive)
        if is_by_the_rounds:
            scores = decisive_scores(results, results.rounds)
        compared = list(decisive)
    verdict = judge(scores, compared)
    candidates, family = candidates_of_choice(results), family_of_choice(results)
    if candidates == compared and family in (None, Family(tuple(compared))):  # which is the same verdict
        chosen = choice_on(verdict, results.sizes).chosen
    else:
        chosen = choose(scores, candidates, results.sizes, family).chosen
    if runs_of_racers(results.rounds) and is_by_the_rounds:
        verdict = as_raced(verdict, results)
        chosen = results.choose().chosen
    title = results.title(metric)
    if by_best_epoch:
        title = f"best {metric}"
    runs = runs_of_candidates(scores, compared)
    if decisive and epochs is None:
        runs = {name: decisive[name] for name in runs}
        epochs = results.rounds[-1].epochs
    return Ranking(title, metric, verdict, chosen, runs, epochs, by_best_epoch)


def as_raced(verdict: Verdict, results: Results) -> Verdict:
    """Return a verdict that drops of those in a race the ones that were dropped in any of its laps."""
    racers = runs_of_racers(results.rounds)
    behind = {name for each in results.rounds if each.lap is not None for name in each.lap.verdict.dropped}
    dropped = []
    for name in verdict.costs:
        if name in behind or (verdict.drops(name) and name not in racers):
            dropped.append(name)
    return replace(verdict, dropped=tuple(dropped))


def candidates_of_choice(results: Results) -> list[str]:
    """Return the candidates of the last round; of a race, all that take part."""
    racers = runs_of_racers(results.rounds)
    if racers:
        return list(racers)
    return [name for each in results.rounds[-1:] for name in each.candidates]


def family_of_choice(results: Results) -> Family | None:
    """Return the family of the last round, by whose error rate the choice is made; None where all are one."""
    for last in results.rounds[-1:]:
        if last.lap is None:
            return last.family
    return None


def rankings_of(results: Results) -> list[Ranking]:
    """Rank by every criterion: what runs come to by the metric that decides, its best epoch, other metrics.

    One is left out that gives the same values as one before it, as a loss does that contains no penalty after all.
    """
    rankings = [ranking_of(results)]
    if results.is_by_epoch(results.metric):
        rankings.append(ranking_of(results, by_best_epoch=True))
    rankings += [ranking_of(results, metric) for metric in watched_metrics(results)[1:]]
    unlike: list[Ranking] = []
    for ranking in rankings:
        if all(ranking.values != other.values for other in unlike):
            unlike.append(ranking)
    return unlike


def watched_metrics(results: Results) -> list[Metric]:
    """Return the metric that decides, and others that could: measured on the same data, their direction known."""
    watched = [results.metric]
    for name in results.metrics:
        metric = results.metric_called(name)
        is_alike = data_of(name) == data_of(results.metric.name)
        if name != results.metric.name and metric.better and is_alike and can_decide(name):
            watched.append(metric)
    return watched


def comparable(results: Results) -> list[str]:
    """Return the configurations that can be compared: no replicates, and not the final one unless in a round."""
    candidates = {name for each in results.rounds for name in each.candidates}
    firsts = dict.fromkeys(results.parameters.first.values())
    return [name for name in firsts if name != results.final or name in candidates]


def by_candidate(scores: Mapping[str, Score], runs: Mapping[str, Sequence[str]]) -> dict[str, Score]:
    """Return scores of some runs of each candidate, of which the first goes by the candidate's name."""
    named: dict[str, Score] = {}
    for name, own_runs in runs.items():
        own = {
            run: replace(scores[run], configuration=name, is_copy=False) for run in own_runs if run in scores
        }
        named |= first_by_name(name, own)
    return named
