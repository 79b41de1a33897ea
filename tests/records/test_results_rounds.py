"""Rounds, what the rule judges by in them, and the choice."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from nbstudy.decision.elimination import Family
from nbstudy.decision.halving import Rung, family_of
from nbstudy.decision.metrics import Better, Metric, metric_called
from nbstudy.records.results import Results, load_results
from nbstudy.records.scores import scores_of
from nbstudy.report.rankings import ranking_of, rankings_of, watched_metrics
from planted import Planted, flat, halved

LOSS = Metric("val_loss", Better.LOWER)


TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


# --- which metric decides, and which way ---
def deciding_study(tmp_path: Path, text: str, metric: str = "my_score") -> Results:
    """Return what a study left of which the better run has the higher number."""
    study = Planted(tmp_path, TWO + text)
    study.measure("a", {metric: 1.0})
    study.measure("b", {metric: 2.0})
    return study.load()


@pytest.mark.parametrize(
    "text",
    [
        "metric: my_score\nbetter: higher\n",
        "rounds: [{candidates: [a, b], metric: my_score, better: higher}]\n",
    ],
)
def test_study_file_says_which_metric_decides_and_which_way(tmp_path: Path, text: str) -> None:
    results = deciding_study(tmp_path, text)
    assert results.metric == results.rounds[0].metric == Metric("my_score", Better.HIGHER)
    assert results.choose().chosen == ranking_of(results).chosen == "b"


def test_round_may_judge_by_another_metric(tmp_path: Path) -> None:
    results = deciding_study(
        tmp_path, "metric: auc\nrounds: [{candidates: [a, b], metric: my_score, better: lower}]\n"
    )
    assert results.metric == Metric("auc", Better.HIGHER)
    assert results.rounds[0].metric == results.metric_called("my_score") == Metric("my_score", Better.LOWER)
    assert results.choose().chosen == "a"


def test_metric_whose_direction_nobody_knows_decides_nothing(tmp_path: Path) -> None:
    results = deciding_study(tmp_path, "")
    assert results.metric == Metric("my_score", None)
    assert scores_of(results) == {} and results.choose().chosen is None
    assert results.table["my_score"].tolist() == [1.0, 2.0]  # which is shown all the same


# --- rounds ---
def test_rounds_are_as_the_study_names_them(results: Results) -> None:
    assert [each.title for each in results.rounds] == [
        "Overview",
        "By loss",
        "Diverged and cut",
        "By accuracy",
        "Early",
        "The choice",
    ]
    accuracy, early = results.rounds[3:5]
    assert (accuracy.number, accuracy.metric, accuracy.epochs) == (
        4,
        Metric("val_accuracy", Better.HIGHER),
        None,
    )
    assert accuracy.candidates == ("good", "near", "far")
    assert accuracy.originally_dropped == ("good",)
    assert (early.metric, early.epochs) == (LOSS, 6)
    assert [each.is_overview for each in results.rounds] == [True, *[False] * 5]


def test_rounds_by_one_metric_over_the_same_epochs_are_a_family(tmp_path: Path) -> None:
    study = Planted(
        tmp_path,
        "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}, c: {units: 9}, d: {units: 10}}\n"
        "rounds:\n"
        "  - {candidates: [a, b]}\n"
        "  - {candidates: [b, c], epochs: 20}\n"  # as long as they are
        "  - {candidates: [a, c], epochs: 10}\n"
        "  - {candidates: [a, d], metric: val_accuracy}\n",
    )
    for name in "abcd":
        study.run(name, flat(0.3))
    first, same, shorter, other = (each.family for each in study.load().rounds)
    assert first is not None and first == same
    assert first.candidates == ("a", "b", "c") and first.error_rate == pytest.approx(0.05 / 3)
    assert shorter is not None and shorter.candidates == ("a", "c")
    assert other is not None and other.candidates == ("a", "d")


def test_last_rung_is_a_family_of_its_own_where_new_seeds_decide(tmp_path: Path) -> None:
    *_, last = halved(tmp_path, rungs=3).load().rounds
    assert last.family is not None and (last.family.candidates, last.family.further) == (last.candidates, 0)
    assert last.stage is not None and last.stage.family == last.family
    # by the same runs they would be compared with all five that began
    family = family_of(Rung(4, None), ["first", "second", "third"], began=5, error_rate=0.05)
    assert family == Family(("first", "second", "third"), 0.05, further=2)


def test_first_round_is_no_overview_where_there_is_no_original(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO + "rounds: [{title: First, candidates: [a, b]}]\n")
    assert not study.load().rounds[0].is_overview


def test_study_without_rounds_has_one_of_all_configurations(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    (only,) = study.load().rounds
    assert (only.title, only.candidates, only.metric) == ("All configurations", ("a", "b"), LOSS)


@pytest.mark.parametrize(("final", "candidates"), [("b", ("a", "c")), ("final", ("a", "b", "c"))])
def test_round_of_all_configurations_leaves_out_replicates_and_the_final_one(
    tmp_path: Path, final: str, candidates: tuple[str, ...]
) -> None:
    configurations = "a: {replicates: 2}, b: {units: 8, replicates: 3}, c: {units: 4}, final: {units: 2}"
    study = Planted(
        tmp_path, f"notebooks: {{run: train.ipynb}}\nconfigurations: {{{configurations}}}\nfinal: {final}\n"
    )
    (only,) = study.load().rounds
    assert only.candidates[: len(candidates)] == candidates
    assert not [name for name in only.candidates if "seed" in name or name == final]


def test_replicate_of_the_final_configuration_is_not_chosen(tmp_path: Path) -> None:
    study = Planted(
        tmp_path,
        "notebooks: {run: train.ipynb}\nconfigurations: {r_0.1: , r_0.3: {l2: 0.3, replicates: 3}, r_1.0: {l2: 1.0}}\n"
        "final: r_0.3\n",
    )
    for name in study.record["configurations"]:
        study.run(name, [0.1 if "0.3" in name else 0.5])
    results = study.load()
    assert results.choose().chosen == "r_0.1"
    assert "r_0.3" not in str([ranking.chosen for ranking in rankings_of(results)])


def test_metric_of_other_templates_decides(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    for name in ("a", "b"):
        (study.run(name, []) / "history.csv").write_text("epoch,my_accuracy,other\n1,0.5,1\n2,0.6,2\n")
    results = study.load()
    assert results.metric == results.rounds[0].metric == Metric("my_accuracy", Better.HIGHER)
    assert watched_metrics(results) == [results.metric]
    assert scores_of(results)["a"].cost == -0.6


# --- what the rule judges by ---
def test_scores_are_of_runs_that_can_be_judged(results: Results) -> None:
    assert list(scores_of(results)) == results.complete
    assert list(scores_of(results, epochs=6)) == [
        name for name in results.runs if name in (*results.complete, "cut")
    ]
    assert "cut" not in scores_of(results, epochs=8)  # it has seven
    assert "broken" not in scores_of(results, epochs=3)  # it failed
    assert scores_of(results, metric_called("no_loss")) == {}


def test_scores_are_settled_costs_with_their_spread(results: Results) -> None:
    scores = scores_of(results, metric_called("val_accuracy"))
    assert scores["far"].cost == pytest.approx(-0.92)
    assert scores_of(results)["wild"].cost == math.inf
    good = scores_of(results, epochs=12)["good"]
    assert good.cost == pytest.approx(0.3 + (1 / 11 + 1 / 12) / 2)
    assert good.spread == pytest.approx((1 / 11 - 1 / 12) / math.sqrt(2))
    assert good.settled_epochs == 2
    assert scores_of(results, by_best_epoch=True)["near"].cost == 0.2
    assert scores_of(results, by_best_epoch=True)["wild"].cost == 0.4


def test_scores_name_the_first_of_replicates(results: Results) -> None:
    scores = scores_of(results)
    assert {name: score.configuration for name, score in scores.items() if score.configuration != name} == {
        "good_1": "good",
        "good_2": "good",
        "wide_1": "wide",
    }
    assert not any(score.is_copy for score in scores.values())


def test_scores_mark_exact_copies(tmp_path: Path) -> None:
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {extends: a}}\n")
    for name in ("a", "b"):
        study.run(name, [0.5])
    assert {name: score.is_copy for name, score in scores_of(study.load()).items()} == {"a": False, "b": True}


def test_choice_is_among_the_last_round_as_that_judges(results: Results, tmp_path: Path) -> None:
    choice = results.choose()
    assert list(choice.verdict.costs) == ["wide", "good", "near"]
    assert choice.verdict.costs == results.judge(results.rounds[-1]).costs
    assert choice.chosen == "good"
    assert load_results(tmp_path, missing_ok=True).choose().chosen is None


def test_study_has_epochs_where_a_history_has_more_than_one(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.run("a", [0.5])
    assert not study.load().has_epochs
    assert [ranking.title for ranking in rankings_of(study.load())][:2] == ["val_loss", "val_cross_entropy"]
    study.run("b", [0.5, 0.4])
    assert study.load().has_epochs
