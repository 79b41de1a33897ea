"""What there is to say of each round: who is dropped and why, beside what the original did."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbstudy.decision.elimination import Verdict
from nbstudy.decision.settling import lost_after, measured, settled
from nbstudy.markdown import plain
from nbstudy.records.results import Results
from nbstudy.records.rounds import Round, has_original, runs_in
from nbstudy.records.states import State
from nbstudy.report.curves import Curve, curves_of
from nbstudy.report.markdown import listed, table_of_many
from nbstudy.report.phrases import (
    borrowed,
    comparison_cells,
    decision,
    link,
    no_value_after,
    noise_in_words,
    progress,
    why_nothing_decides,
    why_refitted,
)
from nbstudy.report.rungs import (
    Cut,
    Passage,
    after_rung,
    cut_of,
    how_likely_the_best_came,
    not_decided_yet,
    passage_of,
    table_of_rung,
)
from nbstudy.words import counted

NOT_SET = (
    " (not set by both)"  # of a parameter in which two differ, though it may have no effect on one of them
)


@dataclass(frozen=True, eq=False)
class Judged:
    """What there is to say of a round."""

    results: Results
    each: Round
    verdict: Verdict
    values: dict[
        str, float
    ]  # of the candidates, best first, then of those that are not judged: see `value_in_round`
    curves: list[Curve]  # of the first of these
    cut: Cut | None  # of a rung from which candidates go on
    passage: Passage | None  # of the last rung, or the race in its place: how likely the best has come to it
    undecided: str  # why nothing can be decided by its metric; empty where it can
    has_original: bool  # whether the study file tells of an original elimination


def compute(results: Results, each: Round) -> Judged:
    """Judge a round."""
    verdict = results.judge(each)
    not_judged = [name for name in each.candidates if name not in verdict.costs]
    names = [*verdict.costs, *not_judged]
    return Judged(
        results=results,
        each=each,
        verdict=verdict,
        values={name: value_in_round(results, each, name, verdict) for name in names},
        curves=curves_of(results, each.candidates, verdict, each.metric, each.epochs, runs_in(results, each)),
        cut=cut_of(results, each, verdict),
        passage=passage_of(results, each),
        undecided=why_nothing_decides(results, each.metric),
        has_original=has_original(results.rounds),
    )


def write(judged: Judged) -> str:
    """Return what there is to say of a round: its table, what the rule drops and why."""
    return "\n\n".join([table_of_round(judged), after_round(judged)])


# --- what there is to say ---
def value_in_round(results: Results, each: Round, name: str, verdict: Verdict) -> float:
    """Return what a candidate is judged by, NaN where it is not; where nothing decides, what it comes to."""
    if each.metric.better is None:
        return settled(results.values(name, each.metric.name, each.epochs))
    return each.metric.value(verdict.costs.get(name, math.inf))


def notes_on(
    results: Results,
    each: Round,
    name: str,
    verdict: Verdict,
    differing: Sequence[str],
    dropped_before: Mapping[str, int],
) -> list[str]:
    """Return what to be careful of with a candidate."""
    run = results.runs[name]
    notes = []
    if name in dropped_before:
        notes.append(f"brought back, dropped in round {dropped_before[name]}")
    at_once = [parameter for parameter in differing if not parameter.endswith(NOT_SET)]
    if len(at_once) > 1:
        notes.append(f"{len(at_once)} parameters at once")
    if name in verdict.spared:
        most = verdict.runs[verdict.best or name]
        notes.append(
            f"kept because it has {counted(verdict.runs[name], 'run')}: with {most} it would be dropped"
        )
    if name != verdict.best and borrowed(name, verdict):
        notes.append(borrowed(name, verdict))
    stands_for_it = results.parameters.first[name]
    if run.state is not State.COMPLETE:
        notes.append(progress(run))
    elif name not in verdict.costs and stands_for_it in verdict.costs:
        notes.append(f"a replicate of {stands_for_it}")
    elif results.is_refitted(name):
        notes.append(why_refitted(results, run))
    elif not measured(results.values(name, each.metric.name, each.epochs)):
        notes.append(f"has no {each.metric}")
    lost = lost_after(results.values(name, each.metric.name, each.epochs))
    if lost is not None:
        notes.append(no_value_after(each.metric.name, lost))
    return notes


def differing_in(results: Results, name: str, best: str) -> list[str]:
    """Return the parameters in which two configurations differ, after which it is said of one that one does not set."""
    parameters = results.parameters
    differing = parameters.differing(name, best, parameters.factors)
    unset = {*parameters.not_set(name, differing), *parameters.not_set(best, differing)}
    told = []
    for parameter in differing:
        text = parameter
        if parameter in unset:
            text += NOT_SET
        told.append(text)
    return told


def rounds_of_dropping(rounds: Sequence[Round]) -> dict[str, int]:
    """Return in which of these rounds the original dropped a candidate, the last one if in several."""
    return {name: each.number for each in rounds for name in each.originally_dropped}


# --- the table ---
def table_of_round(judged: Judged) -> str:
    """Show the candidates of a round, best first, with what to be careful of; of a rung, those nearest its cut."""
    if judged.cut is not None:
        return table_of_rung(judged.cut)
    results, each, verdict = judged.results, judged.each, judged.verdict
    dropped_before = rounds_of_dropping(results.rounds[: each.number - 1])

    def row_of(name: str) -> dict[str, Any]:
        differing = differing_in(results, name, verdict.best or name)
        row: dict[str, Any] = {"candidate": link(results.runs[name])}
        row[each.metric.name] = judged.values[name]
        row["runs"] = verdict.runs.get(name)
        row |= comparison_cells(name, verdict)
        row["rule"] = decision(name, verdict)
        if each.lap is not None and each.lap.waits_for:
            row["rule"] = "not decided yet"
        if judged.has_original:
            row["original"] = "kept"
        if name in each.originally_dropped:
            row["original"] = "dropped"
        row["differs from the best in"] = ", ".join(differing)
        row["note"] = "; ".join(notes_on(results, each, name, verdict, differing, dropped_before))
        return row

    return table_of_many([*judged.values], row_of)


# --- the sentences ---
def what_is_compared(each: Round, by_epoch: bool) -> str:
    """Say by what a round compares."""
    metric = each.metric
    told: str = plain(metric)
    if metric.better:
        told += f" ({metric.better} is better)"
    if not by_epoch:
        if each.epochs:
            return f"By {told} at the end of each run, as no history has it: `epochs: {each.epochs}` has no effect."
        return f"By {told}."
    if each.epochs:
        return f"By {told} over the first {counted(each.epochs, 'epoch')}."
    return f"By {told} over all epochs."


def after_round(judged: Judged) -> str:
    """Say what the rule drops in a round and why, and whether the original did the same."""
    if judged.cut is not None:
        return after_rung(judged.cut)
    verdict, lap = judged.verdict, judged.each.lap
    if lap is not None and lap.waits_for and not judged.undecided:
        return not_decided_yet(len(lap.candidates), lap.waits_for)
    if not verdict.costs:
        if judged.undecided:
            return f"**Nothing is decided here:** {judged.undecided}."
        return "None of the candidates can be judged yet."
    sentences = [what_is_dropped(verdict), noise_in_words(verdict.noise)]
    if judged.passage is not None:
        sentences.append(how_likely_the_best_came(judged.passage))
    if judged.each.is_overview:
        sentences.append("The original decided nothing here: this is its overview.")
    elif judged.has_original:
        sentences.append(original_in_words(judged.each, verdict))
    return " ".join(sentences)


def what_is_dropped(verdict: Verdict) -> str:
    """Say what a verdict drops and keeps."""
    if not verdict.dropped:
        return "**The rule keeps all that are judged.**"
    if not verdict.kept:
        return "**The rule drops all that are judged**, which are no longer finite."
    return f"**The rule drops {listed(verdict.dropped)}** and keeps {listed(verdict.kept)}."


def original_in_words(each: Round, verdict: Verdict) -> str:
    """Say what the original dropped in a round, and whether the rule agrees."""
    did = "The original dropped none."
    if each.originally_dropped:
        did = f"The original dropped {listed(each.originally_dropped)}."
    disputed = verdict.disputed(each.originally_dropped)
    if disputed:
        return f"{did} **They disagree on {listed(disputed)}.**"
    return f"{did} **They agree.**"
