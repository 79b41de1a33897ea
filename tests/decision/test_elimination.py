"""The rule and the choice, as arithmetic."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from nbstudy.decision.critical import critical_value
from nbstudy.decision.elimination import Choice, Family, choose, judge, least_difference_of_two
from nbstudy.decision.noise import Noise
from nbstudy.decision.rivals import MANY
from nbstudy.decision.scores import Score

# Replicates of two networks: deviations of 0.02 in three runs and of 0.0141 in two, pooled
# sqrt((2 * 0.02**2 + 0.0002) / 3) = 0.01826, with 3 degrees of freedom. Means: good 0.30, wide 0.295.
REPLICATED = {
    "good": Score(0.30, "good"),
    "tie": Score(0.30, "tie"),
    "near": Score(0.36, "near"),
    "far": Score(0.39, "far"),
    "wild": Score(math.inf, "wild"),
    "wide": Score(0.305, "wide"),
    "good_1": Score(0.28, "good"),
    "good_2": Score(0.32, "good"),
    "wide_1": Score(0.285, "wide"),
}
DEVIATION = math.sqrt((2 * 0.02**2 + 0.0002) / 3)
# Of good and one without replicates, alone: good's own deviation, 0.02, is larger than the pooled one.
WITH_GOOD = math.sqrt((0.02**2 / 3 + DEVIATION**2) / (1 / 3 + 1))
SINGLE = {
    "one": Score(0.31, "one", spread=0.002, settled_epochs=11),
    "two": Score(0.312, "two", spread=0.0, settled_epochs=11),
    "six": Score(0.32, "six", spread=0.0, settled_epochs=11),
}


# --- the rule ---
def test_rule_drops_what_is_worse_than_the_critical_difference() -> None:
    verdict = judge(REPLICATED, ["far", "near", "tie", "good"])
    assert verdict.best == "good"
    assert list(verdict.costs) == [
        "good",
        "tie",
        "near",
        "far",
    ]  # best first, equal ones in the study's order
    assert verdict.runs == {"good": 3, "tie": 1, "near": 1, "far": 1}
    assert list(verdict.excess.values()) == pytest.approx([0, 0, 0.06, 0.09])
    critical = critical_value(1, {3: 1, 1: 2}, 3)
    allowed = critical * WITH_GOOD * math.sqrt(1 + 1 / 3)  # 0.0732
    for name in ("near", "far"):
        against = verdict.against[name]
        assert (against.other, against.worse_by) == ("good", pytest.approx(verdict.excess[name]))
        assert against.allowed == pytest.approx(allowed)
    assert verdict.dropped == ("far",)
    assert verdict.kept == ["good", "tie", "near"]


def test_value_is_the_mean_over_replicates() -> None:
    verdict = judge(REPLICATED, ["good", "wide"])
    assert verdict.costs == pytest.approx({"wide": 0.295, "good": 0.300})
    assert verdict.runs == {"wide": 2, "good": 3}
    assert judge(REPLICATED, ["wide_1"]).costs == pytest.approx(
        {"wide_1": 0.295}
    )  # by whatever name it is asked


def test_replicates_of_each_other_are_one_candidate() -> None:
    verdict = judge(REPLICATED, ["good_2", "good", "good_1", "tie"])
    assert list(verdict.costs) == ["good", "tie"]


def test_noise_is_pooled_over_all_replicated_configurations_whoever_the_candidates_are() -> None:
    noise = judge(REPLICATED, ["near", "far"]).noise
    assert noise.deviation == pytest.approx(DEVIATION)
    assert (noise.degrees, noise.run, noise.is_guess, noise.is_known) == (3, None, False, True)


def test_worse_than_a_replicated_one_can_count_more_than_worse_than_the_best() -> None:
    # the best has a single run, so that little can be said against others by it; `sure` has nine
    scores = {"lucky": Score(0.0, "lucky"), "odd": Score(3.0, "odd")}
    scores |= {f"sure_{number}": Score(0.2 + 0.8 * (number % 3 - 1), "sure_0") for number in range(9)}
    verdict = judge(scores, ["lucky", "odd", "sure_0"])
    assert verdict.best == "lucky"
    assert verdict.against["odd"].other == "sure_0"
    assert verdict.against["sure_0"].other == "lucky"
    assert verdict.dropped == ("odd",)


def test_candidate_of_few_runs_is_marked_where_that_kept_it() -> None:
    many = {f"best_{number}": Score(number % 2 / 10, "best_0") for number in range(6)}
    scores = many | {"one": Score(0.19, "one"), "close": Score(0.06, "close"), "far": Score(0.9, "far")}
    verdict = judge(scores, ["best_0", "one", "close", "far"])
    assert verdict.dropped == ("far",)
    assert verdict.spared == ["one"]
    assert verdict.allowed("one", "best_0", like="best_0") < 0.14 < verdict.allowed("one", "best_0")


def test_run_that_is_no_longer_finite_is_dropped_and_says_nothing_of_chance() -> None:
    verdict = judge(REPLICATED, ["wild", "good"])
    assert (verdict.best, verdict.dropped) == ("good", ("wild",))
    assert verdict.excess["wild"] == math.inf
    assert "wild" not in verdict.against
    exploded = REPLICATED | {"tie_1": Score(math.inf, "tie")}
    assert judge(exploded, ["good"]).noise == judge(REPLICATED, ["good"]).noise
    assert judge(exploded, ["good", "tie"]).dropped == ("tie",)  # one of its two runs is lost


def test_candidate_without_a_score_is_not_judged() -> None:
    verdict = judge(REPLICATED, ["good", "never"])
    assert list(verdict.costs) == ["good"]
    assert "never" not in verdict.kept


def test_candidate_alone_is_kept() -> None:
    verdict = judge(REPLICATED, ["far"])
    assert (verdict.kept, verdict.against, verdict.spared) == (["far"], {}, [])
    assert judge({"a": Score(0.1, "a")}, ["a"]).kept == ["a"]


def test_equal_candidates_are_kept_even_without_any_noise() -> None:
    scores = {name: Score(0.5, name[0]) for name in ("a", "b", "a_1", "b_1")}
    verdict = judge(scores, ["a", "b"])
    assert verdict.noise.deviation == 0.0
    assert verdict.kept == ["a", "b"]
    assert judge(scores | {"c": Score(0.51, "c")}, ["a", "b", "c"]).dropped == ("c",)


def test_without_replicates_the_deviation_within_the_best_run_stands_in() -> None:
    verdict = judge(SINGLE, ["one", "two", "six"])
    assert (verdict.noise.deviation, verdict.noise.degrees, verdict.noise.run) == (0.002, 10, "one")
    assert verdict.noise.is_guess
    assert verdict.against["six"].allowed == pytest.approx(
        critical_value(1, {1: 2}, 10) * 0.002 * math.sqrt(2)
    )
    assert verdict.dropped == ("six",)
    assert judge(SINGLE, ["two", "six"]).noise.run == "two"


def test_where_chance_is_unknown_only_what_is_not_finite_is_dropped() -> None:
    scores = {"a": Score(0.1, "a"), "b": Score(0.9, "b"), "c": Score(math.inf, "c")}
    verdict = judge(scores, scores)
    assert not verdict.noise.is_known
    assert verdict.against["b"].allowed == math.inf
    assert verdict.dropped == ("c",)
    assert math.isnan(verdict.half_width("a"))


@pytest.mark.parametrize("scores", [{}, {"a": Score(math.inf, "a"), "b": Score(math.inf, "b")}])
def test_none_is_best_where_none_is_finite(scores: dict[str, Score]) -> None:
    verdict = judge(scores, ["a", "b"])
    assert verdict.best is None
    assert verdict.dropped == tuple(scores)
    assert verdict.kept == verdict.spared == []


def test_exact_copies_are_no_replicates() -> None:
    copied = SINGLE | {"one_again": Score(0.31, "one", spread=0.002, settled_epochs=11, is_copy=True)}
    verdict = judge(copied, ["one", "one_again", "six"])
    assert verdict.noise.run == "one"
    assert verdict.runs == {"one": 1, "six": 1}
    assert judge(copied, ["one_again"]).runs == {"one_again": 1}


def test_verdict_holds_for_costs_below_zero() -> None:
    scores = {"good": Score(-0.4, "good"), "near": Score(-0.87, "near"), "far": Score(-0.9, "far")}
    scores |= {"far_1": Score(-0.86, "far")}  # a deviation of 0.0283, with one degree of freedom
    verdict = judge(scores, ["good", "near", "far"])
    assert list(verdict.costs) == ["far", "near", "good"]
    assert verdict.dropped == ("good",)


def test_disputed_are_the_judged_on_which_decisions_differ() -> None:
    verdict = judge(REPLICATED, ["good", "tie", "near", "far"])
    assert verdict.disputed(["near", "far"]) == ["near"]
    assert verdict.disputed(["good"]) == ["good", "far"]
    assert verdict.disputed(["far", "never"]) == []


def test_ahead_are_those_that_are_better_than_chance_explains() -> None:
    verdict = judge(REPLICATED, ["good", "tie", "near", "far", "wild"])
    assert verdict.ahead_of("far") == ["good", "tie"]
    assert verdict.ahead_of("near") == verdict.ahead_of("good") == []
    assert verdict.ahead_of("wild") == verdict.ahead_of("never") == []


def test_interval_of_a_mean_is_students() -> None:
    verdict = judge(REPLICATED, ["good", "tie"])
    assert verdict.half_width("tie") == pytest.approx(3.18245 * DEVIATION, rel=1e-5)
    assert verdict.half_width("good") == pytest.approx(verdict.half_width("tie") / math.sqrt(3))


def test_two_single_runs_alone_are_judged_as_students() -> None:
    assert least_difference_of_two(Noise(0.01, 6)) == pytest.approx(0.0194318 * math.sqrt(2), rel=1e-4)
    assert least_difference_of_two(Noise(math.nan, 0)) == math.inf


def test_thousand_candidates_are_judged_as_by_comparing_each_with_each() -> None:
    drawn = random.Random(0)
    scores = {f"c{number}": Score(drawn.gauss(0, 2), f"c{number}") for number in range(1000)}
    scores |= {f"r{number}": Score(drawn.gauss(0, 1), f"c{number % 40}") for number in range(100)}
    verdict = judge(scores, list(scores)[:1000])
    assert len(verdict.costs) == 1000 and set(verdict.runs.values()) == {1, 3, 4}
    for name in drawn.sample(sorted(verdict.costs), 20):
        found = max(
            verdict.costs[name] - verdict.costs[other] - verdict.allowed(name, other)
            for other in verdict.costs
            if other != name
        )
        against = verdict.against[name]
        assert against.worse_by - against.allowed == pytest.approx(found)
        assert (found > 0) == (name in verdict.dropped)


# --- deviations ---
def test_deviation_of_two_is_the_pooled_one_or_theirs_where_that_is_larger() -> None:
    quiet = {f"q{number}": Score(0.5 + 0.001 * number, "q0") for number in range(3)}
    loud = {f"l{number}": Score(0.5 + 0.1 * number, "l0") for number in range(3)}
    verdict = judge(quiet | loud | {"one": Score(0.9, "one")}, ["q0", "l0", "one"])
    pooled = math.sqrt((2 * 0.001**2 + 2 * 0.1**2) / 4)
    assert verdict.noise.deviation == pytest.approx(pooled)
    assert verdict.deviation("q0", "l0") == pytest.approx(pooled)  # half of each
    assert verdict.deviation("one", "q0") == pytest.approx(pooled)  # theirs is smaller
    of_the_loud = math.sqrt((pooled**2 + 0.1**2 / 3) / (1 + 1 / 3))
    assert verdict.deviation("one", "l0") == verdict.deviation("l0", "one") == pytest.approx(of_the_loud)


def test_degrees_of_freedom_are_fewer_the_more_of_a_deviation_is_that_of_two_alone() -> None:
    scores = {}
    for name, spread in [("loud", 0.1), ("quiet", 0.001), ("calm", 0.001), ("still", 0.001)]:
        scores |= {
            f"{name}{number}" if number else name: Score(0.5 + spread * number, name) for number in range(3)
        }
    verdict = judge(scores, ["loud", "quiet", "calm", "still"])
    assert verdict.noise.degrees == 8 == verdict.degrees("quiet", "calm")
    # of the square of their deviation, a half of 0.1 squared, half is pooled; nearly all is the loud one's, with 2 degrees
    assert (
        verdict.degrees("loud", "quiet")
        == verdict.degrees("quiet", "loud")
        == int(1 / (0.25 / 2.0004 + 0.75 / 8))
    )
    pooled, own = verdict.noise.deviation, verdict.deviation("loud", "quiet")
    assert own == pytest.approx(math.sqrt(2) * pooled, rel=1e-3)
    critical = critical_value(3, {3: 3}, verdict.degrees("loud", "quiet"))
    assert verdict.allowed("loud", "quiet") == pytest.approx(critical * own * math.sqrt(2 / 3))


def test_one_of_few_runs_that_varies_alone_is_judged_with_at_least_one_degree() -> None:
    scores = {f"c{number}": Score(0.5, f"c{number // 2}") for number in range(40)}
    scores["c0"] = Score(0.9, "c0")
    verdict = judge(scores, ["c0", "c2", "c4"])
    assert verdict.degrees("c0", "c2") == 1


def test_verdict_on_what_has_no_replicates_rests_on_a_borrowed_deviation() -> None:
    verdict = judge(REPLICATED, ["good", "near", "wide"])
    assert [name for name in verdict.costs if verdict.borrows(name)] == ["near"]
    # a guess is no deviation of others, and what is unknown cannot be borrowed
    assert not judge(SINGLE, ["one", "six"]).borrows("six")
    assert not judge({"a": Score(0.1, "a"), "b": Score(0.9, "b")}, ["a", "b"]).borrows("a")


# --- families ---
def test_critical_value_is_that_of_all_that_are_compared_in_whatever_rounds() -> None:
    family = Family(("good", "near", "far", "tie", "wide"), 0.01)
    verdict = judge(REPLICATED, ["good", "near"], family)
    others = {3: 1, 2: 1, 1: 2}  # of near: good, wide, tie and far
    allowed = critical_value(1, others, 3, 0.01) * WITH_GOOD * math.sqrt(1 + 1 / 3)
    assert verdict.against["near"].allowed == pytest.approx(allowed)
    assert list(verdict.costs) == ["good", "near"]
    assert allowed > 2 * judge(REPLICATED, ["good", "near"]).against["near"].allowed


def test_replicates_count_once_in_a_family_and_what_is_not_finite_never() -> None:
    names = ("good", "good_1", "good_2", "near", "wild", "never")
    alone = judge(REPLICATED, ["good", "near"])
    assert judge(REPLICATED, ["good", "near"], Family(names)) == alone


def test_those_that_fell_behind_on_the_way_count_as_candidates_too() -> None:
    names = ["good", "near", "far", "tie"]
    verdict = judge(REPLICATED, names, Family(tuple(names), further=60))
    assert verdict.allowed("near", "good") == pytest.approx(
        critical_value(1, {3: 1, 1: 62}, 3) * WITH_GOOD * math.sqrt(1 + 1 / 3)
    )


# --- the choice ---
def chosen(scores: dict[str, Score], sizes: dict[str, int], candidates: Sequence[str] = ()) -> Choice:
    """Choose among candidates, all by default."""
    return choose(scores, candidates or list(scores), sizes)


def test_choice_is_the_smallest_that_the_rule_keeps() -> None:
    sizes = {"good": 16_000, "tie": 32_000, "wide": 64_000, "far": 1}
    choice = chosen(REPLICATED, sizes)
    assert choice.verdict.best == "wide"
    assert "far" in choice.verdict.dropped
    assert choice.chosen == "good"
    assert chosen(REPLICATED, sizes | {"near": 2}).chosen == "near"  # kept, in a single run
    assert chosen(REPLICATED, sizes, ["wide", "tie", "far"]).chosen == "tie"


def test_one_standard_error_rule_stands_beside_the_choice() -> None:
    choice = chosen(REPLICATED, {"near": 1, "good": 2, "wide": 3})
    assert choice.error == pytest.approx(DEVIATION / math.sqrt(2))
    assert (choice.chosen, choice.within_one_error) == ("near", "good")


def test_choice_of_equal_or_unknown_sizes_is_the_best() -> None:
    assert chosen(REPLICATED, {"good": 5, "wide": 5}).chosen == "wide"
    assert chosen(REPLICATED, {}).chosen == "wide"
    assert chosen(REPLICATED, {"good": 10**9}).chosen == "good"  # unknown is the largest


def test_choice_without_replicates_is_among_all() -> None:
    choice = chosen(SINGLE, {"one": 64, "two": 32, "six": 16})
    assert (choice.verdict.best, choice.chosen) == ("one", "two")
    assert (
        choice.within_one_error == "one"
    )  # two is further away than the deviation within one's settled epochs
    assert choice.error == 0.002


def test_choice_where_chance_is_unknown_is_the_best() -> None:
    choice = chosen({"a": Score(0.2, "a"), "b": Score(0.1, "b")}, {"a": 1, "b": 2})
    assert choice.verdict.kept == ["b", "a"]
    assert (choice.chosen, choice.within_one_error) == ("b", "b")
    assert math.isnan(choice.error)


@pytest.mark.parametrize("scores", [{}, {"a": Score(math.inf, "a")}])
def test_none_is_chosen_where_none_is_finite(scores: dict[str, Score]) -> None:
    choice = chosen(scores, {"a": 1})
    assert (choice.chosen, choice.within_one_error) == (None, None)


@pytest.mark.parametrize("number", [40, MANY + 50])
@pytest.mark.parametrize("seeded", [False, True])
def test_what_speaks_most_against_each_is_found_among_all(number: int, seeded: bool) -> None:
    chance = random.Random(number)
    scores = {}
    for place in range(number):
        level, deviation = chance.gauss(0.3, 0.02), 10 ** chance.uniform(-3, -1)
        for run in range(3):
            name = f"c{place}_{run}" if run else f"c{place}"
            seed = run if seeded else None
            scores[name] = Score(level + chance.gauss(0, deviation), f"c{place}", seed=seed)
    verdict = judge(scores, [f"c{place}" for place in range(number)])
    assert (verdict.within is not None) == seeded
    for name in [*verdict.costs][:: number // 20]:
        comparisons = [verdict.compare(name, other) for other in verdict.costs if other != name]
        assert verdict.against[name] == max(comparisons, key=lambda comparison: comparison.above)
