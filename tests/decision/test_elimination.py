"""The rule and the choice, as arithmetic; what the rule promises, by simulation."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

import pytest

from nbstudy.decision.elimination import (
    Choice,
    Noise,
    Score,
    Verdict,
    best_epoch,
    choose,
    critical_value,
    judge,
    least_step,
    lost_after,
    noise_of,
    power_of,
    replicates_needed,
    settled,
    settled_epochs,
    spread,
)
from nbstudy.decision.halving import Rung, climb
from nbstudy.decision.metrics import metric_called

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
SINGLE = {
    "one": Score(0.31, "one", spread=0.002, settled_epochs=11),
    "two": Score(0.312, "two", spread=0.0, settled_epochs=11),
    "six": Score(0.32, "six", spread=0.0, settled_epochs=11),
}


NONE_THERE: list[float] = []


# --- values ---
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


def test_spread_is_the_deviation_within_the_settled_epochs() -> None:
    assert spread([0.5] * 18 + [0.30, 0.32]) == pytest.approx(0.02 / math.sqrt(2))
    assert math.isnan(spread([0.5] * 5))  # one settled epoch says nothing


def test_best_epoch_is_the_first_with_the_best_value() -> None:
    loss, accuracy = metric_called("val_loss"), metric_called("val_accuracy")
    assert best_epoch([0.6, 0.8, 0.8, 0.7], accuracy) == (0.8, 2)
    assert best_epoch([0.6, math.nan, 0.4, 0.4], loss) == (0.4, 3)
    assert best_epoch([math.nan], loss)[1] is best_epoch([], loss)[1] is None


# --- values that were not measured ---
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


# --- critical values ---
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
    allowed = critical * DEVIATION * math.sqrt(1 + 1 / 3)  # 0.0714
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
    assert verdict.allowed("one", "best_0", 6) < 0.14 < verdict.allowed("one", "best_0")


def test_run_that_is_no_longer_finite_is_dropped_and_says_nothing_of_chance() -> None:
    verdict = judge(REPLICATED, ["wild", "good"])
    assert (verdict.best, verdict.dropped) == ("good", ("wild",))
    assert verdict.excess["wild"] == math.inf
    assert "wild" not in verdict.against
    exploded = REPLICATED | {"tie_1": Score(math.inf, "tie")}
    assert noise_of(exploded, "good") == noise_of(REPLICATED, "good")
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


def test_step_is_judged_as_a_round_of_two() -> None:
    assert least_step(Noise(0.01, 6), 1, 3) == pytest.approx(1.94318 * 0.01 * math.sqrt(1 + 1 / 3), rel=1e-4)
    assert least_step(Noise(math.nan, 0), 1, 1) == math.inf


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


# --- what it promises ---
def drops_of_the_best(numbers: Sequence[int], rounds: int = 2000) -> float:
    """Return the share of rounds in which the first of equal candidates, with so many runs each, is dropped.

    The deviation comes from three other configurations with three runs each, and from the candidates' replicates.
    """
    drawn = random.Random(12)
    names = [f"c{place}" for place in range(len(numbers))]
    dropped = 0
    for _ in range(rounds):
        scores = {}
        for name, runs in zip(["x", "y", "z", *names], [3, 3, 3, *numbers], strict=True):
            for number in range(runs):
                key = f"{name}_{number}" if number else name
                scores[key] = Score(drawn.gauss(0, 1), name)
        dropped += "c0" in judge(scores, names).dropped
    return dropped / rounds


@pytest.mark.parametrize(
    "numbers",
    [
        [1, 1],
        [3, 3],
        [1, 3],
        [1] * 7,
        [3] * 7,
        [3, 3, 3, 1, 1, 1, 1],
        [1, 1, 1, 1, 3, 3, 3],
        [1] * 19,
        [3] * 19,
        [3] * 6 + [1] * 13,
    ],
)
def test_truly_best_of_equal_candidates_is_dropped_in_five_percent_of_rounds(numbers: list[int]) -> None:
    # 2,000 rounds have a standard error of half a percent
    assert 0.035 < drops_of_the_best(numbers) < 0.065


# --- more replicates ---
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
    assert replicates_needed(judge(SINGLE, ["one", "two"])) is None  # no replicates to know chance by
    assert replicates_needed(judge(SINGLE, ["one"])) is None
    assert replicates_needed(judge({}, [])) is None


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


# --- halving ---
CURVES = {"a": [5, 4, 3], "b": [1, 2, 9], "c": [2, 1, 1], "d": [9, 9, 0], "e": [2, 3, 2]}  # costs by rung
LADDER = [Rung(epochs=4, keep=3), Rung(epochs=12, keep=2), Rung(epochs=36, keep=None)]


def costs_in(curves: Mapping[str, Sequence[float | None]]) -> Callable[[str, Rung], float | None]:
    """Return what says the cost of a candidate at a rung, from its costs by rung."""
    return lambda name, rung: curves[name][LADDER.index(rung)]


def test_best_go_on_from_rung_to_rung() -> None:
    stages = climb(LADDER, "abcde", costs_in(CURVES))
    assert [stage.candidates for stage in stages] == [["a", "b", "c", "d", "e"], ["b", "c", "e"], ["b", "c"]]
    assert [list(stage.costs) for stage in stages] == [
        ["b", "c", "e", "a", "d"],
        ["c", "b", "e"],
        ["c", "b"],
    ]


def test_first_of_equal_candidates_goes_on() -> None:
    equal = {name: [1, 1, 1] for name in "abcde"}
    assert climb(LADDER, "abcde", costs_in(equal))[-1].candidates == ["a", "b"]
    assert climb(LADDER, "edcba", costs_in(equal))[-1].candidates == ["e", "d"]


def test_rung_is_undecided_as_long_as_one_candidate_is_missing() -> None:
    stages = climb(LADDER, "abcde", costs_in(CURVES | {"d": [None, 9, 0]}))
    assert len(stages) == 1
    assert stages[0].waits_for == ["d"] and stages[0].survivors == []


def test_later_rungs_change_no_earlier_one() -> None:
    stages = climb(LADDER, "abcde", costs_in(CURVES))
    lengthened = {name: [costs[0], costs[1], -100.0] for name, costs in CURVES.items()}
    assert climb(LADDER, "abcde", costs_in(lengthened))[:2] == stages[:2]


def test_diverged_candidate_does_not_go_on_even_where_others_are_too_few() -> None:
    lost = CURVES | {name: [math.inf] * 3 for name in "bce"}
    stages = climb(LADDER, "abcde", costs_in(lost))
    assert stages[0].survivors == ["a", "d"]
    nothing = {name: [math.inf] * 3 for name in "abcde"}
    (stage,) = climb(LADDER, "abcde", costs_in(nothing))
    assert stage.waits_for == [] and stage.survivors == []
