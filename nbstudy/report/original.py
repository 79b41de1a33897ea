"""The section "What the original could not see": what its criterion hid, and which of its decisions chance explains."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nbstudy.decision.elimination import Choice
from nbstudy.decision.metrics import Metric, written
from nbstudy.decision.noise import Noise
from nbstudy.markdown import plain
from nbstudy.records.results import Results
from nbstudy.records.rounds import has_original
from nbstudy.report.markdown import listed, show_texts
from nbstudy.report.rankings import ranking_of
from nbstudy.report.rounds import Judged, rounds_of_dropping

PENALTY = 1e-6  # a loss above the cross-entropy by more than this contains a penalty


@dataclass(frozen=True)
class Penalty:
    """The accuracy of networks whose loss contains a penalty, and that of the others."""

    with_one: dict[str, float]
    without: dict[str, float]
    dropped: int  # of those without one, by the original
    errors: dict[str, float]  # the cross-entropy of all of them, which contains no penalty


@dataclass(frozen=True)
class Chance:
    """The original's eliminations, and those of them that are within chance."""

    noise: Noise
    metric: Metric  # of the first round
    decisions: int
    within: list[str]  # the candidate of each that is


@dataclass(frozen=True, eq=False)
class Unseen:
    """What the original could not see."""

    penalty: Penalty | None  # None where not both kinds of networks are known
    chance: Chance | None  # None where chance is unknown, or nothing was decided


def compute(results: Results, judged: Sequence[Judged], choice: Choice) -> Unseen | None:
    """Find what the original could not see; None without an original, or without a choice to compare it with."""
    if not has_original(results.rounds) or choice.chosen is None:
        return None
    return Unseen(hidden_by_penalty(results), explained_by_chance(judged))


def show(unseen: Unseen | None) -> None:
    """Show what the original could not see."""
    show_texts(write(unseen))


def write(unseen: Unseen | None) -> str:
    """Say what its criterion hid, and how many of its decisions chance explains; empty where there is nothing to say."""
    if unseen is None:
        return ""
    sentences = []
    if unseen.penalty is not None:
        sentences.append(what_the_penalty_hid(unseen.penalty))
    if unseen.chance is not None:
        sentences.append(what_chance_explains(unseen.chance))
    if not sentences:
        return ""
    return f"## What the original could not see\n\n{' '.join(sentences)}"


# --- what there is to say ---
def hidden_by_penalty(results: Results) -> Penalty | None:
    """Tell networks whose loss contains a penalty from the others."""
    losses = ranking_of(results, results.metric_called("val_loss")).values
    errors = ranking_of(results, results.metric_called("val_cross_entropy")).values
    accuracies = ranking_of(results, results.metric_called("val_accuracy")).values
    with_one = {}
    without = {}
    for name, accuracy in accuracies.items():
        if losses.get(name, 0.0) - errors.get(name, math.inf) > PENALTY:
            with_one[name] = accuracy
        elif name in losses and name in errors:
            without[name] = accuracy
    if not with_one or not without:
        return None
    dropped = rounds_of_dropping(results.rounds)
    return Penalty(with_one, without, sum(name in dropped for name in without), errors)


def explained_by_chance(judged: Sequence[Judged]) -> Chance | None:
    """Count the original's eliminations, and find those that are within chance."""
    decisions = 0
    within = []
    for given in judged:
        for name in given.each.originally_dropped:
            if name in given.verdict.costs:
                decisions += 1
                if not given.verdict.drops(name):
                    within.append(name)
    noise = judged[0].verdict.noise
    if not decisions or noise.is_guess or not noise.is_known:
        return None
    return Chance(noise, judged[0].each.metric, decisions, within)


# --- the sentences ---
def what_the_penalty_hid(penalty: Penalty) -> str:
    """Compare the accuracy of networks whose loss contains a penalty with that of the others."""
    how = "better"
    if statistics.median(penalty.without.values()) < statistics.median(penalty.with_one.values()):
        how = "worse"
    return (
        f"By accuracy, networks without a penalty classify {how}: "
        f"{level(penalty.without)} without one, {level(penalty.with_one)} with one. "
        f"The original dropped {penalty.dropped} of the {len(penalty.without)} without. {why_the_loss_differs(penalty)}"
    )


def why_the_loss_differs(penalty: Penalty) -> str:
    """Say whether it is the penalty in it that makes the loss differ, or how sure networks are of their mistakes."""
    without = statistics.median(penalty.errors[name] for name in penalty.without)
    with_one = statistics.median(penalty.errors[name] for name in penalty.with_one)
    medians = f"a median of {written(without)} without a penalty, {written(with_one)} with one"
    if without > with_one:
        return (
            "Its criterion, val_loss, contains each network's own penalty, but it is not the penalty that speaks against "
            f"them: by val_cross_entropy, which does not contain it, they are behind, too ({medians}). A network without one "
            "is ever surer of its mistakes, which a loss counts and an accuracy does not."
        )
    return (
        "Its criterion, val_loss, adds to the error of each network the network's own penalty; by val_cross_entropy, which "
        f"does not contain it, those without are ahead ({medians})."
    )


def level(accuracies: Mapping[str, float]) -> str:
    """Say at which accuracy networks settle."""
    best = max(accuracies, key=accuracies.__getitem__)
    median = statistics.median(accuracies.values())
    return (
        f"a median val_accuracy of {written(median)} and at best {written(accuracies[best])} ({plain(best)})"
    )


def what_chance_explains(chance: Chance) -> str:
    """Say how many of the original's eliminations are within chance."""
    deviation = f"a standard deviation of {written(chance.noise.deviation)} in a run's {plain(chance.metric)}"
    known = f"It did not know by how much chance alone changes a run: {deviation}, as replicates show."
    if not chance.within:
        return f"{known} All {chance.decisions} of its eliminations are larger than what chance explains."
    which = listed(dict.fromkeys(chance.within))
    explained = f"{len(chance.within)} were by a difference that chance alone explains: those of {which}"
    return f"{known} Of its {chance.decisions} eliminations, {explained}."
