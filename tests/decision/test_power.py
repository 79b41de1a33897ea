"""How many replicates are needed, and whether they have the power that is said."""

from __future__ import annotations

import random

import pytest

from nbstudy.decision.elimination import Verdict, judge
from nbstudy.decision.power import power_of, replicates_needed
from nbstudy.decision.scores import Score


def closest(difference: float, runs: int = 3) -> Verdict:
    """Return the verdict on two whose means differ by this, with so many runs each, of a deviation near 1."""
    scores = {}
    for name, mean in [("a", 0.0), ("b", difference)]:
        for number in range(runs):
            scores[f"{name}{number}"] = Score(mean + number - (runs - 1) / 2, f"{name}0")
    return judge(scores, ["a0", "b0"])


def test_replicates_needed_are_the_fewest_with_the_power() -> None:
    verdict = closest(1.0)
    number = replicates_needed(verdict)
    assert number is not None
    assert power_of(verdict, number) >= 0.8 > power_of(verdict, number - 1)
    # the normal approximation, 2 (z_0.95 + z_0.8)^2 = 12.4, is a little below
    assert number in (13, 14)
    assert replicates_needed(closest(0.5)) == pytest.approx(4 * 12.4, abs=2)


def test_power_is_the_share_of_rounds_that_tell_the_two_apart() -> None:
    verdict = closest(1.0)
    drawn = random.Random(1)
    told = 0
    for _ in range(2000):
        scores = {
            f"x{number}": Score(drawn.gauss(5, 1), "x0") for number in range(5)
        }  # for the same 26 degrees
        for name, mean in [("a", 0.0), ("b", 1.0)]:
            scores |= {f"{name}{number}": Score(drawn.gauss(mean, 1), f"{name}0") for number in range(12)}
        told += "b0" in judge(scores, ["a0", "b0"]).dropped
    assert verdict.noise.degrees == 4
    assert told / 2000 == pytest.approx(power_of(verdict, 12), abs=0.04)


def test_replicates_needed_bring_the_fewer_up_to_the_many_where_these_are_enough() -> None:
    scores = {f"a{number}": Score(number - 4.5, "a0") for number in range(10)} | {"b": Score(5.0, "b")}
    verdict = judge(scores, ["a0", "b"])
    assert verdict.kept == ["a0", "b"]
    assert replicates_needed(verdict) == 10


def test_replicates_are_not_counted_where_that_makes_no_sense() -> None:
    assert replicates_needed(closest(0.0)) is None  # equal
    assert replicates_needed(closest(0.001)) is None  # over a thousand
    assert replicates_needed(closest(50.0)) is None  # told apart already
    single = {
        name: Score(cost, name, spread=0.002, settled_epochs=11) for name, cost in [("a", 0.1), ("b", 0.2)]
    }
    assert replicates_needed(judge(single, ["a", "b"])) is None  # no replicates to know chance by
    assert replicates_needed(judge(single, ["a"])) is None
    assert replicates_needed(judge({}, [])) is None
