"""What all figures of the page have in common: their style and width, their axes, how they are shown and saved.

Sizes are in inches; at DPI a figure is as wide as JupyterLab's page, and never higher than about 1,200 pixels.
"""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib.pyplot as plt
import PIL.Image
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from nbstudy.decision.metrics import Metric
from nbstudy.report.curves import Scale
from nbstudy.report.labels import LONGEST_TITLE, SMALL, shortened

COLOURS_IN_A_PICTURE = 256  # as many as a PNG with a palette can hold
DPI = 100
WIDTH = 9.0  # of a figure: JupyterLab's width


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
            "text.parse_math": False,  # names, titles and values may hold $
        }
    )


# --- showing ---
def show_figures(*descriptions: str) -> None:
    """Show the figures that are open, each with what it shows in words, and close them."""
    for number, description in zip(plt.get_fignums(), descriptions, strict=True):
        figure = plt.figure(number)
        display(Image(png_of(figure), format="png", alt=description))
        plt.close(figure)


def closed_as_png(axes: Axes) -> bytes:
    """Return a figure as PNG, and close it."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    picture = png_of(figure)
    plt.close(figure)
    return picture


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
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_digits(value)))
    axis.set_minor_formatter(NullFormatter())


def plain_digits(value: float) -> str:
    """Return a number without an exponent, thousands apart."""
    if value >= 1:
        return f"{value:,.0f}"
    return f"{value:g}"


def axis_label(metric: Metric, title: str = "") -> str:
    """Return the label of an axis: the metric, or what is said for it, and which values of it are better."""
    label = shortened(title or metric.name, LONGEST_TITLE)
    if metric.better:
        label += f" ({metric.better} is better)"
    return label
