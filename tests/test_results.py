"""What load_results makes of the files that runs left."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import nbstudy
from nbstudy.checks import StudyError
from nbstudy.decision.metrics import Better, Metric, metric_called
from nbstudy.files import FORMAT, write_json
from nbstudy.records.results import Results, load_results
from nbstudy.records.states import State
from planted import (
    COLUMNS,
    DAMAGES,
    EPOCHS,
    ROOT,
    WITHOUT_REPLICATES,
    Planted,
    half_filled,
    without_replicates,
)

LOSS = Metric("val_loss", Better.LOWER)
TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """A half-filled study with replicates; tests only read it."""
    return half_filled(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def results(planted: Planted) -> Results:
    """What the half-filled study left."""
    return planted.load()


# --- which run counts ---
def test_state_of_every_configuration(results: Results) -> None:
    states = results.table["state"]
    assert list(states.index) == list(results.runs)
    assert states[["cut", "broken", "old", "never"]].tolist() == [
        "unfinished",
        "unfinished",
        "stale",
        "missing",
    ]
    assert set(states.drop(["cut", "broken", "old", "never"])) == {"complete"}
    assert len(results.complete) == 10
    assert results.incomplete == ["cut", "broken", "old", "never"]
    assert results.extras == ["other"]


def test_reason_says_why_a_run_is_not_complete(results: Results) -> None:
    table = results.table
    assert table.loc["cut", "reason"] == "interrupted at epoch 7"
    assert table.loc["broken", "reason"] == table.loc["broken", "error"] == "ValueError: a|b `c`"
    assert table.loc["old", "reason"] == "l2 0.7 -> 0.0"
    assert table.loc[["good", "never"], ["reason", "error"]].isna().all(axis=None)


def test_failed_attempt_is_unfinished_with_an_error(results: Results) -> None:
    broken = results.runs["broken"]
    assert (broken.state, broken.word) == (State.UNFINISHED, "failed")
    assert results.runs["cut"].word == "unfinished"


def test_newest_attempt_counts(results: Results) -> None:
    assert results.runs["cut"].directory.name == "2"
    assert results.table.loc["cut", "epochs"] == 7


def test_attempts_are_ordered_by_number(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    for attempt in (9, 10):
        study.run("a", [0.5] * attempt, attempt=attempt)
    assert study.load().table.loc["a", "epochs"] == 10


def test_attempt_counts_where_it_differs_only_in_what_lengthens_it(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    asked = study.record["configurations"]["a"]
    study.run("a", [0.5] * 3, attempt=1, parameters=asked | {"epochs": 3})
    study.run("a", [0.5] * 4, attempt=2, parameters=asked | {"units": 3})
    run = study.load().runs["a"]
    assert (run.state, run.directory.name) == (State.UNFINISHED, "1")


def test_attempt_counts_before_a_stale_run(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.run("a", [0.5] * 4, code="other")
    assert study.load().runs["a"].reason == "train.ipynb changed"
    study.run("a", [0.5] * 3, attempt=1)
    assert study.load().table.loc["a", ["state", "epochs"]].tolist() == ["unfinished", 3]


def test_parameter_that_a_run_lacks_counts_as_its_default(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    for name, asked in study.record["configurations"].items():
        study.run(name, [0.5], parameters={key: value for key, value in asked.items() if key != "dropout"})
    assert study.load().complete == ["a", "b"]


@pytest.mark.parametrize(
    ("asked", "made_with", "same", "reason"),
    [
        ({"helper.py": "1"}, {"helper.py": "1"}, [], None),
        ({"helper.py": "1"}, {"helper.py": "2"}, [], "helper.py changed"),
        ({"helper.py": "1"}, {}, [], "helper.py changed"),
        ({}, {"helper.py": "2"}, [], "helper.py changed"),
        ({"helper.py": "1"}, {"helper.py": "2"}, ["helper.py 2"], None),  # but for comments
    ],
)
def test_run_is_stale_when_a_module_of_its_template_changed(
    tmp_path: Path, asked: dict[str, str], made_with: dict[str, str], same: list[str], reason: str | None
) -> None:
    study = Planted(tmp_path, TWO)
    code = study.record["code"]
    write_json(study.outputs / "study.json", study.record | {"modules": asked, "code": [*code, *same]})
    study.run("a", [0.5], modules=made_with)
    assert study.load().runs["a"].reason == reason


def test_whole_numbers_and_fractions_are_values_of_one_parameter(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    configurations = study.record["configurations"]
    configurations["a"] |= {"l2": 1, "units": 8}
    configurations["b"] |= {"l2": 1.0}
    write_json(study.outputs / "study.json", study.record)
    results = study.load()
    assert results.differing("a", "b", results.factors) == [] and results.first["b"] == "a"


# --- the table ---
def test_table_says_what_each_run_came_to(results: Results) -> None:
    near = results.table.loc["near"]
    assert (near["weights"], near["epochs"], near["minutes"], near["attempts"]) == (16_000, EPOCHS, 1.0, 1)
    assert (near["best_val_loss"], near["best_val_loss_epoch"]) == (0.2, 4)
    assert near["settled_val_loss"] == pytest.approx(0.335)
    assert near["settled_val_accuracy"] == pytest.approx(0.87)
    assert near["gap"] == pytest.approx(0.0)
    assert near["device"] == "x86_64"
    assert near["started"] == "2026-01-01T00:00:00Z"


def test_table_takes_the_highest_accuracy_for_the_best(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    place = study.run("a", [])
    (place / "history.csv").write_text("epoch,val_accuracy\n1,0.6\n2,0.8\n3,0.8\n4,0.7\n")
    best = study.load().table.loc["a", ["best_val_accuracy", "best_val_accuracy_epoch"]]
    assert best.tolist() == [0.8, 2]


def test_table_has_parameters_in_their_own_types(results: Results) -> None:
    parameters = results.table.filter(like="param_")
    assert list(parameters) == [f"param_{name}" for name in results.runs["good"].parameters]
    assert parameters["param_units"].dtype == np.int64
    assert parameters["param_l2"].dtype == np.float64
    assert parameters["param_refit"].dtype == bool
    assert parameters.loc["wide", "param_units"] == 32
    assert parameters.loc["good", "param_precision"] == "float32"


def test_table_is_empty_where_a_run_has_nothing(results: Results) -> None:
    never = results.table.loc["never"].drop(["state", "epochs", "minutes"])
    assert never.filter(regex="^(?!param_)").isna().all()
    wild = results.table.loc["wild"]
    assert math.isnan(wild["settled_val_loss"]) and wild["diverged"] == 12
    assert wild["best_val_loss"] == 0.4  # of the epochs before


def test_table_can_be_written_and_read(results: Results, tmp_path: Path) -> None:
    results.table.to_csv(tmp_path / "results.csv")
    again = pd.read_csv(tmp_path / "results.csv", index_col="configuration")
    assert list(again.index) == list(results.runs)
    assert again.loc["near", "best_val_loss_epoch"] == 4


# --- numbers of result.json ---
def test_numbers_of_result_json_are_columns_and_metrics(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.measure("a", {"val_accuracy": 0.9, "support": 12, "name": "x", "flag": True, "nested": {"b": 1}})
    study.measure("b", {"val_accuracy": 0.95, "val_f1": math.nan, "error": 0.25, "weights": 0})
    results = study.load()
    assert results.metrics == ["val_accuracy", "support", "val_f1", "error"]
    assert (results.metric.name, [metric.name for metric in results.watched]) == (
        "val_accuracy",
        ["val_accuracy", "val_f1"],
    )
    table = results.table
    assert table["val_accuracy"].tolist() == [0.9, 0.95] and table["support"].tolist() == [12, pd.NA]
    assert table.loc["b", "result_error"] == 0.25 and table["error"].isna().all()  # that of an attempt
    assert table["weights"].isna().all() and results.sizes == {}
    assert not {"name", "flag", "nested", "gap"} & set(table)
    assert results.curve("a").tolist() == [0.9] and results.curve("a", epochs=5).tolist() == [0.9]
    assert results.scores()["b"].cost == -0.95
    assert results.scores(metric_called("val_f1"))["b"].cost == math.inf  # no longer finite
    assert [ranking.title for ranking in results.rankings()] == ["val_accuracy", "val_f1"]
    assert (results.has_epochs, results.shortest, results.choose().chosen) == (False, None, "b")


def test_metric_in_history_and_result_is_that_of_the_history(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.run("a", [0.5] * 20, val_accuracy=0.7, result={"val_accuracy": 0.9, "val_f1": 0.6})
    study.run("b", [0.5] * 20, val_accuracy=0.8)
    results = study.load()
    assert results.numbers == ["val_f1"] and results.scores(metric_called("val_accuracy"))["a"].cost == -0.7
    assert results.title(metric_called("val_accuracy")) == "settled val_accuracy"
    assert results.title(metric_called("val_f1")) == "val_f1"
    assert "val_accuracy" not in results.table and results.table.loc["a", "val_f1"] == 0.6


@pytest.mark.parametrize("value", [10**30, -(10**400), 1e400, "0.5", [0.5], None])
def test_odd_numbers_of_result_json_damage_nothing(tmp_path: Path, value: object) -> None:
    study = Planted(tmp_path, TWO)
    study.measure("a", {"val_loss": 0.5, "odd": value})
    assert study.load().table.loc["a", "val_loss"] == 0.5


def test_indices_and_texts_are_no_metrics_of_a_history(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    history = study.run("a", []) / "history.csv"
    history.write_text("Unnamed: 0,,epoch,when,accuracy\n0,0,1,noon,0.5\n1,1,2,later,0.6\n")
    results = study.load()
    assert results.metrics == ["accuracy"] and results.runs["a"].history["accuracy"].tolist() == [0.5, 0.6]
    assert not [column for column in results.table if "nnamed" in column or "when" in column]


def test_run_says_why_it_ended_early(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.run("a", [0.5], result={"ended": "no better for\n5 epochs"})
    study.run("b", [0.5], result={"ended": 3})
    results = study.load()
    ended = results.table["ended"]
    assert ended["a"] == "no better for 5 epochs" and pd.isna(ended["b"])


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
    assert results.choose().chosen == results.ranking().chosen == "b"


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
    assert results.scores() == {} and results.choose().chosen is None
    assert results.table["my_score"].tolist() == [1.0, 2.0]  # which is shown all the same


def test_best_epoch_is_left_out_of_the_table_where_nobody_knows_what_is_better(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    (study.run("a", []) / "history.csv").write_text("epoch,my_score,f1\n1,0.5,0.5\n2,0.6,0.6\n")
    table = study.load().table
    assert {"settled_my_score", "best_f1"} <= set(table) and "best_my_score" not in table


# --- histories ---
def test_histories_are_long_and_whole(results: Results) -> None:
    histories = results.histories
    assert list(histories) == ["configuration", *COLUMNS]
    assert histories["configuration"].unique().tolist() == [name for name in results.runs if name != "never"]
    near = histories[histories["configuration"] == "near"]
    assert near["epoch"].tolist() == list(range(1, EPOCHS + 1))
    assert near["val_loss"].tolist()[:4] == [0.9, 0.8, 0.7, 0.2]


def test_histories_have_nan_where_a_value_is_not_finite(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.run("a", [0.1 + 0.2, math.inf, -math.inf, math.nan])
    losses = study.load().histories["val_loss"]
    assert losses.isna().tolist() == [False, True, True, True]
    assert losses[0] == 0.1 + 0.2  # to the last bit


def test_curve_is_a_metric_by_epoch(results: Results) -> None:
    curve = results.curve("near", "val_loss", epochs=3)
    assert curve.index.tolist() == [1, 2, 3] and curve.index.name == "epoch"
    assert curve.tolist() == [0.9, 0.8, 0.7]
    assert results.curve("near").equals(results.curve("near", "val_loss"))
    assert results.curve("near", "no_metric").empty
    assert results.curve("never", "val_loss").empty


def test_curve_of_an_unknown_configuration_is_refused(results: Results) -> None:
    with pytest.raises(StudyError, match="'goood'; did you mean 'good'"):
        results.curve("goood", "val_loss")


def test_curves_are_a_column_a_run(results: Results) -> None:
    curves = results.curves(["cut", "good"], "val_loss", 10)
    assert curves.shape == (10, 2)
    assert curves["cut"].isna().tolist() == [False] * 7 + [True] * 3


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


def test_first_round_is_no_overview_where_there_is_no_original(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO + "rounds: [{title: First, candidates: [a, b]}]\n")
    assert not study.load().rounds[0].is_overview


def test_study_without_rounds_has_one_of_all_configurations(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    (only,) = study.load().rounds
    assert (only.title, only.candidates, only.metric) == ("All configurations", ("a", "b"), LOSS)


def test_round_of_all_configurations_leaves_out_replicates_and_the_final_one(tmp_path: Path) -> None:
    configurations = "final: {units: 8}, a: {replicates: 2}, b: {units: 8, seed: 4}, c: {units: 8}"
    study = Planted(
        tmp_path, f"notebooks: {{run: train.ipynb}}\nconfigurations: {{{configurations}}}\nfinal: final\n"
    )
    (only,) = study.load().rounds
    assert only.candidates == ("a", "b")


def test_metric_of_other_templates_decides(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    for name in ("a", "b"):
        (study.run(name, []) / "history.csv").write_text("epoch,my_accuracy,other\n1,0.5,1\n2,0.6,2\n")
    results = study.load()
    assert results.metric == results.rounds[0].metric == Metric("my_accuracy", Better.HIGHER)
    assert results.watched == [results.metric]
    assert results.scores()["a"].cost == -0.6


# --- what the rule judges by ---
def test_scores_are_of_runs_that_can_be_judged(results: Results) -> None:
    assert list(results.scores()) == results.complete
    assert list(results.scores(epochs=6)) == [
        name for name in results.runs if name in (*results.complete, "cut")
    ]
    assert "cut" not in results.scores(epochs=8)  # it has seven
    assert "broken" not in results.scores(epochs=3)  # it failed
    assert results.scores(metric_called("no_loss")) == {}


def test_scores_are_settled_costs_with_their_spread(results: Results) -> None:
    scores = results.scores(metric_called("val_accuracy"))
    assert scores["far"].cost == pytest.approx(-0.9)
    assert results.scores()["wild"].cost == math.inf
    good = results.scores(epochs=12)["good"]
    assert good.cost == pytest.approx(0.3 + (1 / 11 + 1 / 12) / 2)
    assert good.spread == pytest.approx((1 / 11 - 1 / 12) / math.sqrt(2))
    assert good.settled_epochs == 2
    assert results.scores(by_best_epoch=True)["near"].cost == 0.2
    assert results.scores(by_best_epoch=True)["wild"].cost == 0.4


def test_scores_name_the_first_of_replicates(results: Results) -> None:
    scores = results.scores()
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
    assert {name: score.is_copy for name, score in study.load().scores().items()} == {"a": False, "b": True}


def test_ranking_is_by_the_means_of_replicates(results: Results) -> None:
    ranking = results.ranking()
    assert ranking.title == "settled val_loss"
    assert list(ranking.verdict.costs) == ["wide", "good", "tie", "near", "far", "both", "wild"]
    assert "wild" not in ranking.values and ranking.values["wide"] == pytest.approx(0.295)
    assert ranking.chosen == "good"


def test_rankings_are_by_each_criterion(results: Results) -> None:
    rankings = {ranking.title: ranking.chosen for ranking in results.rankings()}
    assert rankings == {
        "settled val_loss": "good",
        "best val_loss": "near",
        "settled val_accuracy": "near",
        "settled val_cross_entropy": "good",
    }


def test_final_configuration_is_compared_only_where_a_round_names_it(
    results: Results, tmp_path: Path
) -> None:
    assert results.final == "good" and "good" in results.compared
    complete = without_replicates(tmp_path).load()
    assert complete.compared == ["one", "two", "six"]


def test_choice_is_among_the_last_round_as_that_judges(results: Results, tmp_path: Path) -> None:
    choice = results.choose()
    assert list(choice.verdict.costs) == ["wide", "good", "near"]
    assert choice.verdict.costs == results.judge(results.rounds[-1]).costs
    assert choice.chosen == "good"
    assert load_results(tmp_path, missing_ok=True).choose().chosen is None


def test_study_says_its_test_set_and_whether_it_is_a_quick_look(results: Results, tmp_path: Path) -> None:
    assert (results.test, results.overrides) == ("fashion_mnist", {})
    study = Planted(tmp_path, TWO, overrides=[("epochs", "3")])
    assert (study.load().test, study.load().overrides) == (None, {"epochs": 3})


def test_study_has_epochs_where_a_history_has_more_than_one(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.run("a", [0.5])
    assert not study.load().has_epochs
    assert [ranking.title for ranking in study.load().rankings()][:2] == ["val_loss", "val_accuracy"]
    study.run("b", [0.5, 0.4])
    assert study.load().has_epochs


def test_parameters_that_vary(results: Results) -> None:
    assert results.varying == ["hidden_layers", "units", "l2", "dropout", "seed"]
    assert results.factors == ["hidden_layers", "units", "l2", "dropout"]
    assert results.differing("both", "good", results.factors) == ["l2", "dropout"]


def test_factor_compares_with_all_else_equal(results: Results) -> None:
    assert results.shortest == EPOCHS  # wild diverged at epoch 12
    early = results.ranking(epochs=results.shortest)
    l2 = results.factor("l2", early.values)
    assert l2.levels == ["0.0", "0.1", "0.2", "0.3", "0.5"]
    (chain,) = l2.chains
    assert chain.names == ["good", "near", "far", "tie"]  # both has dropout, too, and wild exploded
    assert chain.levels == ["0.0", "0.1", "0.2", "0.5"]
    assert chain.steps == pytest.approx(np.diff(chain.values))
    (units,) = results.factor("units", early.values).chains
    assert units.names == ["good", "wide"]
    assert units.steps == pytest.approx([-0.005])  # between means
    assert results.factor("dropout", early.values).chains == []


def test_levels_of_a_factor_are_in_the_order_of_their_size(tmp_path: Path) -> None:
    grid = "grid: [{name: 'n_{units}', units: [1000, 8, 64]}, {name: 'p_{precision}', precision: [mixed_bfloat16]}]\n"
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\n" + grid)
    names = list(study.record["configurations"])
    for name in names:
        study.run(name, [0.5])
    results = study.load()
    assert results.factor("units", dict.fromkeys(names, 0.5)).levels == ["8", "64", "128", "1000"]
    assert results.factor("precision", dict.fromkeys(names, 0.5)).levels == ["float32", "mixed_bfloat16"]


# --- nothing there, damage, other formats ---
def test_directory_without_a_study_is_refused_with_the_cure(planted: Planted) -> None:
    with pytest.raises(StudyError) as refusal:
        load_results(planted.outputs.parent / "nine")
    message = str(refusal.value)
    assert "nine: there is no study here" in message
    assert f"beside it: {planted.outputs.as_posix()}" in message and "`python runner.py` makes one" in message


@pytest.mark.parametrize("content", [None, b"", b'{"configurations": {"a"', b"[]"])
def test_missing_study_is_empty_where_that_is_allowed(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "study.json").write_bytes(content)
    with pytest.raises(StudyError, match="there is no study here"):
        load_results(tmp_path)
    results = load_results(tmp_path, missing_ok=True)
    assert results.table.empty and results.histories.empty
    assert list(results.histories) == ["configuration", "epoch"]
    assert (results.runs, results.rounds, results.scores(), results.metrics) == ({}, [], {}, [])
    assert not results.is_writable


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_file_of_a_run_counts_as_missing(tmp_path: Path, name: str) -> None:
    study = Planted(
        tmp_path, f"notebooks: {{run: train.ipynb}}\nconfigurations: {{whole: , {name}: {{units: 8}}}}\n"
    )
    study.run("whole", [0.5] * 20)
    file, content = DAMAGES[name]
    (study.run(name, [0.5] * 20) / file).write_bytes(content)
    results = study.load()
    row = results.table.loc[name]
    if file == "run.json":
        assert (row["state"], row["reason"], row["epochs"]) == ("stale", "run.json is damaged", 20)
    if file == "result.json":
        assert (row["state"], row["epochs"]) == ("complete", 20)
        assert pd.isna(row["weights"]) and pd.isna(row["diverged"])
    if file == "history.csv":
        epochs = {"history_cut": 1, "history_words": 3, "history_huge": 2, "history_digits": 1}
        assert (row["state"], row["epochs"]) == ("complete", epochs.get(name, 0))
    assert results.runs["whole"].state is State.COMPLETE
    assert len(results.histories) == 20 + row["epochs"]
    assert "whole" in results.scores() and results.ranking().verdict.best == "whole"


def test_damaged_attempt_counts_as_none(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    (study.run("a", [0.5] * 3, attempt=1) / "run.json").write_text("{")
    assert study.load().runs["a"].state is State.MISSING


def test_damaged_study_json_loads_as_far_as_it_can(tmp_path: Path) -> None:
    study = Planted(tmp_path, WITHOUT_REPLICATES)
    kinds = {"configurations": {"one": 3, "two": None}, "final": 5, "lengthens": []}
    kinds["rounds"] = [3, {"candidates": 4}, {"candidates": ["one", ["two"], "gone", "one"], "epochs": "x"}]
    write_json(study.outputs / "study.json", study.record | kinds)
    results = study.load()
    assert results.incomplete == ["one", "two"]
    assert results.final is None
    assert [each.candidates for each in results.rounds] == [(), ("one",)]
    assert results.table.loc["one", "param_epochs"] == study.record["defaults"]["epochs"]


@pytest.mark.parametrize("file", ["study.json", "a/run.json"])
def test_newer_format_is_refused_and_a_missing_one_counts_as_1(tmp_path: Path, file: str) -> None:
    study = Planted(tmp_path, TWO)
    study.run("a", [0.5])
    path = study.outputs / file
    record = json.loads(path.read_text())
    assert record.pop("format") == FORMAT == 1
    write_json(path, record)
    assert study.load().complete == ["a"]
    write_json(path, record | {"format": 2})
    with pytest.raises(StudyError, match=rf"{re.escape(file)}: has format 2"):
        study.load()


# --- models ---
@pytest.mark.parametrize(("content", "complaint"), [(None, "is not here"), (b"PK", "cannot be loaded")])
def test_model_that_cannot_be_loaded_is_refused_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, complaint: str
) -> None:
    study = without_replicates(tmp_path)
    model = study.outputs / "all" / "model.keras"
    if content is not None:
        model.write_bytes(content)
        monkeypatch.setitem(
            sys.modules, "keras", None
        )  # its import takes seconds; it fails like a damaged file
    with pytest.raises(
        StudyError, match=f"model.keras: {complaint}.*; remove .*/all/ and run the study again"
    ):
        study.load().load_model("all")


def test_environment_is_that_which_the_runner_recorded_where_it_did_for_all(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    recorded = {"processor": "EPYC", "python": "3.12"}
    study.run("a", [0.5], environment=recorded)
    assert study.load().environments == {"a": recorded}
    study.run("b", [0.5])  # as before there were records: all runs are compared by what they say themselves
    told = {"device": "x86_64", "python": "3.11", "keras": "3"}
    assert study.load().environments == {"a": told, "b": told}


def test_changes_of_the_environment_are_in_the_table(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    changes = ["keras 3 -> 4 after epoch 5", "processor EPYC -> Xeon after epoch 7"]
    study.run("a", [0.5], environment_changes=changes)
    study.run("b", [0.5], environment_changes="damaged")
    table = study.load().table["environment_changes"]
    assert table["a"] == "; ".join(changes) and pd.isna(table["b"])


def test_environments_are_devices_and_versions(tmp_path: Path) -> None:
    environments = without_replicates(tmp_path).load().environments
    assert environments["one"] == {"device": "x86_64", "python": "3.11", "keras": "3"}
    assert environments["six"]["python"] == "3.12"


# --- as a package ---
def test_package_has_the_results_public_and_imports_nothing_heavy() -> None:
    assert nbstudy.load_results is load_results
    assert nbstudy.Results is Results
    code = (
        "import sys, nbstudy\n"
        "assert not {'pandas', 'matplotlib', 'keras', 'tensorflow', 'papermill'} & sys.modules.keys()\n"
        "nbstudy.load_results\n"
        "assert not {'matplotlib', 'keras', 'tensorflow', 'papermill', 'scipy'} & sys.modules.keys()\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_results_can_be_moved(planted: Planted, results: Results, tmp_path: Path) -> None:
    shutil.copytree(planted.outputs, tmp_path / "a b")
    assert load_results(str(tmp_path / "a b")).table.equals(results.table)
