"""A ranking as dots: a row a candidate, the best on top, with the interval of its mean."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from nbstudy.decision.elimination import Verdict
from nbstudy.decision.metrics import written
from nbstudy.report.curves import Curve, Scale, joined, padded, within_reach
from nbstudy.report.figures import WIDTH, set_margins
from nbstudy.report.labels import SMALLER, width_of
from nbstudy.report.looks import Look, dimmed

ROW_HEIGHT = 0.28  # of a ranking
BELOW = 0.25  # how far below a mean its runs are, in rows


def draw_ranking(
    given: Sequence[Curve],
    verdict: Verdict,
    label: str,
    looks: Mapping[str, Look],
    grey: Collection[str] = (),
    beside: Mapping[str, str] = MappingProxyType({}),
) -> Axes:
    """Draw what candidates come to along a horizontal axis, a row each, with the 95 % intervals of their means.

    The candidates are those of `given` that are finite, in that order; a cross instead of a dot is one that is not
    judged. Below a mean over several runs are these runs, small. The axis fits survivors and what is within reach of
    them; a value beyond is an arrow at its edge. `beside` is written after the values of some.
    """
    looks = dimmed(looks, grey)
    shown = [curve for curve in given if curve.name in verdict.finite or curve.name not in verdict.costs]
    axes = new_axes([looks[curve.name].label for curve in shown], list(beside.values()))
    scale = scale_of_ranking(shown, verdict, grey)
    axes.set_xlim(scale.low, scale.high)
    for place, curve in enumerate(shown):
        colour = looks[curve.name].colour
        if len(curve.settled) > 1:
            heights = [place + BELOW] * len(curve.settled)
            axes.plot(curve.settled, heights, "o", color=colour, markersize=3.5, alpha=0.45)
        draw_row(axes, curve, place, half_width_of(curve, verdict), colour, beside.get(curve.name, ""))
    axes.set_yticks(range(len(shown)), [looks[curve.name].label for curve in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel(label)
    if len(verdict.finite) > len(shown):
        axes.set_title(f"The best {len(shown)} of {len(verdict.finite):,}")
    return axes


def draw_row(
    axes: Axes, curve: Curve, place: float, half_width: float, colour: str, beside: str = ""
) -> None:
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
        written(value) + beside,
        (1.03, place),
        xycoords=axes.get_yaxis_transform(),
        va="center",
        fontsize=SMALLER,
        color=colour,
    )


def new_axes(names: Sequence[str], beside: Sequence[str] = ()) -> Axes:
    """Make a figure of the page's width, with room for the names and values of a ranking, and what is beside these."""
    more = max(map(width_of, beside), default=0)
    widest = max(width_of(name) for name in names)
    figure, axes = plt.subplots(figsize=(WIDTH, 0.95 + ROW_HEIGHT * max(3, len(names))))
    set_margins(figure, left=widest + 0.2, right=0.8 + more, bottom=0.55, top=0.3)
    axes.grid(visible=False, axis="y")
    return axes


# --- the scale ---
def scale_of_ranking(curves: Sequence[Curve], verdict: Verdict, grey: Collection[str]) -> Scale:
    """Return the scale that fits the intervals and the runs of survivors, and of what is within reach of them."""
    colourful = [curve for curve in curves if curve.name not in grey] or curves
    low, high = joined(spans(curve, verdict) for curve in colourful)
    near = [spans(curve, verdict) for curve in curves if within_reach(low, high, [curve.end])]
    return padded(*joined([(low, high), *near]))


def spans(curve: Curve, verdict: Verdict) -> tuple[float, float]:
    """Return from where to where the interval and the runs of a candidate reach."""
    width = np.nan_to_num(half_width_of(curve, verdict))
    values = [curve.end - width, curve.end + width, *curve.settled]
    return float(np.nanmin(values)), float(np.nanmax(values))


def half_width_of(curve: Curve, verdict: Verdict) -> float:
    """Return half the width of the 95 % interval of a value; NaN where it is not judged, or chance is unknown."""
    if curve.name not in verdict.finite:
        return math.nan
    return verdict.half_width(curve.name)
