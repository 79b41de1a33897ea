"""The section "The search space": where the candidates of a sample, a grid or of rungs lie, and what rungs cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nbstudy.decision.metrics import Metric, written
from nbstudy.markdown import plain
from nbstudy.numbers import is_number
from nbstudy.records.race import is_decided, laps_of, runs_with_new_seeds
from nbstudy.records.reading import field_of
from nbstudy.records.results import Results
from nbstudy.records.rounds import Round
from nbstudy.records.rungs import stages_of
from nbstudy.report.colours import COLOURS, GREY
from nbstudy.report.figures import WIDTH, axis_label, number_by_magnitude, show_figures
from nbstudy.report.labels import SMALL, shortened
from nbstudy.report.markdown import show_texts
from nbstudy.report.rankings import ranking_of
from nbstudy.report.rounds import Judged
from nbstudy.report.sensitivity import Share, Shares, is_spread_by_magnitude, shares_of
from nbstudy.words import counted, enumerated

STEP = 0.05  # to which a share is said
MOST_TICKS = 6  # an axis of so few values has a tick at each
LEAST_TFLOP = 10  # below which a cost without decimals says little
WIDE = 50  # times: from one end of an axis to the other, where there is room for powers of ten alone
LEAST_POINTS = 5  # of a grid: fewer show nothing that their table does not
MOST_PARAMETERS = 9  # of a search space
HEADING = "## The search space"
LOOK_FOR = "look for where these gather, and whether that is at an edge, beyond which the search should go."
ON_RUNGS = (
    "What each candidate came to on the first rung, by each parameter that varies. The larger and more coloured a "
    f"dot, the higher it climbed: {LOOK_FOR}"
)
WITHOUT_RUNGS = (
    "What each configuration came to, by each parameter that varies. Large and coloured are those that the rule "
    f"keeps: {LOOK_FOR}"
)


@dataclass(frozen=True)
class Cost:
    """The FLOPs that rungs took, and what takes the place of them."""

    spent: float
    whole: float  # every candidate as the last rung has them, or the last lap of the race in its place
    once: float  # every candidate to the end, by its own runs, and the new runs of those that reached rung or race
    with_race: bool = False


@dataclass(frozen=True)
class SearchSpace:
    """Where candidates lie, what they came to, and how far they came."""

    metric: Metric
    title: str  # of what they came to
    explanation: str  # of the figure
    values: dict[str, float]  # of the metric, by candidate, best first; those that diverged aside
    levels: list[str]  # how far one can come, the least first
    reached: dict[str, int]  # which of these each candidate came to
    parameters: dict[str, dict[str, Any]]  # what each candidate has, by parameter, the most important first
    shares: Shares | None = None  # of the differences that go back to each; None where that cannot be told
    cost: Cost | None = None  # of rungs that are decided


def compute(results: Results, judged: Sequence[Judged]) -> SearchSpace | None:
    """Find where candidates lie; None where a study has neither rungs nor a grid, or none of them is finite."""
    if results.halving is not None:
        return space_of_rungs(results, judged)
    if results.record.get("has_grid"):
        return space_of_all(results)
    return None


def space_of_rungs(results: Results, judged: Sequence[Judged]) -> SearchSpace | None:
    """Find where candidates lie by what they came to on the first rung, and which rung they reached."""
    first = judged[0]
    if not first.verdict.finite:
        return None
    reached = dict.fromkeys(first.verdict.finite, 0)
    for number, later in enumerate(judged[1:], 1):
        reached |= {name: number for name in later.each.candidates if name in reached}
    metric = first.each.metric
    values = {name: metric.value(cost) for name, cost in first.verdict.finite.items()}
    parameters, shares = by_importance(values, factors_of(results, reached))
    return SearchSpace(
        metric=metric,
        title=f"{metric} after {counted(first.each.epochs or 0, 'epoch')}",
        explanation=ON_RUNGS,
        values=values,
        levels=[f"reached {rung_or_lap(each.each)}" for each in judged],
        reached=reached,
        parameters=parameters,
        shares=shares,
        cost=cost_of_halving(results),
    )


def rung_or_lap(each: Round) -> str:
    """Name a round of a study with rungs."""
    if each.lap is not None:
        return f"lap {each.lap.number}"
    return f"rung {each.number}"


def space_of_all(results: Results) -> SearchSpace | None:
    """Find where all configurations lie that can be compared, and which of them the rule keeps."""
    ranking = ranking_of(results)
    verdict = ranking.verdict
    reached = {name: int(not verdict.drops(name)) for name in verdict.finite}
    parameters = factors_of(results, reached)
    if len(reached) < LEAST_POINTS or not parameters:
        return None
    parameters, shares = by_importance(ranking.values, parameters)
    return SearchSpace(
        metric=ranking.metric,
        title=ranking.title,
        explanation=WITHOUT_RUNGS,
        values=ranking.values,
        levels=["dropped", "kept"],
        reached=reached,
        parameters=parameters,
        shares=shares,
    )


def by_importance(
    values: Mapping[str, float], parameters: dict[str, dict[str, Any]]
) -> tuple[dict[str, dict[str, Any]], Shares | None]:
    """Return parameters, the most important first where that can be told, and their shares."""
    given = {parameter: [of[name] for name in values] for parameter, of in parameters.items()}
    shares = shares_of(list(values.values()), given)
    if shares is None:
        return parameters, None
    return {parameter: parameters[parameter] for parameter in shares.by_parameter}, shares


def factors_of(results: Results, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return what candidates have of each parameter that varies, the first ones of very many."""
    parameters = {}
    for parameter in results.parameters.factors[:MOST_PARAMETERS]:
        parameters[parameter] = {name: results.runs[name].parameters.get(parameter) for name in names}
    return parameters


def show(space: SearchSpace | None) -> None:
    """Show the figure, and what the rungs cost."""
    if space is None:
        return
    show_texts(HEADING, space.explanation)
    draw(space)
    show_figures(description(space))
    show_texts(what_matters(space.shares), what_halving_saved(space.cost))


def write(space: SearchSpace) -> str:
    """Return the section without its figure."""
    return "\n\n".join(filter(None, [HEADING, what_matters(space.shares), what_halving_saved(space.cost)]))


def description(space: SearchSpace) -> str:
    """Say what the figure shows."""
    best = [f"{name} {written(space.values[name])}" for name in [*space.values][:3]]
    return f"{space.title} of {len(space.values)} candidates by {', '.join(space.parameters)}. The best: {', '.join(best)}."


# --- what matters ---
def what_matters(shares: Shares | None) -> str:
    """Say which parameters have which part in the differences, and how that is known."""
    if shares is None:
        return ""
    parts = [f"{plain(name)} {share_in_words(share)}" for name, share in shares.by_parameter.items()]
    return (
        f"**What matters:** of the differences that parameters explain, {parts[0]} goes back to it, alone or with others; "
        f"then {enumerated(parts[1:])}. In brackets are 95 % intervals. They are total-effect indices of a Gaussian process, "
        "which is right for few points; what two do together counts for both. Of a candidate that it has not seen it "
        f"foresees {rounded(shares.foreseen)} of the variance; the rest is chance, or too fine for so few."
    )


def share_in_words(share: Share) -> str:
    """Return a share with its interval."""
    return f"{rounded(share.middle)} ({rounded(share.low)} to {rounded(share.high)})"


def rounded(share: float) -> str:
    """Return a share as exactly as it is known, and as machines agree on."""
    return f"{round(share / STEP) * STEP:.2f}"


# --- what it costs ---
def cost_of_halving(results: Results) -> Cost | None:
    """Return what the rungs cost, and the race after them; None before their end, or where a run does not say its FLOPs."""
    halving, race = results.halving, results.race
    stages, laps = stages_of(results), laps_of(results)
    if halving is None or not is_decided(results, stages, laps):
        return None
    epochs, replicates = halving.rungs[-1].epochs, halving.rungs[-1].replicates
    if race is not None:
        epochs, replicates = race.epochs or epochs, race.plan.replicates[-1]
    with_new_seeds = runs_with_new_seeds(results, stages, laps)
    spent = 0.0
    whole = 0.0
    once = 0.0
    for name, runs in halving.candidates.items():
        costs = [cost_of_run(results, run) for run in runs]
        _, an_epoch = costs[0]
        once += an_epoch * epochs * len(runs)
        new = [cost_of_run(results, run) for run in with_new_seeds.get(name, [])]
        once += sum(flops for flops, _ in new)
        costs += new
        if not all(flops for flops, _ in costs):
            return None
        spent += sum(flops for flops, _ in costs)
        whole += an_epoch * epochs * (replicates or len(runs))
    return Cost(spent, whole, once, race is not None)


def cost_of_run(results: Results, name: str) -> tuple[float, float]:
    """Return the FLOPs of a complete run, and those of one of its epochs."""
    record = results.runs[name].record
    flops = field_of(record, "flops", float)
    epochs = field_of(record, "parameters", dict).get(results.lengthens, 0)
    return flops, flops / max(epochs, 1)


def what_halving_saved(cost: Cost | None) -> str:
    """Say what the rungs cost, beside training every candidate as the last rung trains its own."""
    if cost is None:
        return ""
    spent, whole = cost.spent / 1e12, cost.whole / 1e12
    digits = ".0f"
    if spent < LEAST_TFLOP:
        digits = ".3g"
    took, last, same = "the rungs took", "the last rung trains its own", "the same last rung"
    if cost.with_race:
        took, last, same = (
            "the rungs and the race took",
            "its last lap trains those that are left",
            "the same race",
        )
    text = (
        f"**Cost to the decision:** {took} {spent:{digits}} TFLOP. To train every candidate as {last} takes "
        f"{whole:{digits}}: the share is **{cost.spent / cost.whole:.2f}**."
    )
    if cost.once != cost.whole:
        text += (
            f" To train every candidate to the end once, and {same} after that, takes {cost.once / 1e12:{digits}}: of this it is "
            f"**{cost.spent / cost.once:.2f}**."
        )
    return text


# --- the figure ---
def draw(space: SearchSpace) -> tuple[Figure, list[Axes]]:
    """Draw what candidates came to by each parameter that varies, larger the further they came."""
    rows = max(1, math.ceil(len(space.parameters) / 3))
    figure, grid = plt.subplots(
        rows, 3, figsize=(WIDTH, 2.3 * rows + 0.5), squeeze=False, sharey=True, layout="constrained"
    )
    all_axes = list(grid.flat)
    for axes in all_axes[len(space.parameters) :]:
        axes.set_visible(False)
    for axes, (parameter, given) in zip(all_axes, space.parameters.items(), strict=False):
        scatter(axes, space, given)
        axes.set_xlabel(label_of(parameter, space.shares))
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=len(labels), fontsize=SMALL, frameon=False
    )
    figure.supylabel(axis_label(space.metric, space.title), fontsize=SMALL)
    return figure, all_axes[: len(space.parameters)]


def label_of(parameter: str, shares: Shares | None) -> str:
    """Return the label of a parameter's axis, with its share where that is known."""
    if shares is None:
        return shortened(parameter)
    return f"{shortened(parameter)}: {share_in_words(shares.by_parameter[parameter])}"


def scatter(axes: Axes, space: SearchSpace, given: Mapping[str, Any]) -> None:
    """Draw what candidates came to by a parameter, a colour and a size for how far they came."""
    numbers = [value for value in given.values() if is_number(value)]
    are_numbers = len(numbers) == len(given)
    places = dict(given)
    texts = sorted({str(value) for value in given.values()})
    if not are_numbers:
        place_of = {text: place for place, text in enumerate(texts)}
        places = {name: place_of[str(value)] for name, value in given.items()}
    for level in range(max(space.reached.values()) + 1):
        names = [name for name in space.reached if space.reached[name] == level]
        axes.plot(
            [places[name] for name in names],
            [space.values[name] for name in names],
            "o",
            color=[GREY, *COLOURS][min(level, len(COLOURS))],
            markersize=3.5 + 1.5 * level,
            alpha=0.8,
            label=space.levels[level],
        )
    if are_numbers and is_spread_by_magnitude(np.array(numbers, dtype=float)):
        axes.set_xscale("log")
        if max(numbers) < WIDE * min(numbers):
            number_by_magnitude(axes.xaxis)
    if not are_numbers:
        axes.set_xticks(range(len(texts)), [shortened(text) for text in texts])
        axes.set_xlim(-0.5, len(texts) - 0.5)
    levels = sorted(set(numbers))
    if are_numbers and len(levels) <= MOST_TICKS:
        axes.set_xticks(levels, [f"{level:g}" for level in levels])
        axes.set_xticks([], minor=True)
