"""Curves as lines: drawn thin and pale as they are, strong as their running median, labelled where they end."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from nbstudy.decision.metrics import Metric
from nbstudy.report.colours import GREY
from nbstudy.report.curves import Curve, Scale, scale_of
from nbstudy.report.figures import WIDTH, apply, axis_label, set_margins
from nbstudy.report.labels import DOT, LABEL_HEIGHT, Label, fraction_of, label_edge, label_right, width_of
from nbstudy.report.looks import Look, dimmed


def new_axes(labels: Iterable[str] = ()) -> Axes:
    """Make a figure of the page's width, with room for labels to the right of its axes."""
    widths = [width_of(label) for label in labels]
    figure, axes = plt.subplots(figsize=(WIDTH, max(4.2, 1 + LABEL_HEIGHT * len(widths))))
    set_margins(figure, left=0.75, right=max(widths, default=0) + 0.45, bottom=0.55, top=0.35)
    return axes


def draw_with_labels(
    axes: Axes, given: Sequence[Curve], metric: Metric, looks: Mapping[str, Look], grey: Collection[str] = ()
) -> Axes:
    """Draw curves, some of them grey, each labelled where it ends or leaves the axes.

    A dot at the right edge is the value that decides, a cross the end of a line that has none. The vertical axis fits
    what is not grey: see `scale_of`.
    """
    looks = dimmed(looks, grey)
    draw_lines(axes, given, looks, scale_of(given, metric, grey))
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


def draw_lines(
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
            measured = curve.medians.dropna(how="all")
            low, high = measured.min(axis=1), measured.max(axis=1)
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
