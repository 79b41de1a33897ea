"""Who climbs the rungs of successive halving."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from nbstudy.decision.halving import Rung, climb

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
