"""Critical values, beside tables and other ways to compute them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nbstudy.decision.critical import (
    average_critical_value,
    critical_value,
    critical_value_of,
    factor_of,
)


@pytest.mark.parametrize(("groups", "expected"), [(1, 1.94), (2, 2.34), (9, 3.12)])
@pytest.mark.parametrize("runs", [1, 3])
def test_critical_value_is_dunnetts_for_equal_numbers_of_runs(
    runs: int, groups: int, expected: float
) -> None:
    assert critical_value(runs, {runs: groups}, 6) == pytest.approx(
        expected, abs=0.005
    )  # Dunnett 1955, table 1a


@pytest.mark.parametrize("degrees", [1, 4, 30])
@pytest.mark.parametrize("error_rate", [0.05, 0.0037])
def test_critical_value_by_averaging_is_that_by_quadrature(degrees: int, error_rate: float) -> None:
    common, own, counts = np.full((2, 2), 1 / 3), [1 / 3, 1.0], [5, 9]
    exact = critical_value_of(common, own, counts, degrees, error_rate)
    rows = tuple(map(tuple, common.tolist()))
    averaged = average_critical_value(rows, tuple(own), tuple(counts), degrees, error_rate)
    assert averaged == pytest.approx(exact, rel=3e-3)


def test_critical_value_is_the_same_for_any_order_of_the_others() -> None:
    parts = np.array([[1.0, 0.3, 0.0], [0.2, 0.9, 0.1], [0.4, 0.4, 0.7], [0.0, 0.5, 0.5]])
    common, own, counts = parts @ parts.T / 5, np.array([0.3, 0.4, 0.5, 0.6]), np.array([3, 3, 5, 5])
    found = set()
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]):
        some = common[np.ix_(order, order)]
        found.add(critical_value_of(some, own[order].tolist(), counts[order].tolist(), 8, 0.05))
    assert len(found) == 1


def test_factor_is_of_the_covariance_also_without_full_rank() -> None:
    parts = np.array([[1.0, 0.3], [0.2, 0.9], [0.4, 0.4], [1.0, 0.3]])
    factor = factor_of(parts @ parts.T)
    assert factor.shape == (4, 2) and factor @ factor.T == pytest.approx(parts @ parts.T)


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
