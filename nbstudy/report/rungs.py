"""A rung that keeps a number of candidates: those around its cut, and how clear that is. A part of rounds.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nbstudy.decision.elimination import Verdict, least_difference_of_two
from nbstudy.decision.halving import Stage
from nbstudy.decision.metrics import Metric, written
from nbstudy.decision.noise import Noise
from nbstudy.records.results import Results
from nbstudy.records.rounds import Round
from nbstudy.report.markdown import listed, plain, table
from nbstudy.report.phrases import link, noise_in_words

BEST_SHOWN = 3  # of a rung's candidates
NEAR_THE_CUT = 5  # on each side


@dataclass(frozen=True)
class Edge:
    """The two candidates between which a rung cuts."""

    last: str  # that goes on
    first: str  # that does not
    difference: float  # of their costs


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
    )


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
        if name in verdict.dropped:
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


def after_rung(cut: Cut) -> str:
    """Say who goes on from a rung, and how close the cut is."""
    stage = cut.stage
    if stage.waits_for:
        there = f"{len(stage.costs)} of {len(stage.candidates)} candidates are complete"
        return f"**Not decided yet:** {there}; it waits for {listed(stage.waits_for)}."
    if not stage.survivors:
        return "**None goes on:** all have diverged."
    sentences = [f"**{len(stage.survivors)} of {len(stage.candidates)} go on:** {listed(stage.survivors)}."]
    if cut.edge is not None:
        sentences.append(how_close_it_is(cut.edge))
        if cut.verdict.noise.is_known:
            sentences.append(how_sure_the_cut_is(cut.edge.difference, cut.verdict.noise))
        else:
            sentences.append("A single epoch without replicates does not tell what chance does.")
    if cut.diverged:
        sentences.append(f"{cut.diverged} diverged and cannot go on.")
    return " ".join(sentences)


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
