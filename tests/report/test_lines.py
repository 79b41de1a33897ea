"""Curves as lines: what is drawn, and in which colour."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from drawn import LOOKS, curve, strong
from nbstudy.decision.metrics import metric_called
from nbstudy.report.colours import COLOURS, GREY
from nbstudy.report.curves import Curve, scale_of
from nbstudy.report.lines import draw_lines, way_out
from nbstudy.report.looks import Look, dimmed

LOSS = metric_called("loss")


def drawn(given: Sequence[Curve], looks: Mapping[str, Look] = LOOKS) -> Axes:
    """Draw curves on the scale that fits them."""
    _, axes = plt.subplots()
    draw_lines(axes, given, looks, scale_of(given, LOSS))
    return axes


def test_curve_is_drawn_thin_as_it_is_and_strong_as_its_median() -> None:
    jumping = [0.5 + 0.1 * (epoch % 2) for epoch in range(200)]
    axes = drawn([curve("a", jumping)])
    raw, median = axes.lines[:2]
    assert raw.get_ydata().tolist() == jumping
    assert raw.get_linewidth() < 1 and raw.get_alpha() < 0.5
    assert np.ptp(median.get_ydata()) <= 0.1 and median.get_linewidth() > 1.5
    assert raw.get_color() == median.get_color() == LOOKS["a"].colour


def test_dropped_are_grey_below_the_survivors() -> None:
    axes = drawn([curve("a", [0.5] * 20), curve("b", [0.51] * 20)], dimmed(LOOKS, ["b"]))
    assert strong(axes) == [COLOURS[0], to_hex(GREY).upper()]
    lines = [line for line in axes.lines if line.get_linewidth() > 1.5]
    assert lines[0].get_zorder() > lines[1].get_zorder()


def test_curve_leaves_the_axes_where_it_crosses_their_edge() -> None:
    axes = drawn([curve("a", [0.5] * 200)])
    rising, falling = curve("b", [0.5] * 100 + [5.0] * 100), curve("c", [0.5] * 150 + [-5.0] * 50)
    assert way_out(axes, curve("a", [0.5] * 200)) == (1.0, "")
    (over, up), (under, down) = way_out(axes, rising), way_out(axes, falling)
    assert (up, down) == ("↑", "↓") and (over, under) == pytest.approx((0.5, 0.75), abs=0.02)


def test_curve_that_was_never_on_the_axes_leaves_at_its_end() -> None:
    axes = drawn([curve("a", [0.5] * 200)])
    assert way_out(axes, curve("b", [9.0] * 200)) == (pytest.approx(1, abs=0.02), "↑")


def test_exploding_ones_are_on_a_logarithmic_axis_with_plain_numbers() -> None:
    axes = drawn([curve("a", [0.4] * 20), curve("b", [8.0] * 20)])
    assert axes.get_yscale() == "log"
    axes.figure.canvas.draw()
    assert {"0.5", "1", "2", "5"} <= {text.get_text() for text in axes.get_yticklabels()}


def test_replicates_are_a_band() -> None:
    axes = drawn([curve("a", [0.4] * 20, [0.5] * 20, value=0.45), curve("b", [0.41] * 20)])
    (band,) = axes.collections
    assert to_hex(band.get_facecolor()[0]).upper() == COLOURS[0]
    heights = [y for _, y in band.get_paths()[0].vertices]
    assert (min(heights), max(heights)) == pytest.approx((0.4, 0.5))


def test_nothing_to_draw_is_no_error() -> None:
    axes = drawn([])
    assert not axes.lines
    axes.figure.canvas.draw()


def test_single_epochs_and_gaps_are_drawn() -> None:
    axes = drawn([curve("a", [0.5]), curve("b", [0.4, math.nan, 0.5])])
    assert len(axes.lines) == 4
    axes.figure.canvas.draw()
