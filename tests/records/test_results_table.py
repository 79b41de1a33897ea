"""The table and the histories of a study, for anybody's own notebook."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nbstudy.checks import StudyError
from nbstudy.decision.metrics import metric_called
from nbstudy.records.progress import describe_progress
from nbstudy.records.results import Results
from nbstudy.records.scores import scores_of
from nbstudy.report.factors import shortest
from nbstudy.report.rankings import rankings_of, watched_metrics
from planted import COLUMNS, EPOCHS, Planted

TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


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


def test_metric_of_every_fifth_epoch_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    place = study.run("a", [])
    lines = [
        f"{epoch},{max(1.0, 21.0 - epoch):g},{epoch / 100 if epoch % 5 == 0 else ''}"
        for epoch in range(1, 21)
    ]
    lines[18] = "19,1.7,"
    (place / "history.csv").write_text("\n".join(["epoch,val_loss,val_f1", *lines]) + "\n")
    row = study.load().table.loc["a"]
    assert (row["epochs"], row["settled_val_loss"]) == (20, 1.35)
    assert (row["settled_val_f1"], row["best_val_f1_epoch"]) == (0.2, 20)


def test_loss_without_a_value_at_its_end_settles_nowhere_and_is_dropped(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.run("b", [0.5] * 20)
    lines = [f"{epoch},{0.3 if epoch < 9 else ''}" for epoch in range(1, 21)]
    (study.run("a", []) / "history.csv").write_text("\n".join(["epoch,val_loss", *lines]) + "\n")
    results = study.load()
    assert results.table.loc["a", "epochs"] == 20 and math.isnan(results.table.loc["a", "settled_val_loss"])
    assert scores_of(results)["a"].cost == math.inf
    assert results.choose().chosen == "b"
    assert scores_of(results, epochs=8)["a"].cost == 0.3


@pytest.mark.parametrize(("epochs", "is_judged"), [(5, True), (6, False)])
def test_run_that_may_still_write_its_last_value_is_not_judged_yet(
    tmp_path: Path, epochs: int, is_judged: bool
) -> None:
    study = Planted(tmp_path, TWO)
    lines = [f"{epoch},1,{0.3 if epoch < 6 else ''}" for epoch in range(1, 7)]
    (study.run("a", [], attempt=1) / "history.csv").write_text("\n".join(["epoch,loss,val_loss", *lines, ""]))
    assert ("a" in scores_of(study.load(), epochs=epochs)) is is_judged


@pytest.mark.parametrize(
    ("weights", "expected"), [(12.0, 12), (12, 12), (12.5, None), (True, None), (-1, None), (math.nan, None)]
)
def test_number_of_weights_is_whole_however_it_is_written(
    tmp_path: Path, weights: float, expected: int | None
) -> None:
    study = Planted(tmp_path, TWO)
    study.run("a", [0.5], result={"weights": weights, "diverged": 7.0})
    run = study.load().runs["a"]
    assert (run.weights, run.diverged) == (expected, 7)
    assert describe_progress(run.directory).endswith("diverged at epoch 7")


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


def test_numbers_of_result_json_are_columns_and_metrics(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.measure("a", {"val_accuracy": 0.9, "support": 12, "name": "x", "flag": True, "nested": {"b": 1}})
    study.measure("b", {"val_accuracy": 0.95, "val_f1": math.nan, "error": 0.25, "weights": 0})
    results = study.load()
    assert results.metrics == ["val_accuracy", "support", "val_f1", "error"]
    assert (results.metric.name, [metric.name for metric in watched_metrics(results)]) == (
        "val_accuracy",
        ["val_accuracy", "val_f1"],
    )
    table = results.table
    assert table["val_accuracy"].tolist() == [0.9, 0.95] and table["support"].tolist() == [12, pd.NA]
    assert table.loc["b", "result_error"] == 0.25 and table["error"].isna().all()  # that of an attempt
    assert table["weights"].isna().all() and results.sizes == {}
    assert not {"name", "flag", "nested", "gap"} & set(table)
    assert results.curve("a").tolist() == [0.9] and results.curve("a", epochs=5).tolist() == [0.9]
    assert scores_of(results)["b"].cost == -0.95
    assert scores_of(results, metric_called("val_f1"))["b"].cost == math.inf  # no longer finite
    assert [ranking.title for ranking in rankings_of(results)] == ["val_accuracy", "val_f1"]
    assert (results.has_epochs, shortest(results), results.choose().chosen) == (False, None, "b")


def test_metric_in_history_and_result_is_that_of_the_history(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.run("a", [0.5] * 20, val_accuracy=0.7, result={"val_accuracy": 0.9, "val_f1": 0.6})
    study.run("b", [0.5] * 20, val_accuracy=0.8)
    results = study.load()
    assert (
        results.numbers == ["val_f1"] and scores_of(results, metric_called("val_accuracy"))["a"].cost == -0.7
    )
    assert results.title(metric_called("val_accuracy")) == "settled val_accuracy"
    assert results.title(metric_called("val_f1")) == "val_f1"
    assert "val_accuracy" not in results.table and results.table.loc["a", "val_f1"] == 0.6


@pytest.mark.parametrize("value", [10**30, -(10**400), 1e400, "0.5", [0.5], None])
def test_odd_numbers_of_result_json_damage_nothing(tmp_path: Path, value: object) -> None:
    study = Planted(tmp_path, TWO)
    study.measure("a", {"val_loss": 0.5, "odd": value})
    assert study.load().table.loc["a", "val_loss"] == 0.5


def test_best_epoch_is_left_out_of_the_table_where_nobody_knows_what_is_better(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    (study.run("a", []) / "history.csv").write_text("epoch,my_score,f1\n1,0.5,0.5\n2,0.6,0.6\n")
    table = study.load().table
    assert {"settled_my_score", "best_f1"} <= set(table) and "best_my_score" not in table


def test_changes_of_the_environment_are_in_the_table(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    changes = ["keras 3 -> 4 after epoch 5", "processor EPYC -> Xeon after epoch 7"]
    study.run("a", [0.5], environment_changes=changes)
    study.run("b", [0.5], environment_changes="damaged")
    table = study.load().table["environment_changes"]
    assert table["a"] == "; ".join(changes) and pd.isna(table["b"])


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
