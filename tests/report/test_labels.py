"""Labels, which lie neither over each other nor outside the figure."""

from __future__ import annotations

import pytest

from nbstudy.report.labels import apart, shortened


def test_long_names_are_shortened_in_the_middle() -> None:
    assert shortened("model_4") == "model_4"
    assert shortened("a" * 50 + "z" * 50) == "a" * 15 + "…" + "z" * 15


def test_labels_stay_where_they_are_wanted_if_there_is_room() -> None:
    assert apart([1, 2, 3], [0.5, 0.5, 0.5], 4) == pytest.approx([1, 2, 3])


def test_labels_are_moved_apart_around_the_place_that_all_want() -> None:
    assert apart([2, 2, 2], [0.5, 0.5, 0.5], 4) == pytest.approx([1.5, 2, 2.5])
    assert apart([0, 0], [1, 1], 4) == pytest.approx([0.5, 1.5])
    assert apart([9, 9], [1, 1], 4) == pytest.approx([2.5, 3.5])


def test_no_labels_need_no_place() -> None:
    assert apart([], [], 4) == []
