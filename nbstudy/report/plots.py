"""Figures of the summary: data, axes and colours in, axes out.

Every configuration has one colour and line style in all figures, which `looks` gives it. What is drawn of it, and on
which scale, is computed in curves.py. Sizes are in inches; at DPI a figure is as wide as JupyterLab's page, and never
higher than about 1,200 pixels.
"""

from __future__ import annotations

import io
import itertools
import math
import statistics
import textwrap
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import PIL.Image
from IPython.display import Image, display
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from nbstudy.decision.elimination import Verdict
from nbstudy.decision.metrics import Better, Metric, written
from nbstudy.numbers import is_number
from nbstudy.records.results import Chain, Factor, Ranking, Results, Round, Run
from nbstudy.records.states import State
from nbstudy.report.curves import (
    MOST_CURVES,
    Curve,
    Scale,
    common_scale,
    curves_of,
    greyed,
    half_width_of,
    scale_of,
    scale_of_choice,
    scale_of_factors,
    scale_of_ranking,
)
from nbstudy.report.labels import (
    DOT,
    GREY,
    LABEL_HEIGHT,
    SMALL,
    SMALLER,
    Label,
    fraction_of,
    label_edge,
    label_right,
    mark_exit,
    shortened,
    size_of,
    width_of,
)
from nbstudy.words import counted

COLOURS_IN_A_PICTURE = 256  # as many as a PNG with a palette can hold
# Okabe and Ito's colours, which colour-blind people can tell apart, but brown for their yellow
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31"]
LineStyle = Literal["-", ":", "-.", "--"]
STYLES: list[LineStyle] = ["-", ":", "-."]
INCOMPLETE: LineStyle = "--"  # the style of runs that are not complete
DPI = 100
WIDTH = 9.0  # of a figure: JupyterLab's width
MOST_PANELS = 15  # rounds in a figure
MOST_IN_PANEL = 12  # curves, likewise
MOST_IN_LEGEND = 20
TITLE_LETTERS = 36  # of a panel, a line
MOST_FACTORS = 8
MOST_TICKS = 6  # an axis of so few values has a tick at each
MOST_PARAMETERS = 9  # of a search space
ROW_HEIGHT = 0.28  # of a ranking
BELOW = 0.25  # how far below a mean its runs are, in rows
CHOICE_WIDTH = 3.4  # of what runs settled at, beside the curves
CHAIN_WIDTH = 2.0  # of the names of both ends of a line, beside a factor
MOST_CHAINS = 10  # more lines of a factor have no names


def use_style() -> None:
    """Set what all figures of the page have in common."""
    plt.rcParams.update(
        {
            "figure.dpi": DPI,
            "font.size": SMALL,
            "axes.titlesize": SMALL,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.formatter.useoffset": False,
        }
    )


# --- showing ---
def show() -> None:
    """Show the figures that are open, and close them."""
    for number in plt.get_fignums():
        figure = plt.figure(number)
        display(Image(png_of(figure), format="png"))
        plt.close(figure)


def save(figure: Figure, file: Path) -> None:
    """Write a figure as PNG."""
    file.write_bytes(png_of(figure))


def png_of(figure: Figure) -> bytes:
    """Return a figure as PNG in 256 colours of its own: a third of the size, and the same to the eye."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", bbox_inches="tight")
    reduced = io.BytesIO()
    with PIL.Image.open(drawn) as picture:
        # by coverage, since the default gives up the colours of thin lines
        by_coverage = PIL.Image.Quantize.MAXCOVERAGE
        colours = picture.convert("RGB").quantize(COLOURS_IN_A_PICTURE, by_coverage)
        colours.save(reduced, format="PNG", optimize=True)
    return reduced.getvalue()


# --- colours ---
@dataclass(frozen=True)
class Look:
    """How a run is drawn, and what its line is called."""

    colour: str
    style: LineStyle
    label: str


def looks(results: Results) -> dict[str, Look]:
    """Give every run its look: replicates that of the first one, rivals in a round different colours if possible.

    Those that are in most rounds choose first.
    """
    rounds_of: dict[str, list[int]] = {first: [] for first in results.first.values()}
    for number, each in enumerate(results.rounds):
        for name in each.candidates:
            rounds_of[results.first[name]].append(number)
    order = sorted(rounds_of, key=lambda first: -len(rounds_of[first]))

    possible = list(itertools.product(STYLES, COLOURS))
    colours_in: list[Counter[str]] = [Counter() for _ in results.rounds]
    used: Counter[tuple[LineStyle, str]] = Counter()
    taken = {}
    for first in order:
        rivals: Counter[str] = Counter()
        for number in rounds_of[first]:
            rivals.update(colours_in[number])
        style, colour = min(possible, key=lambda look: (rivals[look[1]], used[look]))
        taken[first] = style, colour
        used[style, colour] += 1
        for number in rounds_of[first]:
            colours_in[number][colour] += 1
    return {name: look_of(run, *taken[results.first[name]]) for name, run in results.runs.items()}


def look_of(run: Run, style: LineStyle, colour: str) -> Look:
    """Return a look that says in which state a run is that is not complete."""
    if run.state is State.COMPLETE:
        return Look(colour, style, shortened(run.name))
    return Look(colour, INCOMPLETE, f"{shortened(run.name)} ({run.word})")


def dimmed(looks: Mapping[str, Look], names: Collection[str]) -> dict[str, Look]:
    """Return looks of which these are grey."""
    changed = dict(looks)
    for name in names:
        changed[name] = replace(changed[name], colour=GREY)
    return changed


# --- axes ---
def set_margins(figure: Figure, left: float, right: float, bottom: float, top: float) -> None:
    """Leave so many inches around the axes of a figure."""
    width, height = figure.get_size_inches()
    figure.subplots_adjust(
        left=left / width, right=1 - right / width, bottom=bottom / height, top=1 - top / height
    )


def apply(scale: Scale, axes: Axes) -> None:
    """Give axes a vertical scale."""
    if scale.is_log:
        axes.set_yscale("log")
        number_by_magnitude(axes.yaxis)
    axes.set_ylim(scale.low, scale.high)


def number_by_magnitude(axis: Axis) -> None:
    """Number a logarithmic axis at 1, 2, 5, 10 and so on, in plain digits."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def axis_label(metric: Metric, title: str = "") -> str:
    """Return the label of an axis: the metric, or what is said for it, and which values of it are better."""
    label = title or metric.name
    if metric.better:
        label += f" ({metric.better} is better)"
    return label


# --- curves ---
def new_axes(labels: Iterable[str] = ()) -> Axes:
    """Make a figure of the page's width, with room for labels to the right of its axes."""
    widths = [width_of(label) for label in labels]
    figure, axes = plt.subplots(figsize=(WIDTH, max(4.2, 1 + LABEL_HEIGHT * len(widths))))
    set_margins(figure, left=0.75, right=max(widths, default=0) + 0.45, bottom=0.55, top=0.35)
    return axes


def curves(
    axes: Axes, given: Sequence[Curve], metric: Metric, looks: Mapping[str, Look], grey: Collection[str] = ()
) -> Axes:
    """Draw curves, some of them grey, each labelled where it ends or leaves the axes.

    A dot at the right edge is the value that decides, a cross the end of a line that has none. The vertical axis fits
    what is not grey: see `scale_of`.
    """
    looks = dimmed(looks, grey)
    draw(axes, given, looks, scale_of(given, metric, grey))
    axes.set(xlabel="epoch", ylabel=axis_label(metric))
    labels: dict[str, list[Label]] = {"": [], "↑": [], "↓": []}
    for curve in given:
        look = looks[curve.name]
        at, arrow = way_out(axes, curve)
        start = DOT
        if not arrow:
            start, at = mark_end(axes, curve, look.colour)
        labels[arrow].append(Label(at, look.label, look.colour, start))
    label_right(axes, labels[""])
    label_edge(axes, labels["↑"], "↑")
    label_edge(axes, labels["↓"], "↓")
    return axes


def draw(
    axes: Axes,
    given: Sequence[Curve],
    looks: Mapping[str, Look],
    scale: Scale | None,
    weight: float = 1.0,
) -> None:
    """Draw curves without labels, and a band where the replicates of one lie; `weight` makes lines stronger."""
    for curve in given:
        look = looks[curve.name]
        pale, order = 0.35, 3
        if look.colour == GREY:
            pale, order = 0.15, 2
        axes.plot(curve.raw, color=look.colour, linewidth=0.6 * weight, alpha=pale, zorder=order - 1)
        axes.plot(
            curve.median,
            color=look.colour,
            linestyle=look.style,
            linewidth=1.8 * weight,
            zorder=order + 1,
            path_effects=[withStroke(linewidth=3 * weight, foreground="white")],
        )
        if len(curve.runs.columns) > 1:
            low, high = curve.medians.min(axis=1), curve.medians.max(axis=1)
            axes.fill_between(low.index, low, high, color=look.colour, alpha=0.15, linewidth=0)
    axes.locator_params(axis="x", integer=True)
    axes.margins(x=0.01)
    if scale:
        apply(scale, axes)


def mark_end(axes: Axes, curve: Curve, colour: str) -> tuple[float, float]:
    """Mark the value that decides, or the end of a line that has none; return where, as shares of the axes' size."""
    epoch, value = curve.median.index[-1], float(curve.median.iloc[-1])
    x, y = fraction_of(axes, epoch, value)
    marker = "x"
    if math.isfinite(curve.value):
        _, y = fraction_of(axes, epoch, curve.value)
        x, marker = DOT, "o"
    axes.plot(x, y, marker, color=colour, markersize=4.5, transform=axes.transAxes, clip_on=False, zorder=5)
    return x, y


def way_out(axes: Axes, curve: Curve) -> tuple[float, str]:
    """Return where a curve leaves the axes, as a share of their width, and by an arrow to which side.

    The arrow is empty for a curve that ends on them. One that was never on them leaves at its end.
    """
    low, high = axes.get_ylim()
    if low <= curve.end <= high:
        return 1.0, ""
    beyond, arrow = curve.median > high, "↑"
    if curve.end < low:
        beyond, arrow = curve.median < low, "↓"
    was_on_axes = curve.median.between(low, high).shift(fill_value=False)
    crossings = curve.median.index[beyond & was_on_axes]
    x, _ = fraction_of(axes, min([*crossings, curve.median.index[-1]]), high)
    return x, arrow


# --- rankings ---
def ranking(
    given: Sequence[Curve],
    verdict: Verdict,
    label: str,
    looks: Mapping[str, Look],
    grey: Collection[str] = (),
) -> Axes:
    """Draw what candidates come to along a horizontal axis, a row each, with the 95 % intervals of their means.

    The candidates are those of `given` that are finite, in that order; a cross instead of a dot is one that is not
    judged. Below a mean over several runs are these runs, small. The axis fits survivors and what is within reach of
    them; a value beyond is an arrow at its edge.
    """
    looks = dimmed(looks, grey)
    shown = [curve for curve in given if curve.name in verdict.finite or curve.name not in verdict.costs]
    axes = ranking_axes([looks[curve.name].label for curve in shown])
    scale = scale_of_ranking(shown, verdict, grey)
    axes.set_xlim(scale.low, scale.high)
    for place, curve in enumerate(shown):
        colour = looks[curve.name].colour
        if len(curve.settled) > 1:
            heights = [place + BELOW] * len(curve.settled)
            axes.plot(curve.settled, heights, "o", color=colour, markersize=3.5, alpha=0.45)
        row(axes, curve, place, half_width_of(curve, verdict), colour)
    axes.set_yticks(range(len(shown)), [looks[curve.name].label for curve in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel(label)
    if len(verdict.finite) > len(shown):
        axes.set_title(f"The best {len(shown)} of {len(verdict.finite):,}")
    return axes


def row(axes: Axes, curve: Curve, place: float, half_width: float, colour: str) -> None:
    """Draw a value on the horizontal axis with its interval, or an arrow where it is beyond the axis; write it beside."""
    value = curve.end
    low, high = axes.get_xlim()
    marker = "o"
    if not math.isfinite(curve.value):
        marker = "x"
    if value > high:
        marker = ">"
    elif value < low:
        marker = "<"
    axes.plot(min(max(value, low), high), place, marker, color=colour, markersize=6, clip_on=False)
    if math.isfinite(half_width):
        axes.hlines(place, value - half_width, value + half_width, color=colour, linewidth=1.5)
    axes.annotate(
        written(value),
        (1.03, place),
        xycoords=axes.get_yaxis_transform(),
        va="center",
        fontsize=SMALLER,
        color=colour,
    )


def ranking_axes(names: Sequence[str]) -> Axes:
    """Make a figure of the page's width, with room for the names and values of a ranking."""
    widest = max(width_of(name) for name in names)
    figure, axes = plt.subplots(figsize=(WIDTH, 0.95 + ROW_HEIGHT * max(3, len(names))))
    set_margins(figure, left=widest + 0.2, right=0.8, bottom=0.55, top=0.3)
    axes.grid(visible=False, axis="y")
    return axes


# --- a round ---
def one_round(results: Results, each: Round, verdict: Verdict, looks: Mapping[str, Look]) -> Axes | None:
    """Draw a round's candidates: the dropped in grey, but all in colour in an overview.

    They are ranked where they are very many, or have no epochs. None where there is nothing to draw.
    """
    grey = greyed(each, verdict)
    given = curves_of(results, each.candidates, verdict, each.metric, each.epochs, each.stage)
    longest = max([len(curve.raw) for curve in given], default=0)
    if longest > 1 and len(each.candidates) <= MOST_CURVES:
        axes = new_axes(looks[curve.name].label for curve in given)
        return curves(axes, given, each.metric, looks, grey)
    if given:
        return ranking(given, verdict, axis_label(each.metric, results.title(each.metric)), looks, grey)
    return None


# --- all rounds ---
Kind = tuple[str, bool, int | None]  # the metric, whether it is an overview, and how long a rung is


@dataclass(frozen=True, eq=False)
class Panel:
    """A round in the figure of all rounds."""

    each: Round
    verdict: Verdict
    curves: list[Curve]

    @property
    def title(self) -> list[str]:
        """Its title, in lines."""
        return textwrap.wrap(
            f"{self.each.number} · {self.each.title}", TITLE_LETTERS, max_lines=3, placeholder=" …"
        )

    @property
    def kind(self) -> Kind:
        """What it has in common with those on the same scale."""
        return self.each.metric.name, self.each.is_overview, self.rung_epochs

    @property
    def rung_epochs(self) -> int | None:
        """How long a rung is; None where it is none."""
        if self.each.stage is None:
            return None
        return self.each.stage.rung.epochs

    @property
    def grey(self) -> tuple[str, ...]:
        """What is grey in it."""
        return greyed(self.each, self.verdict)

    @property
    def survivors(self) -> list[Curve]:
        """The curves of what is not grey."""
        return [curve for curve in self.curves if curve.name not in self.grey]

    @property
    def outcome(self) -> str:
        """What the rule drops, in short."""
        dropped = [shortened(name) for name in self.verdict.dropped]
        if self.each.is_overview:
            return "overview"
        if not self.verdict.costs:
            return "not judged yet"
        if not dropped:
            return "drops none"
        text = f"drops {', '.join(dropped)}"
        if len(text) <= TITLE_LETTERS:
            return text
        return f"drops {len(dropped):,} of {len(self.verdict.costs):,}"

    @property
    def notes(self) -> list[str]:
        """What the rule drops, and what is not usual in it."""
        notes = [self.outcome]
        if len(self.each.candidates) > MOST_IN_PANEL:
            notes.append(f"the best {len(self.curves)} are shown")
        return notes


def rounds(
    results: Results, verdicts: Sequence[Verdict], looks: Mapping[str, Look]
) -> tuple[Figure, list[Axes]]:
    """Draw the rounds together, a panel each, with one legend.

    Those of one metric have a common scale, but an overview and each length of a rung has its own. A small triangle
    is where a curve leaves its panel. Of very many rounds these are the last.
    """
    panels = panels_of(results, verdicts)
    main = usual_metric(panels, results.metric)
    scales = common_scales(panels)
    legend = legend_of(panels, looks)
    columns = int(WIDTH / (0.65 + max(width_of(str(line.get_label()), SMALLER) for line in legend)))
    figure, all_axes = panel_grid(panels, math.ceil(len(legend) / columns))
    longest = max([curve.raw.index[-1] for panel in panels for curve in panel.curves], default=1)
    for axes, panel in zip(all_axes, panels, strict=True):
        axes.set_xlim(0, 1.01 * (panel.rung_epochs or longest))
        draw_panel(axes, panel, looks, scales.get(panel.kind))
        notes = panel.notes
        if panel.each.metric != main:
            notes.insert(0, panel.each.metric.name)
        write_above(axes, panel.title, ", ".join(notes))
    middle = (figure.subplotpars.bottom + figure.subplotpars.top) / 2
    figure.supylabel(axis_label(main), fontsize=SMALL, x=0.003, y=middle)
    figure.supxlabel("epoch", fontsize=SMALL, y=0.003)
    figure.legend(handles=legend, ncols=columns, loc="upper left", frameon=False, fontsize=SMALLER)
    return figure, all_axes


def panels_of(results: Results, verdicts: Sequence[Verdict]) -> list[Panel]:
    """Return what is drawn of the rounds that judge curves, the last ones where they are very many."""
    panels = []
    for each, verdict in zip(results.rounds, verdicts, strict=True):
        has_curves = each.metric.name not in results.numbers
        if has_curves and each.number > len(results.rounds) - MOST_PANELS:
            shown = curves_of(results, each.candidates, verdict, each.metric, each.epochs, each.stage)
            panels.append(Panel(each, verdict, shown[:MOST_IN_PANEL]))
    return panels


def usual_metric(panels: Sequence[Panel], metric: Metric) -> Metric:
    """Return the metric of most panels, this one where there are none."""
    metrics = Counter(panel.each.metric for panel in panels)
    return max(metrics, key=metrics.__getitem__, default=metric)


def common_scales(panels: Sequence[Panel]) -> dict[Kind, Scale]:
    """Return, for each kind of panels, the scale that fits the survivors of the best one and what is near it."""
    scales: dict[Kind, list[Scale]] = {}
    metrics = {panel.kind: panel.each.metric for panel in panels}
    for panel in panels:
        scale = scale_of(panel.survivors or panel.curves, panel.each.metric)
        if scale:
            scales.setdefault(panel.kind, []).append(scale)
    return {kind: common_scale(each, metrics[kind]) for kind, each in scales.items()}


def legend_of(panels: Sequence[Panel], looks: Mapping[str, Look]) -> list[Artist]:
    """Return the lines of the common legend: what is in colour anywhere, and what grey and triangles mean."""
    in_colour = {curve.name for panel in panels for curve in panel.survivors}
    lines: list[Artist] = []
    for name, look in looks.items():
        if name in in_colour and len(lines) < MOST_IN_LEGEND:
            lines.append(
                Line2D([], [], color=look.colour, linestyle=look.style, linewidth=1.8, label=look.label)
            )
    if len(in_colour) > len(lines):
        lines.append(Line2D([], [], linestyle="", label=f"and {len(in_colour) - len(lines)} more"))
    if any(panel.grey for panel in panels):
        lines.append(Line2D([], [], color=GREY, linewidth=1.8, label="dropped"))
    lines.append(Line2D([], [], color=GREY, marker="^", linestyle="", markersize=4, label="leaves the panel"))
    return lines


def panel_grid(panels: Sequence[Panel], legend_rows: int) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels three to a row; only the outer ones have numbers at their axes, or a new metric's."""
    columns = max(1, min(3, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    above = 0.28 + 0.15 * max([len(panel.title) for panel in panels], default=1)  # for a title and a note
    gap = above + 0.1
    if any(panel.rung_epochs is not None for panel in panels):
        gap += 0.2  # for the numbers at each axis
    top, bottom, panel_height = 0.15 + 0.18 * legend_rows + above, 0.45, 1.3
    if rows < 3:
        panel_height = 2.2
    size = WIDTH, top + rows * panel_height + (rows - 1) * gap + bottom
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False)
    set_margins(figure, left=0.75, right=0.2, bottom=bottom, top=top)
    figure.subplots_adjust(wspace=0.18, hspace=gap / panel_height)
    all_axes = list(grid.flat)
    for axes in all_axes[len(panels) :]:
        axes.set_visible(False)
    for number, panel in enumerate(panels):
        is_first_of_its_kind = number % columns == 0 or panels[number - 1].kind != panel.kind
        has_epochs = number + columns >= len(panels) or panel.rung_epochs is not None
        all_axes[number].tick_params(
            labelleft=is_first_of_its_kind, labelbottom=has_epochs, labelsize=SMALLER, which="both"
        )
    return figure, all_axes[: len(panels)]


def draw_panel(axes: Axes, panel: Panel, looks: Mapping[str, Look], scale: Scale | None) -> None:
    """Draw the curves of a round without labels, and a triangle where one leaves the panel."""
    looks = dimmed(looks, panel.grey)
    draw(axes, panel.curves, looks, scale, weight=0.75)
    for curve in panel.curves:
        at, arrow = way_out(axes, curve)
        if arrow:
            mark_exit(axes, at, arrow, looks[curve.name].colour)


def write_above(axes: Axes, title: Sequence[str], note: str) -> None:
    """Write the title of a panel, and a note below it."""
    note_points, title_points = 6, 17  # above the axes
    axes.annotate(
        note,
        (0, 1),
        (0, note_points),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=SMALLER,
        color=GREY,
    )
    axes.annotate(
        "\n".join(title),
        (0, 1),
        (0, title_points),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=SMALL,
    )


# --- the factors ---
def factors(
    given: Sequence[Factor], ranking: Ranking, looks: Mapping[str, Look], noise: float = math.nan
) -> tuple[Figure, list[Axes]]:
    """Draw a panel for each parameter that lines run along, on a common vertical axis.

    `ranking` is that of the values that the chains go through: the axis fits its survivors and what is within reach
    of them. A band of the height of `noise` reaches from the best value to the worse ones.
    """
    shown = [each for each in given if each.chains][:MOST_FACTORS]
    values = ranking.values
    scale = scale_of_factors(values, ranking.verdict, noise)
    figure, all_axes = factor_grid(shown)
    both = names_are_short(shown)
    for axes, each in zip(all_axes, shown, strict=True):
        axes.set_ylim(scale.low, scale.high)
        noise_band(axes, values, ranking.metric, noise)
        factor(axes, each, looks, both)
    if all_axes and math.isfinite(noise):
        all_axes[0].set_title("shaded: within the noise of the best", fontsize=SMALLER, color=GREY)
    figure.supylabel(axis_label(ranking.metric, ranking.title), fontsize=SMALL, x=0.003)
    return figure, all_axes


def factor_grid(shown: Sequence[Factor]) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels two to a row, with room for labels to the right of each."""
    rows = max(1, math.ceil(len(shown) / 2))
    both = names_are_short(shown)
    room = 0.4 + max([width_of(text) for each in shown for text in names_of(each, both)], default=0)
    left, panel_height, gap = 0.7, 2.1, 0.6
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
    axes.axhspan(best, worse, color="0.92", zorder=0)


def factor(axes: Axes, given: Factor, looks: Mapping[str, Look], both: bool) -> Axes:
    """Draw a line for each chain of configurations that differ in this parameter alone, with its ends' names.

    Where these are too long for `both` it is the name at its right end. Of very many lines only the median is named.
    """
    if len(given.chains) > MOST_CHAINS:
        labels = [median_of_chains(axes, given)]
    else:
        labels = summed_up([named_chain(axes, given, chain, looks, both) for chain in given.chains])
    width, _ = size_of(axes)
    every = math.ceil(sum(width_of(level) + 0.1 for level in given.levels) / width)
    axes.set_xlim(-0.2, len(given.levels) - 0.8)
    axes.set_xticks(range(0, len(given.levels), every), given.levels[::every])
    axes.set_xlabel(given.name)
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
    x = [given.levels.index(level) for level in chain.levels]
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
    for chain in given.chains:
        x = [given.levels.index(level) for level in chain.levels]
        axes.plot(x, chain.values, color=GREY, linewidth=0.7, alpha=0.5, zorder=2)
        for level, value in zip(chain.levels, chain.values, strict=True):
            at_level[level].append(value)
    medians = [statistics.median(values or [math.nan]) for values in at_level.values()]
    axes.plot(medians, color="black", linewidth=2, zorder=3)
    _, at = fraction_of(axes, 0, medians[-1])
    return Label(at, f"median of {len(given.chains):,}", "black")


# --- the choice ---
def choice(results: Results, each: Round, verdict: Verdict, looks: Mapping[str, Look]) -> Axes | None:
    """Draw the last half of the candidates' curves, and beside it what each run and their mean settled at.

    A band reaches from the lowest to the highest replicate. Without epochs, or where there is no room for the names,
    it is a ranking instead; None where nothing is finite.
    """
    if not verdict.finite:
        return None
    given = curves_of(results, list(verdict.finite), verdict, each.metric, each.epochs, each.stage)
    longest = max([curve.raw.index[-1] for curve in given], default=0)
    names_width = sum(width_of(looks[curve.name].label) + 0.15 for curve in given)
    if not results.is_by_epoch(each.metric) or longest < 2 or names_width > CHOICE_WIDTH:
        label = axis_label(each.metric, results.title(each.metric))
        return ranking(given, verdict, label, looks, verdict.dropped)

    looks = dimmed(looks, verdict.dropped)
    shares = [WIDTH - CHOICE_WIDTH, CHOICE_WIDTH]
    left: Axes
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.0), width_ratios=shares, sharey=True)
    set_margins(figure, left=0.75, right=0.1, bottom=0.7, top=0.1)
    figure.subplots_adjust(wspace=0.05)
    draw(left, given, looks, scale_of_choice(given, verdict))
    left.set(xlabel="epoch", ylabel=axis_label(each.metric), xlim=(longest // 2, longest))
    for place, curve in enumerate(given):
        settled_runs(right, place, curve, verdict.half_width(curve.name), looks[curve.name].colour)
    right.set_xticks(range(len(given)), [looks[curve.name].label for curve in given])
    right.set(xlim=(-0.6, len(given) - 0.4), xlabel="settled: each run, and the mean\nwith its 95 % interval")
    return left


def settled_runs(axes: Axes, place: float, curve: Curve, half_width: float, colour: str) -> None:
    """Draw what each run settled at, small, and beside it their mean with its interval."""
    axes.plot([place - 0.12] * len(curve.settled), curve.settled, "o", color=colour, markersize=4, alpha=0.5)
    axes.plot(place + 0.08, curve.value, "o", color=colour, markersize=7)
    if math.isfinite(half_width):
        axes.errorbar(place + 0.08, curve.value, half_width, color=colour, linewidth=1.8, capsize=3)


# --- a search space ---
def search_space(
    results: Results, rounds: Sequence[Round], verdicts: Sequence[Verdict]
) -> tuple[Figure, list[Axes]]:
    """Draw what candidates came to on the first rung by each parameter that varies, larger the higher they climbed."""
    first, verdict = rounds[0], verdicts[0]
    reached = dict.fromkeys(verdict.finite, 0)
    for number, each in enumerate(rounds[1:], 1):
        reached |= {name: number for name in each.candidates if name in reached}
    names = results.factors[:MOST_PARAMETERS]
    rows = max(1, math.ceil(len(names) / 3))
    figure, grid = plt.subplots(
        rows, 3, figsize=(WIDTH, 2.3 * rows + 0.5), squeeze=False, sharey=True, layout="constrained"
    )
    all_axes = list(grid.flat)
    for axes in all_axes[len(names) :]:
        axes.set_visible(False)
    for axes, parameter in zip(all_axes, names, strict=False):
        scatter(axes, results, parameter, reached, verdict, first.metric)
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=len(labels), fontsize=SMALL, frameon=False
    )
    figure.supylabel(
        axis_label(first.metric, f"{first.metric} after {counted(first.epochs or 0, 'epoch')}"),
        fontsize=SMALL,
    )
    return figure, all_axes[: len(names)]


def scatter(
    axes: Axes, results: Results, parameter: str, reached: Mapping[str, int], verdict: Verdict, metric: Metric
) -> None:
    """Draw what candidates came to by a parameter, a colour and a size for each rung that they reached."""
    given = {name: results.runs[name].parameters.get(parameter) for name in reached}
    numbers = [value for value in given.values() if is_number(value)]
    are_numbers = len(numbers) == len(given)
    places: dict[str, Any] = given
    if not are_numbers:
        places = {name: str(value) for name, value in given.items()}
    for rung in range(max(reached.values()) + 1):
        names = [name for name in reached if reached[name] == rung]
        axes.plot(
            [places[name] for name in names],
            [metric.value(verdict.costs[name]) for name in names],
            "o",
            color=[GREY, *COLOURS][min(rung, len(COLOURS))],
            markersize=3.5 + 1.5 * rung,
            alpha=0.8,
            label=f"reached rung {rung + 1}",
        )
    if are_numbers and is_spread_by_magnitude(numbers):
        axes.set_xscale("log")
        number_by_magnitude(axes.xaxis)
    levels = sorted(set(numbers))
    if are_numbers and len(levels) <= MOST_TICKS:
        axes.set_xticks(levels, [f"{level:g}" for level in levels])
        axes.set_xticks([], minor=True)
    axes.set_xlabel(parameter)


def is_spread_by_magnitude(numbers: Sequence[float]) -> bool:
    """Tell whether numbers lie more evenly in their logarithm, as those of a search on that scale."""
    low, middle, high = min(numbers), statistics.median(numbers), max(numbers)
    if low <= 0 or high < 3 * low:
        return False
    return abs(middle - math.sqrt(low * high)) < abs(middle - (low + high) / 2)


# --- the test set ---
def confusion(counts: pd.DataFrame) -> Axes:
    """Draw how often each class (rows) is taken for each (columns)."""
    from sklearn.metrics import ConfusionMatrixDisplay

    _, axes = plt.subplots(figsize=(7, 6), layout="constrained")
    axes.grid(visible=False)
    matrix = ConfusionMatrixDisplay(counts.to_numpy(), display_labels=counts.index)
    matrix.plot(cmap="Blues", xticks_rotation=45, colorbar=False, ax=axes)
    return axes


def mistakes(images: np.ndarray[Any, Any], worst: pd.DataFrame, classes: Sequence[str]) -> Figure:
    """Draw up to twelve images that were taken for another class, by their number: the index of `worst`.

    `images` are grey values (number, height, width); `worst` has columns true, said (classes by number) and
    certainty (0 to 1).
    """
    figure, grid = plt.subplots(
        2, 6, figsize=(WIDTH, 4.4), layout="constrained", subplot_kw={"xticks": [], "yticks": []}
    )
    for axes, (number, row) in zip(grid.flat, worst.iterrows(), strict=False):
        axes.grid(visible=False)
        axes.imshow(images[number], cmap="gray_r")
        true, said = classes[int(row["true"])], classes[int(row["said"])]
        axes.set_title(f"{true},\nsays {said}\n({row['certainty']:.1%})", loc="center", fontsize=SMALL)
    return figure
