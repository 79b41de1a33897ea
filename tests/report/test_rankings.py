"""Rankings of all configurations by one criterion."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbstudy.records.results import Results
from nbstudy.report.rankings import comparable, ranking_of, rankings_of
from planted import without_replicates


def test_ranking_is_by_the_means_of_replicates(results: Results) -> None:
    ranking = ranking_of(results)
    assert ranking.title == "settled val_loss"
    assert list(ranking.verdict.costs) == ["wide", "good", "tie", "near", "far", "both", "wild"]
    assert "wild" not in ranking.values and ranking.values["wide"] == pytest.approx(0.295)
    assert ranking.chosen == "good"


def test_rankings_are_by_each_criterion(results: Results) -> None:
    rankings = {ranking.title: ranking.chosen for ranking in rankings_of(results)}
    assert rankings == {
        "settled val_loss": "good",
        "best val_loss": "near",
        "settled val_accuracy": "near",
        "settled val_cross_entropy": "good",
    }


def test_what_several_sections_ask_for_is_judged_once(tmp_path: Path) -> None:
    results = without_replicates(tmp_path).load()
    assert ranking_of(results) is ranking_of(results, results.metric)
    assert ranking_of(results) is not ranking_of(results, epochs=1)
    assert results.choose().verdict is results.judge(results.rounds[-1])


def test_final_configuration_is_compared_only_where_a_round_names_it(
    results: Results, tmp_path: Path
) -> None:
    assert results.final == "good" and "good" in comparable(results)
    complete = without_replicates(tmp_path).load()
    assert comparable(complete) == ["one", "two", "six"]
