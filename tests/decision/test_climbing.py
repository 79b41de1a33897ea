"""Who climbs the rungs of successive halving."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from nbstudy.decision.elimination import Family
from nbstudy.decision.halving import (
    RULE,
    Rung,
    Stage,
    climb,
    differs_wholly,
    family_of,
    judge_rung,
    share_of_error,
)
from nbstudy.decision.odds import chance_of_the_best
from nbstudy.decision.scores import Score

CURVES = {"a": [5, 4, 3], "b": [1, 2, 9], "c": [2, 1, 1], "d": [9, 9, 0], "e": [2, 3, 2]}  # costs by rung
LADDER = [Rung(epochs=4, keep=3), Rung(epochs=12, keep=2), Rung(epochs=36, keep=None)]


def costs_in(
    curves: Mapping[str, Sequence[float | None]],
) -> Callable[[str, Rung], dict[str, Score] | None]:
    """Return what says the score of a candidate's one run at a rung, from its costs by rung."""

    def scores_of(name: str, rung: Rung) -> dict[str, Score] | None:
        cost = curves[name][LADDER.index(rung)]
        if cost is None:
            return None
        return {name: Score(cost, name)}

    return scores_of


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


# --- where the rule says who goes on ---
def replicated(ends: Mapping[str, Sequence[float]]) -> Callable[[str, Rung], dict[str, Score]]:
    """Return what says the scores of a candidate's runs, which come to the same on all rungs."""

    def scores_of(name: str, rung: Rung) -> dict[str, Score]:
        return {
            f"{name}_{number}" if number else name: Score(end, name, seed=number)
            for number, end in enumerate(ends[name])
        }

    return scores_of


ENDS = {"a": [1.0, 1.1], "b": [1.02, 1.12], "c": [1.04, 1.16], "d": [5.0, 5.1], "e": [1.01, math.inf]}
BY_RULE = [Rung(4, RULE, most=3), Rung(8, None)]


def test_rule_keeps_all_that_it_does_not_drop() -> None:
    stages = climb(BY_RULE, "abcde", replicated(ENDS))
    assert stages[0].survivors == stages[1].candidates == ["a", "b", "c"]
    assert stages[0].dropped == ("d", "e")
    verdict = judge_rung({}, replace(stages[0], candidates=[]), {})
    assert verdict.costs == {}


def test_rule_keeps_at_most_so_many_the_best() -> None:
    rungs = [replace(BY_RULE[0], most=2), BY_RULE[1]]
    stage, _ = climb(rungs, "cabde", replicated(ENDS))
    assert stage.survivors == ["a", "b"]
    scores = {run: score for name in "cabde" for run, score in replicated(ENDS)(name, rungs[0]).items()}
    verdict = judge_rung(scores, stage, {})
    assert verdict.kept == ["a", "b"] and set(verdict.dropped) == {"c", "d", "e"}
    assert (
        verdict.against["c"].worse_by < verdict.against["c"].allowed
    )  # it is the number that leaves c behind


def test_rungs_by_the_rule_share_the_error_and_remember_who_began() -> None:
    first, second = climb(BY_RULE, "abcde", replicated(ENDS))
    assert first.family == Family(("a", "b", "c", "d", "e"), 0.025)
    assert second.family == Family(("a", "b", "c"), 0.025, further=2)
    new_seeds, by_number = Rung(8, None, replicates=3), Rung(4, 2)
    assert share_of_error([by_number, new_seeds], with_race=False) == 0.05
    assert family_of(new_seeds, ["a", "b"], 5, 0.05) == Family(("a", "b"), 0.05)
    assert family_of(by_number, ["a", "b"], 5, 0.05) is None


def test_race_after_rungs_shares_the_error_with_those_that_the_rule_decides() -> None:
    (stage,) = climb(BY_RULE[:1], "abcde", replicated(ENDS), with_race=True)
    assert stage.family == Family(("a", "b", "c", "d", "e"), 0.025)
    assert share_of_error([Rung(4, 2)], with_race=True) == 0.05


# --- what those that go on have in common ---
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"a": 128, "b": 128, "c": 512, "d": 256}, True),
        ({"a": 512, "b": 256, "c": 128, "d": 128}, True),
        ({"a": 128, "b": 512, "c": 256, "d": 256}, False),  # not all on one side
        ({"a": 128, "b": 128, "c": 128, "d": 512}, False),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, False),  # none has anything in common with another
        ({"a": "relu", "b": "relu", "c": "tanh", "d": "gelu"}, True),
        ({"a": "relu", "b": "tanh", "c": "tanh", "d": "gelu"}, False),
        ({"a": [8], "b": [8], "c": [8, 8], "d": [8, 8]}, True),
        ({"a": None, "b": 3, "c": 5, "d": 5}, True),
    ],
)
def test_both_sides_of_a_cut_may_differ_wholly_in_a_parameter(
    values: dict[str, object], expected: bool
) -> None:
    stage = Stage(Rung(4, 2), list("abcd"), {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4})
    assert differs_wholly(stage, values) == expected
    assert not differs_wholly(replace(stage, costs={"a": 0.1}), values)  # not decided


# --- how likely the best comes through ---
def test_chance_that_the_best_goes_on_is_the_share_in_which_it_does() -> None:
    drawn = random.Random(5)
    said, came = 0.0, 0
    for _ in range(300):
        true = {f"c{number}": drawn.gauss(0, 1) for number in range(24)}
        costs = {name: value + drawn.gauss(0, 0.7) for name, value in true.items()}
        scores = {name: Score(cost, name) for name, cost in costs.items()}
        for number in range(9):
            scores[f"w{number}"] = Score(drawn.gauss(0, 0.7), f"w{number // 3}")
        stage = Stage(Rung(4, 6), list(true), dict(sorted(costs.items(), key=lambda item: item[1])))
        said += chance_of_the_best(judge_rung(scores, stage, {}), stage.survivors) / 300
        came += min(true, key=true.__getitem__) in stage.survivors
    # rather too little than too much is said, since the deviation is known from nine runs alone
    assert came / 300 - 0.1 < said < came / 300 + 0.02 and said > 0.7


def test_chance_that_the_best_goes_on_is_unknown_without_replicates_and_sure_without_noise() -> None:
    stage = Stage(Rung(4, 1), ["a", "b"], {"a": 0.1, "b": 0.2})
    single = {"a": Score(0.1, "a", spread=0.1, settled_epochs=4), "b": Score(0.2, "b")}
    assert math.isnan(chance_of_the_best(judge_rung(single, stage, {}), ["a"]))
    witnesses = {"w": Score(0.3, "w"), "w1": Score(0.3, "w")}
    verdict = judge_rung(single, stage, witnesses)
    assert (verdict.noise.deviation, verdict.noise.is_guess) == (0.0, False)
    assert chance_of_the_best(verdict, ["a"]) == 1.0
    assert list(verdict.costs) == ["a", "b"] and verdict.dropped == ("b",)
