"""The rule of a race: who is left after which lap, and why it ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from scipy import stats

from nbstudy.decision.critical import critical_value
from nbstudy.decision.race import End, Lap, Plan, largest_difference, run_race, runs_at_last
from nbstudy.decision.scores import Score
from nbstudy.decision.spending import chance_to_be_kept, error_rates_of

WIGGLE = [0.1, -0.1, 0.05, -0.05, 0.0, 0.1, -0.1, 0.0]  # what chance does to run after run
PLAN = Plan((2, 4, 8))


def runs_around(means: Mapping[str, float]) -> dict[str, list[float]]:
    """Return runs around the means of candidates; each begins elsewhere in what chance does."""
    return {
        name: [mean + WIGGLE[(number + place) % 8] for number in range(8)]
        for place, (name, mean) in enumerate(means.items())
    }


def reading(
    runs: Mapping[str, Sequence[float]], has: Mapping[str, int] | None = None
) -> Callable[[str, int], dict[str, Score] | None]:
    """Return what says the scores of a candidate's first runs, of which it `has` so many, all where that is not said."""

    def scores_of(name: str, number: int) -> dict[str, Score] | None:
        if number > (has or {}).get(name, 8):
            return None
        return {
            f"{name}_{at}" if at else name: Score(cost, name) for at, cost in enumerate(runs[name][:number])
        }

    return scores_of


def race(means: Mapping[str, float], plan: Plan = PLAN, has: Mapping[str, int] | None = None) -> list[Lap]:
    """Race with runs around means, each of which costs 1."""
    return run_race(plan, list(means), dict.fromkeys(means, 1.0), reading(runs_around(means), has))


# --- from lap to lap ---
def test_those_that_the_rule_drops_get_no_further_runs() -> None:
    laps = race({"a": 0.0, "b": 9.0, "c": 0.01, "d": 0.3})
    assert [lap.candidates for lap in laps] == [["a", "b", "c", "d"], ["a", "c", "d"], ["a", "c"]]
    assert [lap.verdict.dropped for lap in laps] == [("b",), ("d",), ()]
    assert [lap.spent for lap in laps] == [8, 14, 22]
    assert runs_at_last(laps) == {"a": 8, "b": 2, "c": 8, "d": 4}
    assert laps[-1].end is End.NO_MORE_LAPS


def test_lap_waits_for_each_that_is_left_and_asks_nothing_of_the_others() -> None:
    means = {"a": 0.0, "b": 9.0, "c": 0.01, "d": 0.3}
    laps = race(means, has={"a": 8, "b": 2, "c": 3, "d": 4})
    assert [lap.waits_for for lap in laps] == [[], ["c"]]
    assert laps[1].verdict.dropped == () and laps[1].end is None and laps[1].left == []
    assert laps[0].verdict.dropped == race(means)[0].verdict.dropped


def test_runs_of_later_laps_change_no_earlier_one() -> None:
    runs = runs_around({"a": 0.0, "b": 9.0, "c": 0.01, "d": 0.3})
    changed = {name: [*values[:4], *[-50.0] * 4] for name, values in runs.items()}
    costs = dict.fromkeys(runs, 1.0)
    laps = [run_race(PLAN, list(runs), costs, reading(each)) for each in (runs, changed)]
    assert [lap.verdict.dropped for lap in laps[0][:2]] == [lap.verdict.dropped for lap in laps[1][:2]]
    assert laps[1][1].verdict.costs == laps[0][1].verdict.costs


def test_runs_of_those_that_were_dropped_still_say_what_chance_does() -> None:
    laps = race({"a": 0.0, "b": 9.0, "c": 0.01})
    assert [lap.verdict.noise.degrees for lap in laps] == [3, 3 + 3 + 1, 7 + 7 + 1]


def test_order_of_candidates_is_of_no_effect() -> None:
    runs = runs_around({"a": 0.0, "b": 9.0, "c": 0.01, "d": 0.3})
    laps = [run_race(PLAN, names, dict.fromkeys("abcd", 1.0), reading(runs)) for names in ("abcd", "dcba")]
    assert [lap.verdict.costs for lap in laps[0]] == [lap.verdict.costs for lap in laps[1]]


# --- how it ends ---
def test_race_ends_when_one_is_left() -> None:
    (lap,) = race({"a": 0.0, "b": 9.0})
    assert (lap.end, lap.left) == (End.ONE_LEFT, ["a"])


def test_one_that_is_alone_from_the_start_has_the_runs_of_a_lap() -> None:
    (lap,) = race({"a": 0.0})
    assert (lap.end, lap.runs, lap.left) == (End.ONE_LEFT, 2, ["a"])


def test_race_ends_in_a_tie_when_no_difference_can_be_larger_than_the_margin() -> None:
    first, *_ = race({"a": 0.0, "b": 0.02}, Plan((8,), margin=0.0))
    at_most = largest_difference(first.verdict)
    assert first.end is End.NO_MORE_LAPS
    verdict = first.verdict
    allowed = critical_value(8, {8: 1}, 14) * verdict.noise.deviation * math.sqrt(2 / 8)
    assert at_most == pytest.approx(verdict.costs["b"] - verdict.costs["a"] + allowed)
    (tied,) = race({"a": 0.0, "b": 0.02}, Plan((8,), margin=at_most))
    assert tied.end is End.TIE
    (not_yet,) = race({"a": 0.0, "b": 0.02}, Plan((8,), margin=0.999 * at_most))
    assert not_yet.end is End.NO_MORE_LAPS


def test_largest_difference_counts_what_the_noisier_pair_is_allowed() -> None:
    noisy = {"a": [0.0, 0.01, 0.02], "b": [0.0, 0.01, 0.02], "c": [-0.4, 0.01, 0.42]}
    (lap,) = run_race(
        Plan((3,)), list(noisy), dict.fromkeys(noisy, 1.0), reading(noisy, dict.fromkeys("abc", 3))
    )
    noisy_pair = lap.verdict.allowed("a", "c")
    assert largest_difference(lap.verdict) == pytest.approx(noisy_pair)
    assert noisy_pair > lap.verdict.allowed("a", "b")


def test_equal_runs_are_a_tie_without_a_margin() -> None:
    same = {"a": [0.5] * 4, "b": [0.5] * 4}
    (lap,) = run_race(Plan((2, 4)), ["a", "b"], {"a": 1.0, "b": 1.0}, reading(same))
    assert (lap.end, lap.left) == (End.TIE, ["a", "b"])


def test_race_ends_before_a_lap_that_would_exceed_the_budget() -> None:
    means = {"a": 0.0, "b": 9.0, "c": 0.01, "d": 0.3}
    assert [lap.end for lap in race(means, Plan((2, 4, 8), budget=22))] == [None, None, End.NO_MORE_LAPS]
    laps = race(means, Plan((2, 4, 8), budget=21))
    assert [lap.end for lap in laps] == [None, End.BUDGET] and laps[-1].further == 8
    (lap,) = race(means, Plan((2, 4, 8), budget=13))
    assert (lap.end, lap.left) == (End.BUDGET, ["a", "c", "d"])


def test_budget_counts_what_runs_of_each_candidate_cost() -> None:
    runs = runs_around({"a": 0.0, "b": 9.0, "c": 0.01})
    first, *_ = run_race(PLAN, list(runs), {"a": 3.0, "b": 5.0, "c": 0.5}, reading(runs))
    assert (first.spent, first.further) == (2 * 8.5, 2 * 3.5)


def test_diverged_are_dropped_and_a_race_of_these_alone_leaves_none() -> None:
    runs = runs_around({"a": 0.0, "b": 0.0, "c": 0.0})
    runs["b"][1] = math.inf
    laps = run_race(PLAN, list(runs), dict.fromkeys(runs, 1.0), reading(runs))
    assert laps[0].verdict.dropped == ("b",)
    (lap,) = run_race(
        PLAN, list(runs), dict.fromkeys(runs, 1.0), reading({name: [math.inf] * 8 for name in runs})
    )
    assert (lap.end, lap.left) == (End.NONE_LEFT, [])


# --- one error rate for all laps ---
@pytest.mark.parametrize(("number", "constant"), [(2, 1.875), (3, 1.992), (4, 2.067), (5, 2.122)])
def test_two_are_kept_at_all_looks_with_pococks_constants(number: int, constant: float) -> None:
    # Jennison and Turnbull 2000, table 2.1, for two sides of 5 % each, of which one hardly adds to the other
    looks = tuple(range(3, 3 * number + 1, 3))
    assert chance_to_be_kept(looks, 2, [float(stats.norm.sf(constant))] * number) == pytest.approx(
        0.95, abs=0.001
    )


def test_chance_to_be_kept_is_the_share_of_random_walks(studies: int) -> None:
    looks, rates = (3, 5, 8, 12), (0.01, 0.015, 0.02, 0.03)
    walks = np.random.default_rng(3).standard_normal((20 * studies, 7, 12)).cumsum(axis=2)
    is_kept = np.ones(len(walks), bool)
    for runs, rate in zip(looks, rates, strict=True):
        means = walks[:, :, runs - 1] / runs
        critical = critical_value(1, {1: 6}, 10**7, rate)
        is_kept &= means[:, 0] - means[:, 1:].min(axis=1) < critical * math.sqrt(2 / runs)
    assert chance_to_be_kept(looks, 7, rates) == pytest.approx(is_kept.mean(), abs=0.005)


def test_looks_may_err_the_more_the_more_runs_they_see_and_together_more_than_the_rate() -> None:
    rates = error_rates_of((3, 5, 8, 12))
    assert [rate / rates[0] for rate in rates] == pytest.approx([1, 5 / 3, 8 / 3, 4])
    assert 0.05 < sum(rates) < 0.1
    assert error_rates_of((5,)) == (0.05,)
    assert error_rates_of((3, 5), 0.025)[-1] < rates[-1]
    assert 0.04 < error_rates_of((100, 101))[-1] < 0.05  # which are nearly one look


def test_race_judges_each_lap_with_the_rate_of_its_look() -> None:
    laps = race({"a": 0.0, "b": 9.0, "c": 0.01, "d": 0.3})
    assert tuple(lap.verdict.error_rate for lap in laps) == error_rates_of(PLAN.replicates)
