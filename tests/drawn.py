"""Curves and verdicts to draw, and what is drawn of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from nbstudy.decision.elimination import Verdict
from nbstudy.decision.noise import Noise
from nbstudy.decision.settling import settled
from nbstudy.report.colours import COLOURS
from nbstudy.report.curves import Curve
from nbstudy.report.looks import Look
from planted import Planted, flat

LOOKS = {name: Look(colour, "-", name) for name, colour in zip("abcdefgh", COLOURS, strict=True)}
HIGHEST = 1200  # pixels of a figure


def curve(name: str, *runs: list[float], value: float | None = None) -> Curve:
    """Return a curve of these runs, which settles at the end of the first one if not said otherwise."""
    columns = {f"{name}_{number}": values for number, values in enumerate(runs)}
    lines = pd.DataFrame(columns, index=pd.RangeIndex(1, len(runs[0]) + 1, name="epoch"))
    if value is None:
        value = runs[0][-1]
    return Curve(name, lines, [settled(run) for run in runs], value)


def falling(end: float, jumps: float = 0.0) -> list[float]:
    """Return a curve that falls from far above to its end, and jumps every tenth epoch."""
    return [end + 2 * math.exp(-epoch / 10) + jumps * (epoch % 10 == 0) for epoch in range(1, 201)]


def judged(costs: dict[str, float], dropped: tuple[str, ...] = (), deviation: float = 0.01) -> Verdict:
    """Return a verdict on candidates of one run each."""
    return Verdict(costs, dict.fromkeys(costs, 1), Noise(deviation, 6), {}, dropped)


def judged_twice(costs: dict[str, float], dropped: tuple[str, ...] = (), deviation: float = 0.01) -> Verdict:
    """Return a verdict on candidates of two runs each."""
    runs = dict.fromkeys(costs, 2)
    return Verdict(costs, runs, Noise(deviation, len(costs)), {}, dropped)


def many(root: Path, number: int) -> Planted:
    """Plant a study of so many configurations, whose losses rise with their number."""
    units = list(range(1, number + 1))
    study = Planted(
        root, f"notebooks: {{run: train.ipynb}}\ngrid: [{{name: 'n_{{units}}', units: {units}}}]\n"
    )
    for name, parameters in study.record["configurations"].items():
        study.run(name, flat(0.3 + 0.001 * parameters["units"]))
    return study


def texts_of(axes: Axes) -> list[str]:
    """Return what is written in and beside axes."""
    return [text.get_text() for text in axes.texts]


def strong(axes: Axes) -> list[str]:
    """Return the colours of the strong lines."""
    return [
        to_hex(line.get_color()).upper()
        for line in axes.lines
        if line.get_linewidth() > 1 and len(line.get_xdata()) > 1
    ]


def check_texts(figure: Figure) -> None:
    """Refuse texts that overlap or lie outside of a figure, and figures that are too high."""
    figure.canvas.draw()
    assert figure.bbox.height <= HIGHEST
    boxes = []
    for text in shown_texts(figure):
        if text.get_visible() and text.get_text().strip():
            boxes.append((text.get_text(), Text.get_window_extent(text)))  # without an arrow
    for text, box in boxes:
        assert box.x0 >= -1 and box.y0 >= -1, text
        assert box.x1 <= figure.bbox.width + 1 and box.y1 <= figure.bbox.height + 1, text
    for (text, box), (other, other_box) in itertools.combinations(boxes, 2):
        overlap_x = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
        overlap_y = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
        assert overlap_x < 2 or overlap_y < 3, f"{text!r} lies over {other!r}"


def shown_texts(figure: Figure) -> Iterator[Text]:
    """Yield all texts of a figure but those of hidden axes, and of ticks beyond an axis."""
    yield from figure.texts
    for legend in figure.legends:
        yield from legend.get_texts()
    for axes in figure.axes:
        if not axes.get_visible():
            continue
        yield from axes.texts
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            yield axis.label
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    yield tick.label1
