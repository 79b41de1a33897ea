"""The odds of being the best, beside what can be calculated."""

from __future__ import annotations

import math

import pytest
from scipy import integrate, stats

from nbstudy.decision.elimination import judge
from nbstudy.decision.odds import number_of_draws, odds_of
from nbstudy.decision.scores import Score


def replicated(ends: dict[str, float], runs: int = 3) -> dict[str, Score]:
    """Return the scores of candidates whose runs lie one deviation apart around their means."""
    scores = {}
    for name, mean in ends.items():
        for number in range(runs):
            key = f"{name}_{number}" if number else name
            scores[key] = Score(mean + number - (runs - 1) / 2, name)
    return scores


def test_odds_of_two_are_students() -> None:
    scores = replicated({"a": 0.0, "b": 0.7})
    odds = odds_of(judge(scores, ["a", "b"]))
    error = math.sqrt(2 / 3)  # of the difference: the deviation is 1, with 4 degrees of freedom
    assert odds["a"].best == pytest.approx(stats.t.cdf(0.7 / error, 4), abs=0.01)
    assert odds["a"].best + odds["b"].best == pytest.approx(1)

    def loss(difference: float) -> float:
        mass, _ = integrate.quad(lambda x: x * stats.t.pdf(x, 4, difference, error), 0, math.inf)
        return float(mass)

    assert odds["b"].loss == pytest.approx(loss(0.7), abs=0.02)
    assert odds["a"].loss == pytest.approx(loss(-0.7), abs=0.02)


def test_equal_candidates_have_equal_odds_and_one_of_more_runs_loses_no_more() -> None:
    odds = odds_of(judge(replicated(dict.fromkeys("abcdefg", 0.0)), "abcdefg"))
    assert [each.best for each in odds.values()] == pytest.approx([1 / 7] * 7, abs=0.01)
    surer = replicated({"a": 0.0}, runs=9) | replicated({"b": 0.0, "c": 0.0}, runs=2)
    odds = odds_of(judge(surer, "abc"))
    assert (
        odds["a"].best < 1 / 3 < odds["b"].best
    )  # a mean of few runs may be further from what it says, to either side


def test_odds_are_the_same_again_and_add_up_to_one() -> None:
    verdict = judge(replicated({"a": 0.0, "b": 0.2, "c": 5.0, "wild": math.inf}), ["a", "b", "c", "wild"])
    odds = odds_of(verdict)
    assert odds == odds_of(verdict) and list(odds) == ["a", "b", "c"]
    assert sum(each.best for each in odds.values()) == pytest.approx(1)


def test_odds_of_very_many_candidates_are_of_fewer_draws_and_add_up_to_one() -> None:
    many = {f"n_{number}": 0.001 * number for number in range(1200)}
    odds = odds_of(judge(replicated(many, runs=2), many))
    assert number_of_draws(2) == number_of_draws(1000) == 20_000 > number_of_draws(len(many)) > 10_000
    assert sum(each.best for each in odds.values()) == pytest.approx(1)
    assert odds["n_0"].loss < odds["n_600"].loss < odds["n_1199"].loss


def test_without_noise_the_best_is_certain_and_ties_share() -> None:
    scores = {name: Score(cost, name[0]) for name, cost in [("a", 0.1), ("a_1", 0.1), ("b", 0.1), ("c", 0.3)]}
    odds = odds_of(judge(scores, ["a", "b", "c"]))
    assert [each.best for each in odds.values()] == [0.5, 0.5, 0.0]
    assert odds["c"].loss == pytest.approx(0.2)


def test_there_are_no_odds_where_nobody_knows_how_much_is_chance() -> None:
    guessed = {
        name: Score(cost, name, spread=0.1, settled_epochs=11) for name, cost in [("a", 0.1), ("b", 0.2)]
    }
    unknown = {name: Score(cost, name) for name, cost in [("a", 0.1), ("b", 0.2)]}
    assert odds_of(judge(guessed, "ab")) == odds_of(judge(unknown, "ab")) == odds_of(judge({}, [])) == {}
    assert odds_of(judge(replicated({"a": 0.0}), ["a"])) == {}
