"""Curves as lines: drawn thin and pale as they are, strong as their running median."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from nbstudy.report.colours import GREY
from nbstudy.report.curves import Curve, Scale
from nbstudy.report.figures import apply
from nbstudy.report.labels import fraction_of
from nbstudy.report.looks import Look


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
