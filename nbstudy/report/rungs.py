"""A rung that keeps a number of candidates: those around its cut, and how clear that is. A part of rounds.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nbstudy.decision.elimination import Verdict, least_difference_of_two
from nbstudy.decision.halving import RULE, Stage, differs_wholly
from nbstudy.decision.metrics import Metric, written
from nbstudy.decision.noise import Noise
from nbstudy.decision.odds import chance_of_the_best
from nbstudy.markdown import plain
from nbstudy.records.results import Results
from nbstudy.records.rounds import Round
from nbstudy.records.rungs import stage_before
from nbstudy.report.markdown import listed, table
from nbstudy.report.phrases import link, noise_in_words, probability
from nbstudy.words import counted, enumerated

BEST_SHOWN = 3  # of a rung's candidates
NEAR_THE_CUT = 5  # on each side


@dataclass(frozen=True)
class Edge:
    """The two candidates between which a rung cuts."""

    last: str  # that goes on
    first: str  # that does not
    difference: float  # of their costs


@dataclass(frozen=True)
class Passage:
    """How likely the best has come through all rungs."""

    deviations: dict[int, float]  # of a run, by the epochs of each rung that cuts
    chances: list[float]  # that the best at these epochs went on

    @property
    def together(self) -> float:
        """The probability that it always did."""
        return math.prod(self.chances)


@dataclass(frozen=True, eq=False)
class Cut:
    """What there is to say of a rung that keeps a number of candidates."""

    results: Results
    stage: Stage
    metric: Metric
    verdict: Verdict
    places: list[int]  # of the ranking that are shown, from 0
    edge: Edge | None  # None where all that are finite go on
    diverged: int  # candidates
    chance: float  # that the best at these epochs goes on; NaN where nobody knows what chance does
    differing: list[str]  # parameters in which both sides differ wholly, though not one epoch earlier

    @property
    def ranked(self) -> list[str]:
        """The candidates whose runs are complete, best first."""
        return [*self.verdict.costs]


def cut_of(results: Results, each: Round, verdict: Verdict) -> Cut | None:
    """Return where a round cuts; None where it is no rung, or the last one, where the rule decides."""
    stage = each.stage
    if stage is None or stage.rung.keep is None:
        return None
    edge = None
    dropped = [name for name in verdict.dropped if name in verdict.finite]
    if stage.survivors and dropped:
        last, first = verdict.kept[-1], dropped[0]
        edge = Edge(last, first, verdict.costs[first] - verdict.costs[last])
    return Cut(
        results=results,
        stage=stage,
        metric=each.metric,
        verdict=verdict,
        places=places_near_the_cut(len(verdict.costs), len(verdict.kept)),
        edge=edge,
        diverged=len(stage.costs) - len(verdict.finite),
        chance=chance_of_the_best(verdict, stage.survivors) if stage.survivors else math.nan,
        differing=differing_of_late(results, stage),
    )


def differing_of_late(results: Results, stage: Stage) -> list[str]:
    """Return the parameters in which those that go on differ wholly from the others, though not one epoch earlier."""
    before = stage_before(results, stage)
    if before is None:
        return []
    differing = []
    for parameter in results.parameters.factors:
        values = {name: results.runs[name].parameters.get(parameter) for name in stage.candidates}
        if differs_wholly(stage, values) and not differs_wholly(before, values):
            differing.append(parameter)
    return differing


def passage_of(results: Results, each: Round) -> Passage | None:
    """Return how likely the best has come through, for the last rung, or the first lap of the race in its place.

    None in other rounds, or where that is not known.
    """
    is_last_rung = each.stage is not None and each.stage.rung.keep is None
    is_first_lap = each.lap is not None and each.lap.number == 1
    if each.number == 1 or not (is_last_rung or is_first_lap):
        return None
    deviations = {}
    chances = []
    for earlier in results.rounds[: each.number - 1]:
        verdict = results.judge(earlier)
        stage = earlier.stage
        if stage is None or verdict.noise.is_guess or not verdict.noise.is_known:
            return None
        deviations[stage.rung.epochs] = verdict.noise.of_a_mean.deviation
        chances.append(chance_of_the_best(verdict, stage.survivors))
    return Passage(deviations, chances)


def table_of_rung(cut: Cut) -> str:
    """Show the best of a rung's candidates and those nearest its cut, with what the search varies."""
    rows = []
    verdict = cut.verdict
    for place in cut.places:
        name = cut.ranked[place]
        run = cut.results.runs[name]
        row: dict[str, Any] = {"place": place + 1, "candidate": link(run)}
        row[cut.metric.name] = cut.metric.value(verdict.costs[name])
        if verdict.runs[name] > 1:
            row["runs"] = verdict.runs[name]
        row["goes on"] = "yes"
        if verdict.drops(name):
            row["goes on"] = "no"
        for parameter in cut.results.parameters.factors:
            row[parameter] = str(run.parameters.get(parameter))
        rows.append(row)
    text = table(rows)
    if len(rows) < len(cut.ranked):
        text += (
            f"\n\nThese are the best, and those on both sides of the cut, of {len(cut.ranked)} candidates."
        )
    return text


def places_near_the_cut(number: int, kept: int) -> list[int]:
    """Return which places of a ranking to show, from 0: the first ones, and those on both sides of the cut."""
    shown = set(range(BEST_SHOWN))
    shown |= set(range(kept - NEAR_THE_CUT, kept + NEAR_THE_CUT))
    return [place for place in range(number) if place in shown]


def odd_of_a_rung(cut: Cut) -> list[str]:
    """Say what a reader of all rungs has to know of one: that it waits, that none goes on, or what may have decided."""
    if cut.stage.waits_for or not cut.stage.survivors:
        return [f"Rung at {counted(cut.stage.rung.epochs, 'epoch')}: {after_rung(cut)}"]
    if cut.differing:
        return [how_they_differ(cut)]
    return []


def after_rung(cut: Cut) -> str:
    """Say who goes on from a rung, and how close the cut is."""
    stage = cut.stage
    if stage.waits_for:
        return not_decided_yet(len(stage.candidates), stage.waits_for)
    if not stage.survivors:
        return "**None goes on:** all have diverged."
    sentences = [f"**{len(stage.survivors)} of {len(stage.candidates)} go on:** {listed(stage.survivors)}."]
    if stage.rung.keep == RULE:
        sentences.append(
            f"The rule drops {len(stage.dropped)}; of those that it keeps, at most {stage.rung.most} go on."
        )
    if cut.edge is not None:
        sentences.append(how_close_it_is(cut.edge))
        if cut.verdict.noise.is_known:
            sentences.append(how_sure_the_cut_is(cut.edge.difference, cut.verdict.noise))
        else:
            sentences.append("A single epoch without replicates does not tell what chance does.")
    if not math.isnan(cut.chance) and not cut.verdict.noise.is_guess:
        sentences.append(
            f"The best at these epochs is among those that go on with a probability of {probability(cut.chance)}."
        )
    if cut.differing:
        sentences.append(how_they_differ(cut))
    if cut.diverged:
        sentences.append(f"{cut.diverged} diverged and cannot go on.")
    return " ".join(sentences)


def not_decided_yet(candidates: int, waits_for: Sequence[str]) -> str:
    """Say for whom a rung or a lap of so many candidates waits."""
    there = f"{candidates - len(waits_for)} of {candidates} candidates are complete"
    return f"**Not decided yet:** {there}; it waits for {listed(waits_for)}."


def how_they_differ(cut: Cut) -> str:
    """Say in which parameter both sides of a cut differ wholly, though they did not one epoch earlier."""
    epochs = cut.stage.rung.epochs
    return (
        f"**After {counted(epochs, 'epoch')} all that go on differ from all others in {listed(cut.differing)}, and after "
        f"{epochs - 1} they would not:** what runs of one value have in common there, such as the order of their batches, "
        "may have decided."
    )


def how_likely_the_best_came(passage: Passage) -> str:
    """Say how likely the best of all candidates is to have come through the rungs."""
    by_epochs = [
        f"{written(deviation)} at {counted(epochs, 'epoch')}"
        for epochs, deviation in passage.deviations.items()
    ]
    chances = enumerated(map(probability, passage.chances))
    return (
        f"**The best of all candidates has come through with a probability of {probability(passage.together)}**, if curves do "
        f"not cross later. Replicates show that chance alone changes a run by {enumerated(by_epochs)}; by this the best at "
        f"the epochs of each rung went on with {chances}."
    )


def how_close_it_is(edge: Edge) -> str:
    """Say by how much those that go on are ahead."""
    difference = written(edge.difference)
    last, first = plain(edge.last), plain(edge.first)
    return f"The last that does, {last}, is ahead of the first that does not, {first}, by {difference}."


def how_sure_the_cut_is(difference: float, noise: Noise) -> str:
    """Say whether chance explains the difference between both sides of a cut."""
    text = noise_in_words(noise)
    if difference <= least_difference_of_two(noise):
        return f"{text} So another seed could have changed places near the cut: it is there to save time, and decides nothing else."
    return f"{text} The cut is clear."
