"""What figures show of a configuration: its raw and its strong curve, and the scale that a figure has."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from drawn import curve, falling, judged_twice
from nbstudy.decision.metrics import metric_called
from nbstudy.records.results import Results
from nbstudy.report import curves
from nbstudy.report.curves import Scale

LOSS, ACCURACY = metric_called("val_loss"), metric_called("val_accuracy")


# --- curves ---
def test_running_median_sees_through_jumps() -> None:
    level = [1.0] * 200
    level[50] = level[51] = level[120] = 9.0
    shown = curve("a", level)
    assert shown.raw.max() == 9
    assert shown.median.eq(1).all()
    assert shown.raw.index.equals(shown.median.index)


def test_running_median_is_of_a_tenth_of_the_epochs_around() -> None:
    rising = pd.DataFrame({"a": np.arange(1.0, 101.0)})
    median = curves.running_median(rising)["a"].tolist()
    assert median[50] == 51  # of epochs 46 to 56, centred
    assert median[0] == 3.5  # of what there is: epochs 1 to 6
    assert median[-1] == 97.5


def test_short_curves_are_their_own_median() -> None:
    assert curve("a", [0.5, 0.9, 0.1]).median.tolist() == [0.5, 0.9, 0.1]


def test_curve_of_replicates_is_the_mean_of_them() -> None:
    shown = curve("a", [0.4] * 40, [0.6] * 39 + [0.9])
    assert shown.raw.iloc[0] == pytest.approx(0.5) and shown.raw.iloc[-1] == pytest.approx(0.65)
    assert shown.median.tolist() == pytest.approx([0.5] * 40)


def test_curve_ends_where_a_run_is_no_longer_finite() -> None:
    shown = curve("a", [0.5] * 30, [0.4] * 12 + [math.nan] * 18)
    assert shown.raw.index[-1] == shown.median.index[-1] == 12


def test_value_that_decides_is_the_end_of_a_curve_and_else_the_end_of_its_line() -> None:
    assert curve("a", [0.5] * 30, value=0.7).end == 0.7
    assert curve("a", [0.5] * 30, value=math.nan).end == 0.5


def test_curves_of_a_round_hold_all_runs_of_a_candidate_best_first(results: Results) -> None:
    overview = results.rounds[0]
    shown = curves.curves_of(
        results, overview.candidates, results.judge(overview), overview.metric, overview.epochs
    )
    names = [each.name for each in shown]
    assert names[:3] == ["wide", "good", "tie"]
    assert {"cut", "broken", "old"} <= set(names) and "never" not in names
    by_name = {each.name: each for each in shown}
    assert list(by_name["good"].runs) == ["good", "good_1", "good_2"]
    assert by_name["good"].value == pytest.approx(0.3)
    assert math.isnan(by_name["cut"].value) and math.isnan(by_name["wild"].value)


def test_replicate_among_the_candidates_is_no_curve_of_its_own(results: Results) -> None:
    candidates = ["good", "good_1", "tie"]
    verdict = judged_twice({"good": 0.3, "tie": 0.3})
    shown = curves.curves_of(results, candidates, verdict, LOSS)
    assert [each.name for each in shown] == ["good", "tie"]


def test_dropped_are_grey_but_in_an_overview(results: Results) -> None:
    overview, by_loss = results.rounds[:2]
    assert curves.greyed(by_loss, judged_twice({"good": 0.3, "far": 0.4}, dropped=("far",))) == ("far",)
    assert curves.greyed(overview, judged_twice({"good": 0.3, "far": 0.4}, dropped=("far",))) == ()


# --- scales ---
def test_scale_fits_the_last_half_of_the_survivors() -> None:
    scale = curves.scale_of([curve("a", falling(0.40)), curve("b", falling(0.42))], LOSS)
    assert scale and not scale.is_log
    assert 0.39 < scale.low < 0.40 and 0.42 < scale.high < 0.43


def test_single_jumps_may_leave_the_scale() -> None:
    late_jump = falling(0.40)
    late_jump[150] = 5.0
    scale = curves.scale_of([curve("a", late_jump), curve("b", falling(0.42))], LOSS)
    assert scale and scale.high < 0.43


def test_grey_ones_are_on_the_scale_when_they_are_within_reach() -> None:
    shown = [curve("a", falling(0.40)), curve("b", falling(0.44)), curve("c", falling(0.47))]
    far = curve("d", falling(0.60))
    scale = curves.scale_of([*shown, far], LOSS, grey=["c", "d"])
    assert scale and 0.47 < scale.high < 0.50
    scale = curves.scale_of([*shown, far], LOSS, grey=["d"])
    assert scale and 0.47 < scale.high < 0.50


def test_exploding_ones_do_not_set_the_scale_of_a_round() -> None:
    exploding = curve("c", [0.3 * 1.05**epoch for epoch in range(200)])
    shown = [curve("a", falling(0.40)), curve("b", falling(0.42)), exploding]
    scale = curves.scale_of(shown, LOSS, grey=["c"])
    assert scale and scale.high < 0.43 and not scale.is_log


def test_scale_is_logarithmic_where_survivors_are_many_times_apart() -> None:
    shown = [curve("a", falling(0.4)), curve("b", falling(4.0)), curve("c", falling(400.0))]
    scale = curves.scale_of(shown, LOSS)
    assert scale and scale.is_log
    assert scale.low < 0.4 and 4 < scale.high < 15  # the last one leaves it


def test_scale_of_scores_fits_the_highest() -> None:
    shown = [curve("a", [0.9] * 20), curve("b", [0.88] * 20), curve("c", [0.2] * 20)]
    scale = curves.scale_of(shown, ACCURACY, grey=["c"])
    assert scale and 0.87 < scale.low < 0.88 and 0.9 < scale.high < 0.91


def test_what_falls_without_end_leaves_a_scale_that_cannot_be_logarithmic() -> None:
    shown = [curve("a", [0.5] * 20), curve("b", [0.4] * 20), curve("c", [-1e6] * 20)]
    scale = curves.scale_of(shown, metric_called("r2"))
    assert scale and not scale.is_log and scale.low > 0


def test_runs_that_are_not_judged_do_not_set_the_scale() -> None:
    shown = [curve("a", falling(0.40)), curve("b", falling(0.42)), curve("cut", [0.01] * 7, value=math.nan)]
    scale = curves.scale_of(shown, LOSS)
    assert scale and scale.low > 0.39


def test_scale_hides_no_value_that_is_better_than_what_is_kept() -> None:
    early = [0.6, 0.3, *([0.9] * 198)]  # which was best long before its end
    scale = curves.scale_of([curve("a", falling(0.40)), curve("b", early)], LOSS, grey=["b"])
    assert scale and scale.low < 0.3 and scale.high < 0.6
    scores = [1 - value for value in early]
    scale = curves.scale_of([curve("a", [0.6] * 200), curve("b", scores)], ACCURACY, grey=["b"])
    assert scale and scale.high > 0.7 and scale.low > 0.4


@pytest.mark.parametrize("values", [[0.5] * 20, [0.0] * 20, [0.5], [1e300] * 20])
def test_scale_has_a_height_whatever_the_values(values: list[float]) -> None:
    scale = curves.scale_of([curve("a", values)], LOSS)
    assert scale and scale.low < values[-1] < scale.high


def test_nothing_has_no_scale() -> None:
    assert curves.scale_of([], LOSS) is None


def test_all_grey_is_a_scale_of_all() -> None:
    scale = curves.scale_of([curve("a", [0.5] * 20)], LOSS, grey=["a"])
    assert scale and scale.low < 0.5 < scale.high


def test_scales_are_joined() -> None:
    assert Scale(1, 2).joined(Scale(0.5, 1.5, is_log=True)) == Scale(0.5, 2, is_log=True)
