"""What the rule promises, by simulation: how often it drops the truly best candidate of a whole study."""

from __future__ import annotations

import pytest

from simulated import Simulated, share_dropped

STUDIES = 2000  # with a standard error of half a percent


@pytest.mark.parametrize(
    "runs",
    [
        [1, 1],
        [3, 3],
        [1, 3],
        [1] * 7,
        [3, 3, 3, 1, 1, 1, 1],
        [1, 1, 1, 1, 3, 3, 3],
        [3] * 16,
        [3] * 6 + [1] * 10,
    ],
)
def test_truly_best_of_equal_candidates_is_dropped_anywhere_in_five_percent_of_studies(
    runs: list[int],
) -> None:
    kind = Simulated(runs, witnesses=3)
    assert 0.035 < share_dropped(kind, "c0", STUDIES) < 0.065


def test_rule_without_families_drops_it_in_far_more_studies() -> None:
    # seven candidates in rounds of three and one of all: a round by itself keeps the promise, a study does not
    kind = Simulated([3] * 7, witnesses=3)
    assert share_dropped(kind, "c0", STUDIES, is_one_family=False) > 0.08
