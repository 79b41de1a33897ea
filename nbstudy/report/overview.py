"""The figure of the first screen: what all configurations came to and cost, which is chosen, what the test set said."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from nbstudy.decision.elimination import Verdict
from nbstudy.decision.metrics import Metric, written
from nbstudy.records.results import Results
from nbstudy.records.rounds import runs_of_racers
from nbstudy.report.choice import Chosen, Contest
from nbstudy.report.colours import GREY, STRONG
from nbstudy.report.curves import Scale, padded, within_reach
from nbstudy.report.figures import WIDTH, axis_label, number_by_magnitude, set_margins
from nbstudy.report.labels import SMALLER, Label, fraction_of, label_right, shortened, width_of
from nbstudy.report.looks import Look
from nbstudy.report.phrases import probability
from nbstudy.report.rankings import ranking_of
from nbstudy.report.test_set import Measured, Opened
from nbstudy.words import enumerated

HEIGHT = 3.3
MOST_LABELS = 18  # for which there is room
MOST_DOTS = 2000  # of configurations without a label: more lie over each other, and take seconds to draw
NEAR = 2  # heights of what must be seen: how far away others may be to be on the axis
MANY = 10  # times from the least to the largest cost: where an axis is logarithmic
CROPPED_NAMED = 3


class Role(StrEnum):
    """What became of a configuration."""

    CHOSEN = "chosen"
    KEPT = "kept in the last round"
    DROPPED = "dropped"
    AHEAD = "ahead of the choice by more than chance explains, but no candidate of the last round"
    OTHER = "no candidate of the last round"


@dataclass(frozen=True)
class Point:
    """A configuration in the figure."""

    name: str
    value: float
    half_width: float  # of its 95 % interval; NaN where chance is unknown
    cost: float  # its weights, or its minutes
    role: Role
    odds: float  # with which it is the best of the last round; NaN where unknown
    epochs: int | None  # over which it is judged; None: all

    @property
    def matters(self) -> bool:
        """Whether its name should stand beside it."""
        return self.role is not Role.OTHER


@dataclass(frozen=True, eq=False)
class Overview:
    """What all configurations came to."""

    metric: Metric
    title: str  # of the values
    cost: str  # what costs are
    points: list[Point]  # best first, those that are finite
    diverged: int  # how many are not
    test: Measured | None  # what the test set says in the same terms
    tested_cost: float  # of what was tested

    @cached_property
    def named(self) -> dict[str, Point]:
        """Those with a colour of their own and their name beside them: the choice, then the best, as far as there is room."""
        named = [point for point in self.points if point.matters]
        named.sort(key=lambda point: point.role is not Role.CHOSEN)
        return {point.name: point for point in named[:MOST_LABELS]}

    @cached_property
    def others(self) -> list[Point]:
        """Those that are not named, best first."""
        return [point for point in self.points if point.name not in self.named]

    @cached_property
    def every(self) -> int:
        """Which of the others are drawn: every so many, from the best one on."""
        return max(1, math.ceil(len(self.others) / MOST_DOTS))

    @cached_property
    def drawn(self) -> list[Point]:
        """Those that are drawn, best first."""
        left_out = {point.name for place, point in enumerate(self.others) if place % self.every}
        return [point for point in self.points if point.name not in left_out]

    @property
    def costs(self) -> list[float]:
        """Where the axis of costs has to reach."""
        costs = [point.cost for point in self.points]
        if self.test is not None and math.isfinite(self.tested_cost):
            costs.append(self.tested_cost)
        return costs

    @property
    def must_be_seen(self) -> list[float]:
        """Where the axis of values has to reach: the choice and all that is as good or better, and the test."""
        values = []
        for point in self.points:
            width = 0.0
            if math.isfinite(point.half_width):
                width = point.half_width
            values += [point.value - width, point.value + width]
            if point.role is Role.CHOSEN:
                break
        for point in self.points:
            if point.role is Role.KEPT:
                values.append(point.value)
        if self.test is not None:
            values += [self.test.value, *(self.test.interval or ())]
        return values


def compute(results: Results, chosen: Chosen, opened: Opened) -> Overview | None:
    """Collect what all configurations came to; None without a choice among several."""
    contest, name = chosen.contest, chosen.choice.chosen
    if contest is None or name is None:
        return None
    cost = "weights"
    costs = {each: float(size) for each, size in results.sizes.items()}
    if not costs:
        cost = "minutes a run"
        costs = {each: run.minutes for each, run in results.runs.items() if run.minutes}
    verdicts = verdicts_of(results, contest)
    ahead: set[str] = set()
    if results.halving is None and results.race is None:
        ahead.update(verdicts[1][0].ahead_of(name))
    racers = runs_of_racers(results.rounds)
    points: dict[str, Point] = {}
    diverged = set()
    for verdict, epochs in verdicts:
        for each, value in verdict.costs.items():
            if each in points or each not in costs:
                continue
            if not math.isfinite(value):
                diverged.add(each)
                continue
            points[each] = Point(
                name=each,
                value=contest.each.metric.value(value),
                half_width=verdict.half_width(each),
                cost=costs[each],
                role=role_of(each, chosen, racers, ahead),
                odds=contest.odds[each].best if each in contest.odds else math.nan,
                epochs=epochs,
            )
    if len(points) < 2 or name not in points:
        return None
    metric = contest.each.metric
    return Overview(
        metric=metric,
        title=contest.title,
        cost=cost,
        points=sorted(points.values(), key=lambda point: metric.cost(point.value)),
        diverged=len(diverged - points.keys()),
        test=opened.measured_as(metric),
        tested_cost=costs.get(str(results.final), math.nan),
    )


def verdicts_of(results: Results, contest: Contest) -> list[tuple[Verdict, int | None]]:
    """Return verdicts that together judge all configurations, and over how many epochs: the last round's comes first.

    After it come those of the laps and rungs below; without them one on all configurations, over the same epochs.
    """
    last = contest.each
    verdicts: list[tuple[Verdict, int | None]] = [(contest.verdict, last.epochs)]
    if results.halving is None and results.race is None:
        return [*verdicts, (ranking_of(results, last.metric, last.epochs).verdict, last.epochs)]
    for each in reversed(results.rounds[:-1]):
        verdicts.append((results.judge(each), each.epochs))
    return verdicts


def role_of(name: str, chosen: Chosen, racers: Collection[str], ahead: Collection[str]) -> Role:
    """Return what became of a configuration, given those that took part in a race, and those that are ahead of the choice."""
    if name == chosen.choice.chosen:
        return Role.CHOSEN
    if name in chosen.verdict.costs:
        if chosen.verdict.drops(name):
            return Role.DROPPED
        return Role.KEPT
    if name in racers:
        return Role.DROPPED
    if name in ahead:
        return Role.AHEAD
    return Role.OTHER


# --- the figure ---
def draw(overview: Overview, looks: Mapping[str, Look]) -> Axes:
    """Draw a dot with its interval for each configuration, its cost on the horizontal axis, with the names that matter.

    The vertical axis holds the choice, all that is as good or better, and the test; what is too far below is an arrow.
    """
    named = overview.named
    room = max(width_of(label_of(point, looks)) for point in named.values())
    test = ""
    if overview.test is not None:
        test = f"test set: {written(overview.test.value)}"
        room = max(room, width_of(test))
    figure, axes = plt.subplots(figsize=(WIDTH, HEIGHT))
    set_margins(figure, left=0.75, right=room + 0.5, bottom=0.5, top=0.25)
    scale_costs(axes, overview.costs)
    scale = scale_of_overview(overview)
    axes.set_ylim(scale.low, scale.high)
    worst_first = list(reversed(overview.drawn))
    draw_points(axes, [point for point in worst_first if point.name not in named], GREY, is_named=False)
    labels = []
    for point in worst_first:
        if point.name not in named:
            continue
        colour = looks[point.name].colour
        draw_points(axes, [point], colour, is_named=True)
        if point.role is Role.CHOSEN:
            ring(axes, point, colour)
        across, at = fraction_of(axes, point.cost, point.value)
        labels.append(Label(at, label_of(point, looks), colour, across + 0.012))
    if overview.test is not None:
        labels.append(Label(draw_test(axes, overview, overview.test), test, STRONG))
    label_right(axes, labels)
    notes = [what_is_grey(overview), what_is_left_out(overview), what_is_not_seen(overview)]
    axes.set_title("; ".join(filter(None, notes)), fontsize=SMALLER, color=GREY)
    axes.set(xlabel=overview.cost, ylabel=axis_label(overview.metric, overview.title))
    return axes


def draw_points(axes: Axes, points: Sequence[Point], colour: str, is_named: bool) -> None:
    """Draw configurations of a colour, later ones over earlier ones; an arrow is beyond the axis of values."""
    low, high = axes.get_ylim()
    alpha, size, order = 0.45, 4.0, 2
    if is_named:
        alpha, size, order = 1.0, 7.0, 4
    below = [point.cost for point in points if point.value < low]
    above = [point.cost for point in points if point.value > high]
    for marker, edge, costs in (("v", low, below), ("^", high, above)):
        edges = [edge] * len(costs)
        axes.plot(costs, edges, marker, color=colour, markersize=5, clip_on=False, zorder=order)
    seen = [point for point in points if low <= point.value <= high]
    sure = [point for point in seen if math.isfinite(point.half_width)]
    axes.vlines(
        [point.cost for point in sure],
        [point.value - point.half_width for point in sure],
        [point.value + point.half_width for point in sure],
        color=colour,
        alpha=alpha,
        linewidth=1.5,
        zorder=order,
    )
    costs = [point.cost for point in seen]
    values = [point.value for point in seen]
    axes.plot(costs, values, "o", color=colour, markersize=size, alpha=alpha, zorder=order)


def ring(axes: Axes, point: Point, colour: str) -> None:
    """Draw a ring around the chosen one."""
    axes.plot(point.cost, point.value, "o", color=colour, markersize=13, fillstyle="none", zorder=5)


def draw_test(axes: Axes, overview: Overview, test: Measured) -> float:
    """Draw what the test set says, above the cost of what was tested; return where, as a share of the axes' height."""
    cost = overview.tested_cost
    if not math.isfinite(cost):
        cost = axes.get_xlim()[1]
    if test.interval is not None:
        axes.vlines(cost, *test.interval, color=STRONG, linewidth=1.5, zorder=5)
    axes.plot(cost, test.value, "D", color=STRONG, markersize=6, zorder=5)
    _, at = fraction_of(axes, cost, test.value)
    return at


def label_of(point: Point, looks: Mapping[str, Look]) -> str:
    """Return what is written beside a configuration."""
    notes = []
    if point.role is Role.CHOSEN:
        notes.append("chosen")
    if point.role is Role.DROPPED:
        notes.append("dropped")
    if not math.isnan(point.odds):
        notes.append(f"odds {probability(point.odds)}")
    if not notes:
        return looks[point.name].label
    return f"{looks[point.name].label} ({', '.join(notes)})"


def caption(overview: Overview) -> str:
    """Say how to read the figure."""
    parts = [
        "A dot is a configuration, with its 95 % interval",
        what_is_grey(overview),
        what_is_left_out(overview),
        what_is_not_seen(overview),
    ]
    return f"{'; '.join(filter(None, parts))}."


def what_is_grey(overview: Overview) -> str:
    """Say what grey ones are; empty where there are none."""
    others = overview.others
    if not others:
        return ""
    if any(point.matters for point in others):
        return f"grey: not among the {len(overview.named)} that are named"
    lengths = sorted({point.epochs for point in others if point.epochs})
    if len(lengths) < 2:
        others_ahead = any(point.role is Role.AHEAD for point in overview.points)
        if others_ahead:
            return "grey: neither in the last round nor ahead of the choice by more than chance explains"
        return "grey: not in the last round"
    return f"grey: as they stood when they stopped, after {enumerated(map(str, lengths))} epochs"


def what_is_left_out(overview: Overview) -> str:
    """Say that not all grey ones are drawn; empty where all are."""
    if overview.every == 1:
        return ""
    return f"of the {len(overview.others):,} grey ones, one in {overview.every} is drawn"


def what_is_not_seen(overview: Overview) -> str:
    """Say who is beyond the figure, and how many have no value to be seen; empty where all is seen."""
    scale = scale_of_overview(overview)
    beyond = [point for point in overview.points if not scale.low <= point.value <= scale.high]
    return cropped_in_words(beyond, overview.diverged)


def cropped_in_words(beyond: Sequence[Point], diverged: int) -> str:
    """Say who is beyond the figure."""
    words = [f"{shortened(point.name)} {written(point.value)}" for point in beyond[-CROPPED_NAMED:]]
    if len(beyond) > CROPPED_NAMED:
        words.insert(0, f"{len(beyond) - CROPPED_NAMED} more")
    told = ""
    if words:
        told = f"beyond the axis: {', '.join(words)}"
    if diverged:
        told = ", ".join(filter(None, [told, f"{diverged} diverged"]))
    return told


# --- the scales ---
def scale_of_overview(overview: Overview) -> Scale:
    """Return the scale that holds what must be seen, and what is near it."""
    needed = overview.must_be_seen
    low, high = min(needed), max(needed)
    near = within_reach(low, high, [point.value for point in overview.points], heights=NEAR)
    return padded(low, high, near)


def is_spread(costs: Sequence[float]) -> bool:
    """Tell whether costs are so many times apart that their axis is logarithmic."""
    return min(costs) > 0 and max(costs) > MANY * min(costs)


def scale_costs(axes: Axes, costs: Sequence[float]) -> None:
    """Give the horizontal axis its scale, before anything is drawn: logarithmic where costs are many times apart."""
    low, high = min(costs), max(costs)
    if is_spread(costs):
        axes.set_xscale("log")
        axes.set_xlim(low / 1.3, high * 1.3)
        number_by_magnitude(axes.xaxis)
    else:
        room = 0.08 * (high - low) or 0.5 * high or 1.0
        axes.set_xlim(low - room, high + room)


# --- the sentences ---
def how_many_are_better(number: int) -> str:
    """Say how many are better than the choice."""
    if not number:
        return "none is better"
    if number == 1:
        return "1 is better"
    return f"{number} are better"


def description(overview: Overview) -> str:
    """Say what the figure shows."""
    chosen = next(point for point in overview.points if point.role is Role.CHOSEN)
    ahead = overview.points[: overview.points.index(chosen)]
    better = [point.name for point in ahead if point.value != chosen.value]
    told = (
        f"{overview.title} of {len(overview.points)} configurations by {overview.cost}, with 95 % intervals. Chosen is "
        f"{chosen.name}, {written(chosen.value)}; {how_many_are_better(len(better))}"
    )
    if better:
        told += f", the best of them {better[0]}, {written(overview.points[0].value)}"
    if overview.test is not None:
        told += f". The test set says {written(overview.test.value)}"
    return f"{told}."
