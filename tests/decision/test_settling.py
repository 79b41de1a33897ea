"""What a run settles at, and what its curve says besides."""

from __future__ import annotations

import math

import pytest

from nbstudy.decision.metrics import metric_called
from nbstudy.decision.settling import best_epoch, lost_after, settled, settled_epochs, spread

NONE_THERE: list[float] = []


def test_settled_value_is_the_mean_of_the_last_tenth_rounded_up() -> None:
    assert settled_epochs(range(1, 21)) == [19, 20]
    assert settled_epochs(range(1, 12)) == [10, 11]
    assert settled([9.0] * 18 + [1.0, 2.0]) == 1.5
    assert settled([7.0]) == 7.0
    assert math.isnan(settled([]))


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_settled_value_is_unknown_where_an_epoch_is_not_finite(broken: float) -> None:
    assert math.isnan(settled([0.5] * 19 + [broken]))
    assert math.isnan(spread([0.5] * 19 + [broken]))
    assert settled([broken] + [0.5] * 19) == 0.5


@pytest.mark.parametrize("huge", [1e200, 1e308])
def test_values_whose_squares_or_sum_no_number_holds_have_no_spread(huge: float) -> None:
    curve = [0.5] * 38 + [-huge, huge, huge, huge]
    assert math.isnan(spread(curve))
    assert math.isnan(settled([huge] * 20)) == (huge == 1e308)


def test_spread_is_the_deviation_within_the_settled_epochs() -> None:
    assert spread([0.5] * 18 + [0.30, 0.32]) == pytest.approx(0.02 / math.sqrt(2))
    assert math.isnan(spread([0.5] * 5))  # one settled epoch says nothing


def test_best_epoch_is_the_first_with_the_best_value() -> None:
    loss, accuracy = metric_called("val_loss"), metric_called("val_accuracy")
    assert best_epoch([0.6, 0.8, 0.8, 0.7], accuracy) == (0.8, 2)
    assert best_epoch([0.6, math.nan, 0.4, 0.4], loss) == (0.4, 3)
    assert best_epoch([math.nan], loss)[1] is best_epoch([], loss)[1] is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([9.0] * 18 + [1.0, None], NONE_THERE),
        ([9.0, None] * 9 + [1.0, None], [1.0]),
        ([9.0, None] * 9 + [None, 1.0], [1.0]),
        ([9.0, None] * 9 + [1.0, 2.0], [1.0, 2.0]),
        ([None, None, 9.0] * 6 + [None, None], [9.0]),  # the last one measured, since the last tenth has none
        ([None, None, 9.0] * 6 + [None, None, None], NONE_THERE),
        ([None] * 19 + [1.0], [1.0]),
        ([None] * 20, NONE_THERE),
        ([], NONE_THERE),
    ],
)
def test_curve_settles_over_what_was_measured(values: list[float | None], expected: list[float]) -> None:
    assert settled_epochs(values) == expected
    if expected:
        assert settled(values) == sum(expected) / len(expected)
    else:
        assert math.isnan(settled(values)) and math.isnan(spread(values))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0] * 8 + [None] * 12, 8),  # as pandas writes a loss that is no number from the ninth epoch on
        ([1.0] * 19 + [None], 19),
        ([1.0] * 20, None),
        ([None, 1.0] * 5 + [None], None),  # every second epoch
        ([None, 1.0] * 5 + [None, None], 10),  # for longer than the longest gap before
        ([1.0, None, None, 1.0, None, None], None),
        ([1.0, None, None, 1.0, None, None, None], 4),
        ([None] * 4 + [1.0] + [None] * 4, None),  # every fifth, of which there was one so far
        ([1.0, math.nan, None], 2),
        ([1.0, None, math.nan], None),  # not finite is a value
        ([None] * 9, None),  # never measured, so nothing was lost
        ([], None),
    ],
)
def test_value_is_lost_where_it_is_empty_for_longer_than_ever_before(
    values: list[float | None], expected: int | None
) -> None:
    assert lost_after(values) == expected


def test_what_was_not_measured_is_not_what_is_not_finite() -> None:
    loss = metric_called("val_loss")
    assert settled([9.0] * 17 + [None, 1.0, None, 1.0]) == 1.0
    assert math.isnan(settled([9.0] * 17 + [None, math.nan, None, 1.0]))
    assert spread([None, 0.5] * 9 + [0.30, 0.32]) == pytest.approx(0.02 / math.sqrt(2))
    assert best_epoch([None, 0.6, None, math.inf, 0.4], loss) == (0.4, 5)
