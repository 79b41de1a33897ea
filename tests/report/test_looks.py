"""Looks: the colour and the line style of every configuration."""

from __future__ import annotations

from pathlib import Path

from nbstudy.records.results import Results
from nbstudy.report.colours import COLOURS, GREY
from nbstudy.report.looks import Look, dimmed, looks_of
from planted import Planted


def test_every_configuration_has_a_look_of_its_own_and_replicates_share_it(results: Results) -> None:
    looks = looks_of(results)
    assert list(looks) == list(results.runs)
    assert looks["good"].colour == looks["good_1"].colour == looks["good_2"].colour
    assert looks["good"].style == looks["good_1"].style
    assert looks["good_1"].label == "good_1"
    complete = {
        (looks[name].colour, looks[name].style)
        for name in set(results.parameters.first.values()) & set(results.complete)
    }
    assert len(complete) == 7


def test_run_that_is_not_complete_is_dashed_and_named_with_its_state(results: Results) -> None:
    looks = looks_of(results)
    assert [looks[name].style for name in results.incomplete] == ["--"] * 4
    assert [looks[name].label for name in results.incomplete] == [
        "cut (unfinished)",
        "broken (failed)",
        "old (stale)",
        "never (missing)",
    ]
    assert "--" not in [looks[name].style for name in results.complete]


def test_rivals_have_different_colours_as_far_as_there_are_enough(tmp_path: Path) -> None:
    names = [f"n_{units}" for units in range(1, 61)]
    groups = [names[start::10][:6] for start in range(10)]
    rounds = "\n".join(f"  - {{candidates: [{', '.join(group)}]}}" for group in groups)
    grid = f"grid: [{{name: 'n_{{units}}', units: {list(range(1, 61))}}}]\n"
    results = Planted(tmp_path, f"notebooks: {{run: train.ipynb}}\n{grid}rounds:\n{rounds}\n").load()
    looks = looks_of(results)
    assert list(looks) == names
    for group in groups:
        assert len({looks[name].colour for name in group}) == len(group)


def test_what_is_in_most_rounds_has_the_first_colour(results: Results) -> None:
    assert looks_of(results)["good"] == Look(COLOURS[0], "-", "good")


def test_dimmed_looks_are_grey_and_keep_their_style() -> None:
    grey = dimmed({"a": Look("red", ":", "a"), "b": Look("blue", "-", "b")}, ["a"])
    assert grey == {"a": Look(GREY, ":", "a"), "b": Look("blue", "-", "b")}
