"""Rankings as dots, and the scale that they have."""

from __future__ import annotations

import math

import pytest
from matplotlib.axes import Axes

from drawn import LOOKS, check_texts, curve, judged, judged_twice, texts_of
from nbstudy.decision.elimination import Verdict
from nbstudy.report.colours import COLOURS, GREY
from nbstudy.report.dots import draw_ranking, scale_of_ranking


def ranked(costs: dict[str, float], verdict: Verdict) -> Axes:
    """Draw a ranking of candidates of one run each."""
    given = [curve(name, [cost]) for name, cost in costs.items()]
    return draw_ranking(given, verdict, "loss (lower is better)", LOOKS, verdict.dropped)


def test_ranking_has_the_best_on_top_with_its_interval() -> None:
    costs = {"a": 0.40, "b": 0.41, "c": 0.43}
    axes = ranked(costs, judged(costs, dropped=("c",)))
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b", "c"]
    assert axes.yaxis_inverted()
    assert texts_of(axes) == ["0.4000", "0.4100", "0.4300"]
    assert [text.get_color() for text in axes.texts] == [COLOURS[0], COLOURS[1], GREY]
    (start, end) = axes.collections[0].get_segments()[0][:, 0]
    assert (start, end) == pytest.approx((0.4 - 2.447 * 0.01, 0.4 + 2.447 * 0.01), abs=1e-4)  # t of 6 degrees
    assert axes.get_xlabel() == "loss (lower is better)"
    check_texts(axes.figure)


def test_ranking_shows_the_runs_below_their_mean() -> None:
    given = [curve("a", [0.40], [0.44], value=0.42), curve("b", [0.43])]
    axes = draw_ranking(given, judged({"a": 0.42, "b": 0.43}), "loss", LOOKS)
    runs, mean, single = axes.lines
    assert list(runs.get_xdata()) == [0.40, 0.44] and runs.get_markersize() < mean.get_markersize()
    assert mean.get_xdata()[0] == 0.42 and min(runs.get_ydata()) > mean.get_ydata()[0]  # the axis points down
    assert single.get_xdata()[0] == 0.43


def test_value_beyond_a_ranking_is_an_arrow_at_its_edge() -> None:
    costs = {"a": 0.40, "b": 0.41, "c": 9.0}
    axes = ranked(costs, judged(costs, dropped=("c",)))
    assert axes.get_xlim()[1] < 1
    assert [line.get_marker() for line in axes.lines] == ["o", "o", ">"]
    assert texts_of(axes)[-1] == "9.0000"


def test_ranking_without_known_chance_has_no_intervals() -> None:
    costs = {"a": 0.40, "b": 0.41}
    axes = ranked(costs, judged(costs, deviation=math.nan))
    assert not axes.collections and len(axes.texts) == 2


def test_scale_of_a_ranking_holds_the_survivors_intervals() -> None:
    values = {"a": 0.40, "b": 0.41, "c": 0.43, "d": 5.0}
    verdict = judged_twice(values, dropped=("c", "d"))
    width = verdict.half_width("a")
    shown = [curve(name, [value]) for name, value in values.items()]
    scale = scale_of_ranking(shown, verdict, verdict.dropped)
    assert scale.low < 0.40 - width and 0.43 < scale.high < 0.5
    shown[0] = curve("a", [0.3], [0.5], value=0.4)  # whose runs are further apart than its interval
    assert scale_of_ranking(shown, verdict, verdict.dropped).low < 0.3
