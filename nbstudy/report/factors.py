"""The section "The factors": what one parameter does to the metric that decides when all others stay."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from nbstudy.decision.elimination import Verdict
from nbstudy.decision.metrics import Better, Metric, written
from nbstudy.markdown import plain
from nbstudy.records.results import Results
from nbstudy.records.states import State
from nbstudy.report.colours import GREY, SHADE, STRONG
from nbstudy.report.curves import Scale, padded, within_reach
from nbstudy.report.figures import WIDTH, axis_label, set_margins, show_figures
from nbstudy.report.labels import (
    SMALL,
    SMALLER,
    Label,
    fraction_of,
    label_right,
    shortened,
    size_of,
    width_of,
)
from nbstudy.report.looks import Look
from nbstudy.report.markdown import show_texts
from nbstudy.report.rankings import Ranking, comparable, ranking_of

MOST_FACTORS = 8
CHAIN_WIDTH = 2.0  # of the names of both ends of a line, beside a factor
MOST_ROWS = 2  # of names of levels below a panel
MOST_CHAINS = 10  # more lines of a factor have no names
HEADING = "## The factors"
LOOK_FOR = (
    "What does one parameter do when all others stay? A line joins configurations that differ in this one alone. Look for "
    "panels in which all lines go the same way, by more than the shaded band is high, within which chance explains it."
)


# --- what there is to say ---
@dataclass(frozen=True)
class Chain:
    """Configurations that differ in one parameter alone, in the order of its values."""

    names: list[str]
    levels: list[str]  # the values of the parameter, as text
    values: list[float]  # of the metric

    @property
    def steps(self) -> list[float]:
        """By how much each value is above the one before it."""
        return [after - before for before, after in itertools.pairwise(self.values)]


@dataclass(frozen=True)
class Factor:
    """What a metric does along one parameter when all others stay."""

    name: str
    levels: list[str]  # all values of the parameter, as text, in their order
    chains: list[Chain]  # each of two configurations or more

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each level lies among them."""
        return {level: place for place, level in enumerate(self.levels)}

    @cached_property
    def is_ordered(self) -> bool:
        """Whether it can be raised: all values are numbers."""
        return all(math.isfinite(by_size(level)[0]) for level in self.levels)


@dataclass(frozen=True)
class Step:
    """What changing one parameter by one level does to a metric, all others staying."""

    levels: tuple[str, str]  # from which to which
    change: float  # of the metric
    allowed: float  # the least change that the rule sees between these two

    def is_better(self, metric: Metric) -> bool:
        """Whether it is better by more than chance explains."""
        return -metric.cost(self.change) > self.allowed


@dataclass(frozen=True, eq=False)
class Effects:
    """What parameters do to a metric."""

    factors: list[Factor]
    ranking: Ranking  # of the values that the chains go through
    epochs: int | None = None  # over which all are compared; None where there are none
    noise: float = math.nan  # the least step that the rule sees between two single runs

    @cached_property
    def steps(self) -> dict[str, list[Step]]:
        """All steps that do the same, by what that is: to raise a parameter, or to change it to another level."""
        steps: dict[str, list[Step]] = {}
        for factor in self.factors:
            steps |= alike_steps(factor, self.ranking.verdict)
        return steps


def compute(results: Results) -> Effects | None:
    """Compare configurations that differ in one parameter alone; None where there are none, or there are rungs."""
    if results.halving is not None:
        return None
    epochs = shortest(results)
    ranking = ranking_of(results, epochs=epochs)
    factors = [factor_of(results, name, ranking.values) for name in results.parameters.factors]
    effects = Effects(factors, ranking, epochs, ranking.verdict.least_step)
    if not effects.steps:
        return None
    return effects


def show(effects: Effects | None, looks: Mapping[str, Look]) -> None:
    """Show the figure, and how often each step is better or worse."""
    if effects is None:
        return
    show_texts(HEADING, LOOK_FOR)
    draw(effects, looks)
    show_figures(description(effects))
    show_texts(effects_in_words(effects))


def write(effects: Effects | None) -> str:
    """Return the section without its figure; empty where there is none."""
    if effects is None:
        return ""
    return f"{HEADING}\n\n{effects_in_words(effects)}"


def shortest(results: Results) -> int | None:
    """Return the number of epochs that all complete runs have which did not diverge, None where there are none."""
    if not results.is_by_epoch(results.metric):
        return None
    lengths = []
    for name in comparable(results):
        run = results.runs[name]
        if run.state is State.COMPLETE and not run.diverged:
            lengths.append(len(results.values(name, results.metric.name)))
    return min(filter(None, lengths), default=None)


def factor_of(results: Results, name: str, values: Mapping[str, float]) -> Factor:
    """Return the chains along a parameter, through configurations that have a value."""
    parameters = results.parameters
    level = {each: str(parameters.given[each].get(name)) for each in values}
    order = sorted(set(level.values()), key=by_size)
    places = {text: place for place, text in enumerate(order)}
    others = [other for other in parameters.factors if other != name]
    alike: dict[str, list[str]] = {}
    for each in values:
        alike.setdefault(parameters.key_of(each, others), []).append(each)
    chains = []
    for names in alike.values():
        names.sort(key=lambda each: places[level[each]])
        if len(names) > 1:
            chains.append(Chain(names, [level[each] for each in names], [values[each] for each in names]))
    return Factor(name, order, chains)


def by_size(text: str) -> tuple[float, str]:
    """Return what sorts numbers by size, and any other texts after them by the alphabet."""
    try:
        return float(text), text
    except ValueError:
        return math.inf, text


def steps_of(factor: Factor, verdict: Verdict) -> list[Step]:
    """Return all steps along a parameter, each judged by the rule as one of all comparisons."""
    steps = []
    for chain in factor.chains:
        for place, change in enumerate(chain.steps):
            before, after = chain.names[place : place + 2]
            better, worse = sorted([before, after], key=verdict.costs.__getitem__)
            allowed = verdict.allowed(worse, better)
            steps.append(Step((chain.levels[place], chain.levels[place + 1]), change, allowed))
    return steps


def alike_steps(factor: Factor, verdict: Verdict) -> dict[str, list[Step]]:
    """Return the steps along a parameter by what they do: raise it, or change it from one level to another."""
    alike: dict[str, list[Step]] = {}
    for step in steps_of(factor, verdict):
        what = f"Raising {plain(factor.name)}"
        if not factor.is_ordered:
            before, after = map(plain, step.levels)
            what = f"{plain(factor.name)} from {before} to {after}"
        alike.setdefault(what, []).append(step)
    return alike


# --- the figure ---
def draw(effects: Effects, looks: Mapping[str, Look]) -> tuple[Figure, list[Axes]]:
    """Draw a panel for each parameter that lines run along, on a common vertical axis.

    The axis fits the survivors of the ranking and what is within reach of them. A band of the height of the noise
    reaches from the best value to the worse ones.
    """
    ranking, noise = effects.ranking, effects.noise
    shown = [each for each in effects.factors if each.chains][:MOST_FACTORS]
    values = ranking.values
    scale = scale_of_factors(values, ranking.verdict, noise)
    figure, all_axes = factor_grid(shown)
    both = names_are_short(shown)
    for axes, each in zip(all_axes, shown, strict=True):
        axes.set_ylim(scale.low, scale.high)
        noise_band(axes, values, ranking.metric, noise)
        draw_factor(axes, each, looks, both)
    if all_axes and math.isfinite(noise):
        all_axes[0].set_title("shaded: within the noise of the best", fontsize=SMALLER, color=GREY)
    figure.supylabel(axis_label(ranking.metric, ranking.title), fontsize=SMALL, x=0.003)
    return figure, all_axes


def scale_of_factors(values: Mapping[str, float], verdict: Verdict, noise: float) -> Scale:
    """Return the scale that fits the survivors' values, at least the noise high, and what is within reach."""
    kept = [value for name, value in values.items() if not verdict.drops(name)]
    low, high = min(kept), max(kept)
    missing = max(0.0, np.nan_to_num(noise, posinf=0.0) - (high - low))
    low, high = low - missing / 2, high + missing / 2
    return padded(low, high, within_reach(low, high, values.values(), heights=2))


def factor_grid(shown: Sequence[Factor]) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels two to a row, with room for labels to the right of each."""
    rows = max(1, math.ceil(len(shown) / 2))
    both = names_are_short(shown)
    room = 0.4 + max([width_of(text) for each in shown for text in names_of(each, both)], default=0)
    left, panel_height, gap = 0.7, 1.7, 0.55
    figure, grid = plt.subplots(rows, 2, figsize=(WIDTH, rows * (panel_height + gap) + 0.2), squeeze=False)
    set_margins(figure, left=left, right=room, bottom=0.5, top=0.3)
    figure.subplots_adjust(wspace=(left + room) / (WIDTH / 2 - left - room), hspace=gap / panel_height)
    all_axes = list(grid.flat)
    for axes in all_axes[len(shown) :]:
        axes.set_visible(False)
    return figure, all_axes[: len(shown)]


def noise_band(axes: Axes, values: Mapping[str, float], metric: Metric, noise: float) -> None:
    """Shade what is within the noise of the best value."""
    if not math.isfinite(noise) or not values:
        return
    best = min(values.values())
    worse = best + noise
    if metric.better is Better.HIGHER:
        best = max(values.values())
        worse = best - noise
    axes.axhspan(best, worse, color=SHADE, zorder=0)


def draw_factor(axes: Axes, given: Factor, looks: Mapping[str, Look], both: bool) -> Axes:
    """Draw a line for each chain of configurations that differ in this parameter alone, with its ends' names.

    Where these are too long for `both` it is the name at its right end. Of very many lines only the median is named.
    """
    if len(given.chains) > MOST_CHAINS:
        labels = [median_of_chains(axes, given)]
    else:
        labels = summed_up([named_chain(axes, given, chain, looks, both) for chain in given.chains])
    width, _ = size_of(axes)
    levels = [shortened(level) for level in given.levels]
    every = math.ceil(sum(width_of(level) + 0.1 for level in levels) / width)
    axes.set_xlim(-0.2, len(levels) - 0.8)
    if not given.is_ordered and every <= MOST_ROWS:  # each has its own name, in rows
        levels = ["\n" * (place % every) + level for place, level in enumerate(levels)]
        every = 1
    axes.set_xticks(range(0, len(levels), every), levels[::every])
    axes.set_xlabel(shortened(given.name))
    label_right(axes, labels)
    return axes


def names_are_short(shown: Sequence[Factor]) -> bool:
    """Tell whether there is room for the names of both ends of all lines."""
    return all(width_of(name) <= CHAIN_WIDTH for each in shown for name in names_of(each, both=True))


def name_of(chain: Chain, both: bool) -> str:
    """Return the first and the last name of a chain, or the last alone."""
    if both:
        return f"{shortened(chain.names[0])} … {shortened(chain.names[-1])}"
    return f"… {shortened(chain.names[-1])}"


def names_of(given: Factor, both: bool) -> list[str]:
    """Return what is written beside the chains."""
    if len(given.chains) > MOST_CHAINS:
        return [f"median of {len(given.chains):,}"]
    return [name_of(chain, both) for chain in given.chains]


def named_chain(axes: Axes, given: Factor, chain: Chain, looks: Mapping[str, Look], both: bool) -> Label:
    """Draw a chain in the look of its first configuration; return its label."""
    look = looks[chain.names[0]]
    x = [given.places[level] for level in chain.levels]
    axes.plot(x, chain.values, color=look.colour, linestyle=look.style, linewidth=1.4, zorder=2)
    axes.scatter(x, chain.values, color=[looks[name].colour for name in chain.names], s=28, zorder=3)
    _, at = fraction_of(axes, 0, chain.values[-1])
    return Label(at, name_of(chain, both), look.colour)


def summed_up(labels: Sequence[Label]) -> list[Label]:
    """Return labels with an arrow where their lines leave the axes, and one for several that leave on a side."""
    shown = [label for label in labels if 0 <= label.at <= 1]
    above = [label for label in labels if label.at > 1]
    below = [label for label in labels if label.at < 0]
    for leaving, arrow, at in ((above, "↑", 1.1), (below, "↓", -0.1)):
        if len(leaving) == 1:
            shown.append(replace(leaving[0], text=f"{leaving[0].text} {arrow}"))
        elif leaving:
            shown.append(Label(at, f"{len(leaving)} lines leave {arrow}", GREY))
    return shown


def median_of_chains(axes: Axes, given: Factor) -> Label:
    """Draw many chains pale, and the median at each level strong; return the label of that."""
    at_level: dict[str, list[float]] = {level: [] for level in given.levels}
    lines = []
    for chain in given.chains:
        lines.append(
            [(given.places[level], value) for level, value in zip(chain.levels, chain.values, strict=True)]
        )
        for level, value in zip(chain.levels, chain.values, strict=True):
            at_level[level].append(value)
    axes.add_collection(
        LineCollection(
            lines, colors=GREY, linewidths=0.7, alpha=0.5, capstyle="projecting", joinstyle="round", zorder=2
        )
    )
    medians = [statistics.median(values or [math.nan]) for values in at_level.values()]
    axes.plot(medians, color=STRONG, linewidth=2, zorder=3)
    _, at = fraction_of(axes, 0, medians[-1])
    return Label(at, f"median of {len(given.chains):,}", STRONG)


# --- the sentences ---
def description(effects: Effects) -> str:
    """Say what the figure shows."""
    panels = [f"{each.name}: {len(each.chains)} lines" for each in effects.factors if each.chains]
    return f"{effects.ranking.title} along each parameter when all others stay. {', '.join(panels[:MOST_FACTORS])}."


def effects_in_words(effects: Effects) -> str:
    """Say how often raising or changing each parameter changes a metric by more than chance explains."""
    if not effects.steps:
        return ""
    ranking, epochs = effects.ranking, effects.epochs
    over = ""
    if epochs and epochs > 1:
        over = f" over the first {epochs} epochs"
    told = "."
    if math.isfinite(effects.noise):
        told = f"; between single runs the rule sees {written(effects.noise)}, between means of several less."
    lines = [f"- {effect(what, steps, ranking.metric)}" for what, steps in effects.steps.items()]
    return "\n".join([f"By {plain(ranking.metric)}{over}{told}\n", *lines])


def effect(what: str, steps: Sequence[Step], metric: Metric) -> str:
    """Say how often a step changes a metric by more than chance explains."""
    better = sum(step.is_better(metric) for step in steps)
    worse = sum(abs(step.change) > step.allowed for step in steps) - better
    counts = f"{better} better and {worse} worse by more than chance explains"
    if any(math.isinf(step.allowed) for step in steps):
        better = sum(metric.cost(step.change) < 0 for step in steps)
        counts = f"{better} better, and nobody knows how much is chance"
    noun = "steps"
    if len(steps) == 1:
        noun = "step"
    changes = [step.change for step in steps]
    told = f"median change {written(statistics.median(changes), '+')}"
    if len(steps) > 1:
        told += f", from {written(min(changes), '+')} to {written(max(changes), '+')}"
    return f"{what}: of {len(steps)} {noun} {counts}; {told}."
