"""Labels of figures, which lie neither over each other nor outside the figure: where they go, and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from nbstudy.report.colours import FAINT
from nbstudy.words import on_a_line

SMALL, SMALLER = 9.0, 8.0  # sizes of letters, in points
DOT, COLUMN = 1.012, 1.035  # where dots and labels are to the right of axes, as shares of their width
LABEL_HEIGHT = 0.16  # from one label to the next, in inches
LONGEST_LABEL = 30  # letters; the middle of a longer one is left out
LONGEST_TITLE = 60  # likewise, of an axis


def shortened(text: str, longest: int = LONGEST_LABEL) -> str:
    """Return a text of somebody else's as figures draw it: on one line, without the middle of a long one.

    That it is no mathematics is the style of all figures: see `figures.use_style`.
    """
    line = on_a_line(text)
    half = longest // 2
    if len(line) <= longest:
        return line
    return f"{line[:half]}…{line[-half:]}"


def width_of(label: str, size: float = SMALL) -> float:
    """Return how wide a label is, in inches."""
    width, _, _ = text_to_path.get_text_width_height_descent(label, FontProperties(size=size), ismath=False)
    return float(width) / 72


def apart(wanted: Sequence[float], sizes: Sequence[float], length: float) -> list[float]:
    """Return the centres of labels beside each other, as near to the wanted ones as can be.

    `wanted` ascends; labels of these sizes lie between 0 and `length` if they have room there.
    """
    from scipy.optimize import isotonic_regression

    if not wanted:
        return []
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    centres = starts + np.array(sizes) / 2
    room = max(0.0, length - sum(sizes))
    moved = isotonic_regression(np.array(wanted, dtype=float) - centres).x
    return list(np.clip(moved, 0, room) + centres)


def size_of(axes: Axes) -> tuple[float, float]:
    """Return the width and the height of axes."""
    box = axes.get_window_extent()
    return box.width / axes.figure.dpi, box.height / axes.figure.dpi


def fraction_of(axes: Axes, x: float, y: float) -> tuple[float, float]:
    """Return where a point of the data lies, in shares of the axes' width and height."""
    across, up = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))
    return float(across), float(up)


@dataclass(frozen=True, order=True)
class Label:
    """What is written beside a line, and in which colour."""

    at: float  # the share of the axes' height, or width; outside 0 to 1 for a line that leaves them
    text: str
    colour: str
    start: float = DOT  # where its leader begins, as a share of the axes' width


def label_right(axes: Axes, labels: Iterable[Label]) -> None:
    """Write labels in a column to the right of the axes, none over another."""
    ordered = sorted(labels)
    _, height = size_of(axes)
    wanted = [label.at * height for label in ordered]
    placed = apart(wanted, [LABEL_HEIGHT] * len(ordered), height)
    for label, y in zip(ordered, placed, strict=True):
        leader = None
        if 0 <= label.at <= 1:
            leader = {"arrowstyle": "-", "linewidth": 0.6, "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 0}
            leader["color"] = label.colour
            if label.start < DOT:  # across the axes, where it must not look like a curve
                leader |= {"color": FAINT, "linestyle": ":"}
        axes.annotate(
            label.text,
            (label.start, label.at),
            (COLUMN, y / height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=SMALL,
            color=label.colour,
            annotation_clip=False,
            arrowprops=leader,
        )


def mark_exit(axes: Axes, x: float, arrow: str, colour: str) -> None:
    """Set a triangle at the edge where a line leaves the axes; x is a share of their width."""
    edge, marker = 0.0, "v"
    if arrow == "↑":
        edge, marker = 1.0, "^"
    axes.plot(
        x, edge, marker, color=colour, markersize=4.5, transform=axes.transAxes, clip_on=False, zorder=5
    )
