"""The section on all runs: what decides, and what each came to."""

from __future__ import annotations

from pathlib import Path

from nbstudy.records.results import Results
from nbstudy.report import runs
from nbstudy.report.loaded import accounts, compute
from nbstudy.report.runs import table_of_runs
from planted import Planted, column, rows
from told import linked

TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


def test_table_of_runs_shows_what_each_came_to(results: Results) -> None:
    table = rows(table_of_runs(runs.compute(results)))
    assert list(table) == list(results.runs)
    near = table["near"]
    assert (near["l2"], near["weights"], near["epochs"], near["minutes"]) == ("0.1", "16,000", "20", "1.0")
    assert (near["best val_loss"], near["at epoch"], near["settled val_loss"]) == ("0.2000", "4", "0.3350")
    assert (near["settled val_accuracy"], near["gap"], near["state"]) == ("0.8700", "0.0000", "")
    assert (table["cut"]["state"], table["broken"]["state"], table["never"]["settled val_loss"]) == (
        "unfinished",
        "failed",
        "",
    )
    assert "settled val_cross_entropy" not in near  # the third metric is in results.csv alone


def test_parameters_that_nearly_all_have_in_common_are_named_below_the_others(results: Results) -> None:
    table = rows(table_of_runs(runs.compute(results)))
    assert "units" not in table["good"] and "dropout" not in table["good"]
    assert table["both"]["configuration"].endswith("<br>dropout 0.5")
    assert table["wide_1"]["configuration"].endswith("<br>units 32<br>seed 1")
    assert "<br>" not in table["good"]["configuration"]


def test_what_is_not_usual_in_a_run_is_named_and_noted(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO + "notes: {a: by `hand`}\n")
    study.run("a", [0.5] * 3, result={"ended": "no better for `5` epochs"})
    study.run("b", [0.5] * 3, environment_changes=["keras 3 -> 4 after epoch 2"])
    results = study.load()
    lines = accounts(compute(results)).splitlines()
    careful = "not from one environment, so be careful with small differences"
    assert lines[2:] == [
        f"- {linked(results, 'a')}: ended early: no better for &#96;5&#96; epochs",
        f"- {linked(results, 'b')}: {careful}: keras 3 → 4 after epoch 2",
    ]
    notes = column(rows(table_of_runs(runs.compute(results))), "note")
    assert notes == [
        "by &#96;hand&#96;; ended early: no better for &#96;5&#96; epochs",
        "keras 3 → 4 after epoch 2",
    ]
    assert list(results.table["note"].fillna("")) == ["by `hand`", ""]
