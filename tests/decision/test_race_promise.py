"""What a race promises, by simulation: how often it drops the truly best in any lap, and how many runs it takes."""

from __future__ import annotations

import pytest

from nbstudy.decision.race import Plan
from simulated import SimulatedRace, outcome_of

FOUR_LOOKS = Plan((3, 5, 8, 12))


@pytest.mark.parametrize("number", [2, 5])
@pytest.mark.parametrize("effect", [None, 0.0, 2.0])
def test_truly_best_of_equal_candidates_is_dropped_in_five_percent_of_races(
    number: int, effect: float | None, studies: int
) -> None:
    equal = SimulatedRace([0.0] * number, FOUR_LOOKS, effect=effect)
    assert 0.02 < outcome_of(equal, studies // 4).errors < 0.07


@pytest.mark.parametrize("is_heavy_tailed", [False, True])
def test_promise_nearly_holds_where_the_best_alone_varies_threefold(
    is_heavy_tailed: bool, studies: int
) -> None:
    kind = SimulatedRace([0.0] * 4, FOUR_LOOKS, deviations=[3.0], is_heavy_tailed=is_heavy_tailed)
    assert outcome_of(kind, studies // 2).errors < 0.08


def test_promise_holds_where_others_are_dropped_on_the_way(studies: int) -> None:
    # the fewer are left, the fewer are compared: those that are gone were the ones that could not drop the best
    kind = SimulatedRace([0.0, 0.0, 1.5, 1.5, 1.5, 3.0], FOUR_LOOKS)
    assert outcome_of(kind, studies // 4).errors < 0.07


def test_race_takes_half_of_the_runs_of_a_fixed_number_of_the_same_power(studies: int) -> None:
    means = [0.0, 1.0, 1.5, 2.5]  # in deviations of a run
    race = outcome_of(SimulatedRace(means, Plan((3, 5, 8, 12, 20))), studies // 8)
    too_few = outcome_of(
        SimulatedRace(means, Plan((20,))), studies // 8
    )  # as many runs of each, without a look before
    assert too_few.decided < race.decided
    assert race.runs < 0.6 * too_few.runs
    assert max(race.errors, too_few.errors) < 0.02


def test_tie_leaves_none_that_is_worse_by_more_than_the_margin(studies: int) -> None:
    plan = Plan((3, 6, 12, 24), margin=1.5)
    near = outcome_of(SimulatedRace([0.0, 0.1, 0.1], plan), studies // 8)
    assert near.ties > 0.9 and near.runs < 3 * 20
    beyond = outcome_of(SimulatedRace([0.0, 1.51, 1.51], plan), studies // 4)
    assert beyond.wrong_ties < 0.05 and beyond.decided > 0.9
