"""How much of the differences goes back to each parameter, by made-up searches of which that is known."""

from __future__ import annotations

import numpy as np
import pytest

from nbstudy.report.sensitivity import encoded, shares_of


def searched(number: int, noise: float, seed: int = 0) -> tuple[list[float], dict[str, list[object]]]:
    """Return what candidates came to, and their parameters: `rate` matters most, `kind` less, `idle` not at all."""
    drawn = np.random.default_rng(seed)
    rate = 10 ** drawn.uniform(-4, -2, number)
    kind = drawn.choice(["a", "b", "c"], number)
    idle = drawn.uniform(0, 1, number)
    value = 2 * (np.log10(rate) + 3) + 0.8 * (kind == "a") + noise * drawn.standard_normal(number)
    return value.tolist(), {"idle": idle.tolist(), "kind": kind.tolist(), "rate": rate.tolist()}


def test_shares_tell_what_matters_from_what_does_not() -> None:
    found = shares_of(*searched(48, noise=0.3))
    assert found is not None
    assert list(found.by_parameter) == ["rate", "kind", "idle"]
    # the variances of 2 times a uniform width of 2, and of 0.8 times a third: 1.333 and 0.142
    rate, kind, idle = found.by_parameter.values()
    assert rate.low <= 0.904 <= rate.high and kind.low <= 0.096 <= kind.high
    assert idle.middle < 0.05 and idle.high < 0.2
    assert found.foreseen > 0.8
    assert found == shares_of(*searched(48, noise=0.3))  # the same each time


def test_what_two_parameters_do_together_counts_for_both() -> None:
    drawn = np.random.default_rng(1)
    one, two, idle = drawn.uniform(-1, 1, (3, 60))
    found = shares_of((one * two).tolist(), {"one": one.tolist(), "two": two.tolist(), "idle": idle.tolist()})
    assert found is not None
    assert min(found.by_parameter["one"].middle, found.by_parameter["two"].middle) > 0.8
    assert found.by_parameter["idle"].middle < 0.1


def test_nothing_is_said_where_points_are_few_or_all_is_chance() -> None:
    assert shares_of(*searched(8, noise=0.1)) is None
    _, parameters = searched(40, noise=0.0)
    assert shares_of(np.random.default_rng(2).standard_normal(40).tolist(), parameters) is None
    assert shares_of([0.5] * 40, parameters) is None
    assert shares_of([0.1 * place for place in range(40)], {"rate": parameters["rate"]}) is None


def test_very_many_points_are_thinned() -> None:
    found = shares_of(*searched(600, noise=0.3))
    assert found is not None and next(iter(found.by_parameter)) == "rate"


def test_numbers_of_many_magnitudes_are_taken_by_their_logarithm() -> None:
    assert encoded([1, 10, 100])[:, 0].tolist() == pytest.approx([0, 0.5, 1])
    assert encoded([1, 2, 3])[:, 0].tolist() == pytest.approx([0, 0.5, 1])
    assert encoded(["a", "b", "a"]).tolist() == [[1, 0], [0, 1], [1, 0]]
