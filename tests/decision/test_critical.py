"""Critical values, beside tables and other ways to compute them."""

from __future__ import annotations

import math

import pytest

from nbstudy.decision.critical import critical_value


@pytest.mark.parametrize(("groups", "expected"), [(1, 1.94), (2, 2.34), (9, 3.12)])
@pytest.mark.parametrize("runs", [1, 3])
def test_critical_value_is_dunnetts_for_equal_numbers_of_runs(
    runs: int, groups: int, expected: float
) -> None:
    assert critical_value(runs, {runs: groups}, 6) == pytest.approx(
        expected, abs=0.005
    )  # Dunnett 1955, table 1a


def test_critical_value_of_a_pair_is_students_whatever_their_runs() -> None:
    for degrees, student in [(1, 6.3138), (6, 1.9432), (1000, 1.6464)]:
        assert critical_value(1, {5: 1}, degrees) == pytest.approx(student, abs=5e-4)


def test_critical_value_grows_with_the_groups_and_falls_with_the_degrees() -> None:
    values = [critical_value(3, {3: groups}, 6) for groups in (1, 5, 50, 999)]
    assert values == sorted(values)
    assert critical_value(3, {3: 2, 1: 4}, 6) > critical_value(3, {3: 2, 1: 4}, 60)


def test_critical_value_is_unknown_without_others_or_degrees() -> None:
    assert math.isnan(critical_value(1, {}, 6))
    assert math.isnan(critical_value(1, {1: 2}, 0))
