"""The section "The search space": where the candidates of rungs lie that climbed high, and what the rungs cost."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nbstudy.decision.metrics import Metric
from nbstudy.numbers import is_number
from nbstudy.records.reading import field_of
from nbstudy.records.results import Results
from nbstudy.records.rungs import is_decided, runs_at, stages_of
from nbstudy.report.colours import COLOURS, GREY
from nbstudy.report.figures import WIDTH, axis_label, number_by_magnitude, show_figures
from nbstudy.report.labels import SMALL, shortened
from nbstudy.report.markdown import show_texts
from nbstudy.report.rounds import Judged
from nbstudy.words import counted

MOST_TICKS = 6  # an axis of so few values has a tick at each
LEAST_TFLOP = 10  # below which a cost without decimals says little
MOST_PARAMETERS = 9  # of a search space
LOOK_FOR = (
    "What each candidate came to on the first rung, by each parameter that varies. The larger and more coloured a "
    "dot, the higher it climbed: look for where these gather, and whether that is at an edge, beyond which the search "
    "should go."
)


@dataclass(frozen=True)
class Cost:
    """The FLOPs that rungs took, and those of every candidate as the last rung has them."""

    spent: float
    whole: float


@dataclass(frozen=True)
class SearchSpace:
    """Where candidates lie, what they came to, and how high they climbed."""

    metric: Metric
    epochs: int  # of the first rung
    values: dict[str, float]  # of the metric on that, by candidate, best first; those that diverged aside
    reached: dict[str, int]  # the highest rung that each of these reached, from 0
    parameters: dict[str, dict[str, Any]]  # what each of these has, by parameter
    cost: Cost | None  # None before the end of the last rung


def compute(results: Results, judged: Sequence[Judged]) -> SearchSpace | None:
    """Find where candidates lie; None where there are no rungs, or none is finite on the first one."""
    if results.halving is None or not judged[0].verdict.finite:
        return None
    first = judged[0]
    reached = dict.fromkeys(first.verdict.finite, 0)
    for number, later in enumerate(judged[1:], 1):
        reached |= {name: number for name in later.each.candidates if name in reached}
    metric = first.each.metric
    parameters = {}
    for parameter in results.parameters.factors[:MOST_PARAMETERS]:
        parameters[parameter] = {name: results.runs[name].parameters.get(parameter) for name in reached}
    return SearchSpace(
        metric=metric,
        epochs=first.each.epochs or 0,
        values={name: metric.value(cost) for name, cost in first.verdict.finite.items()},
        reached=reached,
        parameters=parameters,
        cost=cost_of_halving(results),
    )


def show(space: SearchSpace | None) -> None:
    """Show the figure, and what the rungs cost."""
    if space is None:
        return
    show_texts("### The search space", LOOK_FOR)
    draw(space)
    show_figures()
    show_texts(what_halving_saved(space.cost))


# --- what it costs ---
def cost_of_halving(results: Results) -> Cost | None:
    """Return what the rungs cost; None before the end of the last one, or where a run does not say its FLOPs."""
    halving = results.halving
    stages = stages_of(results)
    if halving is None or not is_decided(results, stages):
        return None
    top = halving.rungs[-1]
    spent = 0.0
    whole = 0.0
    for name, runs in halving.candidates.items():
        costs = [cost_of_run(results, run) for run in runs]
        _, an_epoch = costs[0]
        if top.replicates and name in stages[-1].candidates:
            costs += [cost_of_run(results, run) for run in runs_at(results, name, top)]
        if not all(flops for flops, _ in costs):
            return None
        spent += sum(flops for flops, _ in costs)
        whole += an_epoch * top.epochs * (top.replicates or len(runs))
    return Cost(spent, whole)


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
    return (
        f"**Cost to the decision:** the rungs took {spent:{digits}} TFLOP. To train every candidate as the last rung "
        f"trains its own takes {whole:{digits}}: the share is **{cost.spent / cost.whole:.2f}**."
    )


# --- the figure ---
def draw(space: SearchSpace) -> tuple[Figure, list[Axes]]:
    """Draw what candidates came to on the first rung by each parameter that varies, larger the higher they climbed."""
    rows = max(1, math.ceil(len(space.parameters) / 3))
    figure, grid = plt.subplots(
        rows, 3, figsize=(WIDTH, 2.3 * rows + 0.5), squeeze=False, sharey=True, layout="constrained"
    )
    all_axes = list(grid.flat)
    for axes in all_axes[len(space.parameters) :]:
        axes.set_visible(False)
    for axes, (parameter, given) in zip(all_axes, space.parameters.items(), strict=False):
        scatter(axes, space, given)
        axes.set_xlabel(shortened(parameter))
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=len(labels), fontsize=SMALL, frameon=False
    )
    title = f"{space.metric} after {counted(space.epochs, 'epoch')}"
    figure.supylabel(axis_label(space.metric, title), fontsize=SMALL)
    return figure, all_axes[: len(space.parameters)]


def scatter(axes: Axes, space: SearchSpace, given: Mapping[str, Any]) -> None:
    """Draw what candidates came to by a parameter, a colour and a size for each rung that they reached."""
    numbers = [value for value in given.values() if is_number(value)]
    are_numbers = len(numbers) == len(given)
    places = dict(given)
    texts = sorted({str(value) for value in given.values()})
    if not are_numbers:
        places = {name: texts.index(str(value)) for name, value in given.items()}
    for rung in range(max(space.reached.values()) + 1):
        names = [name for name in space.reached if space.reached[name] == rung]
        axes.plot(
            [places[name] for name in names],
            [space.values[name] for name in names],
            "o",
            color=[GREY, *COLOURS][min(rung, len(COLOURS))],
            markersize=3.5 + 1.5 * rung,
            alpha=0.8,
            label=f"reached rung {rung + 1}",
        )
    if are_numbers and is_spread_by_magnitude(numbers):
        axes.set_xscale("log")
        number_by_magnitude(axes.xaxis)
    if not are_numbers:
        axes.set_xticks(range(len(texts)), [shortened(text) for text in texts])
    levels = sorted(set(numbers))
    if are_numbers and len(levels) <= MOST_TICKS:
        axes.set_xticks(levels, [f"{level:g}" for level in levels])
        axes.set_xticks([], minor=True)


def is_spread_by_magnitude(numbers: Sequence[float]) -> bool:
    """Tell whether numbers lie more evenly in their logarithm, as those of a search on that scale."""
    low, middle, high = min(numbers), statistics.median(numbers), max(numbers)
    if low <= 0 or high < 3 * low:
        return False
    return abs(middle - math.sqrt(low * high)) < abs(middle - (low + high) / 2)
