"""All configurations, judged by one criterion: by a metric over some epochs, or by its best epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nbstudy.decision.elimination import Family, Verdict, choose, judge
from nbstudy.decision.halving import Stage
from nbstudy.decision.metrics import Metric, can_decide, data_of
from nbstudy.decision.scores import Score, runs_of_candidates
from nbstudy.records.results import Results
from nbstudy.records.rungs import first_by_name, runs_at, scores_at
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

    @property
    def values(self) -> dict[str, float]:
        """The values that are finite, best first."""
        costs = self.verdict.costs
        return {name: self.metric.value(costs[name]) for name in costs if math.isfinite(costs[name])}


def ranking_of(
    results: Results, metric: Metric | None = None, epochs: int | None = None, by_best_epoch: bool = False
) -> Ranking:
    """Rank all configurations that can be compared: by the first epochs, all where that is not said.

    Where there are rungs, and no epochs are asked for, it ranks the candidates of the highest one reached.
    """
    if metric is None:
        metric = results.metric
    scores = scores_of(results, metric, epochs, by_best_epoch)
    compared = comparable(results)
    candidates = [name for each in results.rounds[-1:] for name in each.candidates]
    top = top_rung(results)
    if top is not None and epochs is None:  # others have not trained as long
        scores = on_rung(results, top, scores)
        if metric == results.metric and not by_best_epoch:
            scores = scores_at(results, top)
        compared = candidates
    chosen = choose(scores, candidates, results.sizes, family_of_choice(results)).chosen
    title = results.title(metric)
    if by_best_epoch:
        title = f"best {metric}"
    runs = runs_of_candidates(scores, compared)
    if top is not None and epochs is None:
        runs = {name: runs_at(results, name, top.rung) for name in runs}
        epochs = top.rung.epochs
    return Ranking(title, metric, judge(scores, compared), chosen, runs, epochs)


def family_of_choice(results: Results) -> Family | None:
    """Return the family of the last round, by whose error rate the choice is made; None where there is none."""
    for last in results.rounds[-1:]:
        return last.family
    return None


def rankings_of(results: Results) -> list[Ranking]:
    """Rank by every criterion: what runs come to by the metric that decides, its best epoch, other metrics."""
    rankings = [ranking_of(results)]
    if results.is_by_epoch(results.metric):
        rankings.append(ranking_of(results, by_best_epoch=True))
    rankings += [ranking_of(results, metric) for metric in watched_metrics(results)[1:]]
    return rankings


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


def top_rung(results: Results) -> Stage | None:
    """Return the highest rung that was reached; None where there are none."""
    for top in results.rounds[-1:]:
        return top.stage
    return None


def on_rung(results: Results, stage: Stage, scores: Mapping[str, Score]) -> dict[str, Score]:
    """Return scores of the runs by which a rung judges, as `scores_at` names them."""
    named: dict[str, Score] = {}
    for name in stage.candidates:
        runs = [run for run in runs_at(results, name, stage.rung) if run in scores]
        own = {run: replace(scores[run], configuration=name, is_copy=False) for run in runs}
        named |= first_by_name(name, own)
    return named
