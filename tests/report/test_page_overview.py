"""The figure of the first screen."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from drawn import check_texts, texts_of
from nbstudy.records.results import Results
from nbstudy.report import overview
from nbstudy.report.charts import OF_THE_SUMMARY
from nbstudy.report.first_chart import rows_of
from nbstudy.report.looks import looks_of
from nbstudy.report.overview import (
    Overview,
    Role,
    caption,
    cropped_in_words,
    description,
    draw,
    scale_of_overview,
)
from nbstudy.report.test_set import Measured
from planted import Planted, flat
from told import as_tested, chosen_in, opened_of


def seen_first(results: Results, *numbers: Measured) -> Overview:
    """Return what the first screen shows, perhaps with what a test came to."""
    tested = as_tested(*numbers) if numbers else None
    found = overview.compute(results, chosen_in(results), opened_of(results, None, tested))
    assert found is not None
    return found


BY_ACCURACY = """
notebooks: {run: train.ipynb, test: test.ipynb}
configurations: {a: {replicates: 4}, b: {units: 8}, ahead: {units: 9}, far: {units: 10}, wild: {units: 11}}
rounds: [{candidates: [a, b], metric: val_accuracy}]
final: a
"""


@pytest.fixture
def by_accuracy(tmp_path: Path) -> Results:
    """What a study left whose last round is by accuracy, and leaves out the most accurate one."""
    study = Planted(tmp_path, BY_ACCURACY)
    accuracies = {
        "a": 0.80,
        "a_seed_1": 0.81,
        "a_seed_2": 0.80,
        "a_seed_3": 0.81,
        "b": 0.80,
        "ahead": 0.95,
        "far": 0.1,
        "wild": math.nan,
    }
    for name, accuracy in accuracies.items():
        study.run(name, flat(0.5), accuracy)
    return study.load()


def test_each_configuration_has_its_role_and_its_cost(results: Results) -> None:
    found = seen_first(results)
    roles = {point.name: point.role for point in found.points}
    assert roles == {
        "wide": Role.KEPT,
        "good": Role.CHOSEN,
        "near": Role.KEPT,
        "tie": Role.OTHER,
        "far": Role.OTHER,
        "both": Role.OTHER,
    }
    good = next(point for point in found.points if point.name == "good")
    assert (good.value, good.cost, found.cost) == (pytest.approx(0.3), 16_000, "weights")
    assert good.half_width == pytest.approx(3.18245 * 0.0182574 / math.sqrt(3), rel=1e-4)
    assert 0 < good.odds < 1 and found.diverged == 1


def test_who_is_ahead_without_having_taken_part_is_named(by_accuracy: Results) -> None:
    found = seen_first(by_accuracy)
    assert next((point.name, point.role) for point in found.points) == ("ahead", Role.AHEAD)
    axes = draw(found, looks_of(by_accuracy))
    low, high = axes.get_ylim()
    assert low > 0.5 and high > 0.95  # what is better is on the axis, what is far below is said
    assert axes.get_title(loc="left") == (
        "grey: neither in the last round nor ahead of the choice by more than chance explains; beyond the axis: "
        "far 0.1000, 1 diverged"
    )
    named = texts_of(axes)
    assert "ahead" in named and not any("far" in text for text in named)
    check_texts(axes.figure)


def test_equal_ones_are_not_better(results: Results) -> None:
    found = seen_first(results)
    (chosen,) = (point for point in found.points if point.role is Role.CHOSEN)
    equal = replace(found, points=[replace(point, value=chosen.value) for point in found.points])
    assert "1 is better" in description(found) and "none is better" in description(equal)


def test_test_set_is_in_the_same_figure_where_it_says_the_same(by_accuracy: Results) -> None:
    found = seen_first(by_accuracy, Measured("test_accuracy", 0.6, (0.58, 0.62)))
    assert found.test is not None and scale_of_overview(found).low < 0.58
    axes = draw(found, looks_of(by_accuracy))
    assert "test set: 0.6000" in texts_of(axes)
    check_texts(axes.figure)
    assert description(found).endswith("The test set says 0.6000.")
    assert seen_first(by_accuracy, Measured("test_f1", 0.6)).test is None


def test_rungs_are_shown_where_they_stopped(climbed: Results) -> None:
    found = seen_first(climbed)
    epochs = {point.name: point.epochs for point in found.points}
    assert epochs == {"first": 4, "second": 4, "third": 4, "fourth": 2, "fifth": 2}
    assert [point.name for point in found.points if point.matters] == ["first", "second"]
    assert overview.what_is_grey(found) == "grey: as they stood when they stopped, after 2 and 4 epochs"


def test_minutes_are_the_cost_where_nothing_has_weights(tmp_path: Path) -> None:
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n")
    for name, auc, seconds in [("a", 0.5, 60.0), ("b", 0.6, 6000.0)]:
        study.measure(name, {"auc": auc}, seconds=seconds)
    results = study.load()
    found = seen_first(results)
    assert found.cost == "minutes a run" and [point.cost for point in found.points] == [100, 1]
    axes = draw(found, looks_of(results))
    assert axes.get_xscale() == "log" and axes.get_ylabel() == "auc (higher is better)"
    check_texts(axes.figure)


def test_single_configuration_has_no_figure(tmp_path: Path) -> None:
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {only: }\n")
    study.run("only", [0.5])
    results = study.load()
    assert overview.compute(results, chosen_in(results), opened_of(results)) is None


def test_many_beyond_the_axis_are_counted(results: Results) -> None:
    points = seen_first(results).points
    worst = ", ".join(f"{point.name} {point.value:.4f}" for point in points[-3:])
    assert cropped_in_words(points, 0) == f"beyond the axis: 3 more, {worst}"
    assert cropped_in_words([], 2) == "2 diverged" and cropped_in_words([], 0) == ""


def test_of_very_many_without_a_label_some_are_drawn_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MOST_DOTS", 15)
    grid = f"grid: [{{name: 'n_{{units}}', units: {list(range(1, 61))}}}]\n"
    study = Planted(
        tmp_path, f"notebooks: {{run: train.ipynb}}\n{grid}configurations: {{best: {{replicates: 3}}}}\n"
    )
    for number, name in enumerate(study.record["configurations"]):
        study.run(name, flat(0.3 + 0.01 * number))
    results = study.load()
    found = seen_first(results)
    rows = rows_of(found, looks_of(results), OF_THE_SUMMARY)
    number = len(found.others)
    assert len(found.points) == 61 and number == 61 - len(found.named)
    assert len(found.drawn) == len(rows) == len(found.named) + math.ceil(number / found.every) < 40
    assert set(found.named) <= {point.name for point in found.drawn}
    assert found.drawn[-1].value <= found.points[-1].value
    said = f"of the {number} grey ones, one in {found.every} is drawn"
    assert said in caption(found) and said in draw(found, looks_of(results)).get_title(loc="left")
    monkeypatch.setattr(overview, "MOST_DOTS", 61)
    assert "is drawn" not in caption(seen_first(results))
