"""The rule and the choice, as arithmetic."""

from __future__ import annotations

import math

import pytest

from nbstudy.elimination import (
    Score,
    Verdict,
    as_cost,
    best_epoch,
    choose,
    judge,
    lower_is_better,
    noise_of,
    settled,
    settled_epochs,
    spread,
    value_of,
)

# Replicates of two networks: deviations of 0.02 in three runs and of 0.0141 in two, pooled
# sqrt((2 * 0.02**2 + 0.0002) / 3) = 0.01826, so that the noise is 0.0365.
REPLICATED = {
    "good": Score(0.30, "good"),
    "tie": Score(0.30, "tie"),
    "near": Score(0.335, "near"),
    "far": Score(0.337, "far"),
    "wild": Score(math.inf, "wild"),
    "wide": Score(0.305, "wide"),
    "good_1": Score(0.28, "good"),
    "good_2": Score(0.32, "good"),
    "wide_1": Score(0.285, "wide"),
}
SINGLE = {
    "one": Score(0.31, "one", spread=0.0141, settled_epochs=2),
    "two": Score(0.33, "two", spread=0.0, settled_epochs=2),
    "six": Score(0.35, "six", spread=0.0, settled_epochs=2),
}


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


@pytest.mark.parametrize(
    ("metric", "lower"),
    [
        ("val_loss", True),
        ("val_cross_entropy", True),
        ("mean_squared_error", True),
        ("val_accuracy", False),
        ("acc", False),
        ("roc_auc", False),
        ("val_precision", False),
        ("recall", False),
        ("f1", False),
        ("r2", False),
        ("my_score", False),
    ],
)
def test_direction_of_a_metric_is_known_by_its_name(metric: str, lower: bool) -> None:
    assert lower_is_better(metric) is lower


def test_best_epoch_is_the_first_with_the_best_value() -> None:
    assert best_epoch([0.6, 0.8, 0.8, 0.7], "val_accuracy") == (0.8, 2)
    assert best_epoch([0.6, math.nan, 0.4, 0.4], "val_loss") == (0.4, 3)
    assert best_epoch([math.nan], "val_loss")[1] is best_epoch([], "val_loss")[1] is None


def test_costs_are_lower_when_better_and_lead_back_to_the_values() -> None:
    assert as_cost(0.9, "val_accuracy") == -0.9
    assert as_cost(0.9, "val_loss") == 0.9
    assert as_cost(math.nan, "val_accuracy") == as_cost(math.nan, "val_loss") == math.inf
    assert value_of(-0.9, "val_accuracy") == 0.9
    assert math.isnan(value_of(math.inf, "val_loss"))


def test_rule_drops_what_is_worse_by_more_than_twice_the_pooled_deviation() -> None:
    verdict = judge(REPLICATED, ["far", "near", "tie", "good"])
    assert verdict.best == "good"
    assert verdict.threshold == pytest.approx(2 * math.sqrt((2 * 0.02**2 + 0.0002) / 3))
    assert list(verdict.costs) == [
        "good",
        "tie",
        "near",
        "far",
    ]  # best first, equal ones in the study's order
    assert list(verdict.excess.values()) == pytest.approx([0, 0, 0.035, 0.037])
    assert verdict.dropped == ("far",)
    assert verdict.kept == ["good", "tie", "near"]


def test_noise_is_pooled_over_all_replicated_configurations_whoever_the_candidates_are() -> None:
    noise = judge(REPLICATED, ["near", "far"]).noise
    assert noise.deviation == pytest.approx(0.01826, abs=5e-6)
    assert (noise.degrees, noise.run) == (3, None)


def test_run_that_is_no_longer_finite_is_dropped_and_does_not_count_as_a_replicate() -> None:
    verdict = judge(REPLICATED, ["wild", "good"])
    assert (verdict.best, verdict.dropped) == ("good", ("wild",))
    assert verdict.excess["wild"] == math.inf
    exploded = REPLICATED | {"good_3": Score(math.inf, "good")}
    assert noise_of(exploded, "good") == noise_of(REPLICATED, "good")


def test_candidate_without_a_score_is_not_judged() -> None:
    verdict = judge(REPLICATED, ["good", "never"])
    assert list(verdict.costs) == ["good"]
    assert "never" not in verdict.kept


def test_without_replicates_the_deviation_within_the_best_run_stands_in() -> None:
    verdict = judge(SINGLE, ["one", "two", "six"])
    assert (verdict.noise.deviation, verdict.noise.degrees, verdict.noise.run) == (0.0141, 1, "one")
    assert verdict.threshold == pytest.approx(0.0282)
    assert verdict.dropped == ("six",)


def test_best_candidate_is_the_one_whose_epochs_stand_in() -> None:
    verdict = judge(SINGLE, ["two", "six"])
    assert verdict.noise.run == "two"
    assert verdict.dropped == ("six",)  # its deviation is 0


def test_nothing_finite_is_dropped_where_chance_is_unknown() -> None:
    scores = {"a": Score(0.1, "a"), "b": Score(0.9, "b"), "c": Score(math.inf, "c")}
    verdict = judge(scores, scores)
    assert math.isnan(verdict.threshold)
    assert verdict.dropped == ("c",)


@pytest.mark.parametrize("scores", [{}, {"a": Score(math.inf, "a"), "b": Score(math.inf, "b")}])
def test_nothing_is_best_where_nothing_is_finite(scores: dict[str, Score]) -> None:
    verdict = judge(scores, ["a", "b"])
    assert verdict.best is None
    assert verdict.dropped == tuple(scores)
    assert verdict.kept == []


def test_exact_copies_are_no_replicates() -> None:
    copied = SINGLE | {"one_again": Score(0.31, "one", spread=0.0141, settled_epochs=2, is_copy=True)}
    verdict = judge(copied, ["one", "one_again", "six"])
    assert verdict.noise.run == "one"
    assert verdict.kept == ["one", "one_again"]  # judged it is
    assert choose(copied, {}).runs["one"] == ["one"]


def test_disputed_are_the_judged_on_which_decisions_differ() -> None:
    verdict = judge(REPLICATED, ["good", "tie", "near", "far"])
    assert verdict.disputed(["near", "far"]) == ["near"]
    assert verdict.disputed(["good"]) == ["good", "far"]
    assert verdict.disputed(["far", "never"]) == []


def test_verdict_holds_for_costs_below_zero() -> None:
    scores = {"good": Score(-0.8, "good"), "near": Score(-0.87, "near"), "far": Score(-0.9, "far")}
    scores |= {"far_1": Score(-0.86, "far")}  # a deviation of 0.0283
    verdict: Verdict = judge(scores, ["good", "near", "far"])
    assert list(verdict.costs) == ["far", "near", "good"]
    assert verdict.dropped == ("good",)


def test_choice_is_the_smallest_within_one_standard_error() -> None:
    choice = choose(REPLICATED, {"good": 16_000, "wide": 32_000, "far": 1})
    assert choice.means == pytest.approx({"wide": 0.295, "good": 0.300})
    assert choice.best == "wide"
    assert choice.error == pytest.approx(math.sqrt((2 * 0.02**2 + 0.0002) / 3) / math.sqrt(2))
    assert set(choice.kept) == {"good", "wide"}
    assert choice.chosen == "good"
    assert choice.runs == {"good": ["good_1", "good", "good_2"], "wide": ["wide_1", "wide"]}  # best first


def test_choice_is_the_best_of_equal_or_unknown_sizes() -> None:
    assert choose(REPLICATED, {"good": 5, "wide": 5}).chosen == "wide"
    assert choose(REPLICATED, {}).chosen == "wide"
    assert choose(REPLICATED, {"good": 10**9}).chosen == "good"  # unknown is the largest


def test_choice_leaves_out_what_is_more_than_one_standard_error_worse() -> None:
    worse = REPLICATED | {"wide": Score(0.285, "wide"), "wide_1": Score(0.265, "wide")}
    choice = choose(worse, {"good": 1, "wide": 2})
    assert choice.kept == ("wide",)
    assert choice.chosen == "wide"


def test_choice_names_single_runs_that_are_better_than_the_best_mean() -> None:
    scores = REPLICATED | {"lucky": Score(0.2, "lucky"), "unlucky": Score(0.4, "unlucky")}
    choice = choose(scores, {"lucky": 1})
    assert choice.single == ("lucky",)
    assert choice.chosen in ("good", "wide")  # only what is replicated can be chosen


def test_choice_without_replicates_is_among_all_single_runs() -> None:
    choice = choose(SINGLE, {"one": 64, "two": 32, "six": 16})
    assert (choice.best, choice.chosen) == ("one", "one")
    assert choice.error == 0.0141  # the deviation within one's settled epochs, over the root of one
    assert choice.single == ()
    close = SINGLE | {"two": Score(0.32, "two", spread=0.0, settled_epochs=2)}
    assert choose(close, {"one": 64, "two": 32, "six": 16}).chosen == "two"


def test_choice_where_chance_is_unknown_is_the_best() -> None:
    choice = choose({"a": Score(0.2, "a"), "b": Score(0.1, "b")}, {"a": 1, "b": 2})
    assert (choice.chosen, choice.error) == ("b", 0.0)


@pytest.mark.parametrize("scores", [{}, {"a": Score(math.inf, "a")}])
def test_choice_of_nothing_where_nothing_is_finite(scores: dict[str, Score]) -> None:
    choice = choose(scores, {"a": 1})
    assert (choice.chosen, choice.best, choice.means) == (None, None, {})
