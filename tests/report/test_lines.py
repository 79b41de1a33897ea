"""Curves as lines: what is drawn, in which colour, and whether labels can be read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from drawn import LOOKS, check_texts, curve, strong, texts_of
from nbstudy.decision.metrics import Metric, metric_called
from nbstudy.report.colours import COLOURS, GREY
from nbstudy.report.curves import Curve
from nbstudy.report.labels import shortened
from nbstudy.report.lines import draw_with_labels, new_axes
from nbstudy.report.looks import Look

LOSS, ACCURACY = metric_called("loss"), metric_called("accuracy")


def drawn(given: Sequence[Curve], metric: Metric = LOSS, grey: Sequence[str] = ()) -> Axes:
    """Draw curves in a figure of their own."""
    return draw_with_labels(new_axes(each.name for each in given), given, metric, LOOKS, grey)


def test_curve_is_drawn_thin_as_it_is_and_strong_as_its_median() -> None:
    jumping = [0.5 + 0.1 * (epoch % 2) for epoch in range(200)]
    axes = drawn([curve("a", jumping)])
    raw, median = axes.lines[:2]
    assert raw.get_ydata().tolist() == jumping
    assert raw.get_linewidth() < 1 and raw.get_alpha() < 0.5
    assert np.ptp(median.get_ydata()) <= 0.1 and median.get_linewidth() > 1.5
    assert raw.get_color() == median.get_color() == LOOKS["a"].colour


def test_curves_are_labelled_beside_the_value_that_decides() -> None:
    axes = drawn([curve("a", [0.5] * 20, value=0.52), curve("b", [0.4] * 20)])
    assert texts_of(axes) == ["b", "a"]  # from the lowest to the highest
    low, high = axes.get_ylim()
    ends = {text.get_text(): low + text.xy[1] * (high - low) for text in axes.texts}
    assert ends == pytest.approx({"a": 0.52, "b": 0.4})
    assert axes.get_xlabel() == "epoch"
    assert axes.get_ylabel() == "loss (lower is better)"
    check_texts(axes.figure)


def test_axis_says_which_way_is_better() -> None:
    assert drawn([curve("a", [0.5, 0.6])], ACCURACY).get_ylabel() == "accuracy (higher is better)"


def test_dropped_are_grey_below_the_survivors() -> None:
    axes = drawn([curve("a", [0.5] * 20), curve("b", [0.51] * 20)], grey=["b"])
    assert strong(axes) == [COLOURS[0], to_hex(GREY).upper()]
    lines = [line for line in axes.lines if line.get_linewidth() > 1.5]
    assert lines[0].get_zorder() > lines[1].get_zorder()
    assert {text.get_text(): text.get_color() for text in axes.texts} == {"a": COLOURS[0], "b": GREY}


def test_curve_that_leaves_the_axes_is_named_where_it_leaves() -> None:
    rising = [0.5] * 100 + [5.0] * 100
    falling = [0.5] * 150 + [-5.0] * 50
    axes = drawn([curve("a", [0.5] * 200), curve("b", rising), curve("c", falling)], grey=["b", "c"])
    assert texts_of(axes) == ["a", "b ↑", "c ↓"]
    triangles = {line.get_marker(): line.get_xydata()[0] for line in axes.lines if line.get_marker() in "^v"}
    assert triangles["^"] == pytest.approx((0.5, 1), abs=0.02)
    assert triangles["v"] == pytest.approx((0.75, 0), abs=0.02)
    check_texts(axes.figure)


def test_curve_that_was_never_on_the_axes_leaves_at_its_end() -> None:
    axes = drawn([curve("a", [0.5] * 200), curve("b", [9.0] * 200)], grey=["b"])
    (triangle,) = [line for line in axes.lines if line.get_marker() == "^"]
    assert triangle.get_xdata()[0] == pytest.approx(1, abs=0.02)


def test_many_that_leave_are_counted() -> None:
    looks = {f"a_long_name_of_{number}": Look("red", "-", f"a_long_name_of_{number}") for number in range(20)}
    given = [curve(name, [0.5] * 10) for name in list(looks)[:2]]
    given += [curve(name, [0.5, 9.0] * 5) for name in list(looks)[2:]]
    grey = list(looks)[2:]
    axes = draw_with_labels(new_axes(looks), given, LOSS, looks, grey)
    assert texts_of(axes)[-1] == "18 leave ↑"
    check_texts(axes.figure)


def test_exploding_ones_are_on_a_logarithmic_axis_with_plain_numbers() -> None:
    axes = drawn([curve("a", [0.4] * 20), curve("b", [8.0] * 20)])
    assert axes.get_yscale() == "log"
    axes.figure.canvas.draw()
    assert {"0.5", "1", "2", "5"} <= {text.get_text() for text in axes.get_yticklabels()}


def test_line_that_ends_early_has_a_cross_there_and_no_dot() -> None:
    early = curve("b", [0.5] * 5 + [math.nan] * 15, value=math.nan)
    axes = drawn([curve("a", [0.49] * 20), early])
    markers = [line.get_marker() for line in axes.lines if line.get_marker() != "None"]
    assert sorted(markers) == ["o", "x"]
    (cross,) = [line for line in axes.lines if line.get_marker() == "x"]
    assert 0.15 < cross.get_xdata()[0] < 0.3


def test_replicates_are_a_band() -> None:
    axes = drawn([curve("a", [0.4] * 20, [0.5] * 20, value=0.45), curve("b", [0.41] * 20)])
    (band,) = axes.collections
    assert to_hex(band.get_facecolor()[0]).upper() == COLOURS[0]
    heights = [y for _, y in band.get_paths()[0].vertices]
    assert (min(heights), max(heights)) == pytest.approx((0.4, 0.5))


@pytest.mark.parametrize("ends", [[0.5] * 8, list(np.linspace(0.5, 0.51, 8)), [0.1, 0.5, 0.5, 0.5, 0.9]])
def test_labels_do_not_overlap(ends: list[float]) -> None:
    given = [curve(name, [1.0, end]) for name, end in zip("abcdefgh", ends, strict=False)]
    axes = drawn(given)
    assert len(axes.texts) == len(ends)
    check_texts(axes.figure)


def test_most_and_longest_labels_are_neither_cut_nor_over_each_other(tmp_path: Path) -> None:
    names = [f"{'x' * 90}_{number}" for number in range(30)]
    looks = {name: Look("red", "-", shortened(name)) for name in names}
    given = [curve(name, [0.5] * 10) for name in names]
    axes = draw_with_labels(new_axes(looks[name].label for name in names), given, LOSS, looks)
    assert len(axes.texts) == 30
    check_texts(axes.figure)


def test_nothing_to_draw_is_no_error() -> None:
    axes = drawn([])
    assert not axes.lines and not axes.texts
    axes.figure.canvas.draw()


def test_single_epochs_and_gaps_are_drawn() -> None:
    axes = drawn([curve("a", [0.5]), curve("b", [0.4, math.nan, 0.5])])
    assert sorted(texts_of(axes)) == ["a", "b"]
    check_texts(axes.figure)
