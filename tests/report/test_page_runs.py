"""The section on all runs: what decides, and what each came to."""

from __future__ import annotations

from pathlib import Path

from nbstudy.files import write_json
from nbstudy.records.results import Results
from nbstudy.report import factors, runs
from nbstudy.report.loaded import accounts, compute
from nbstudy.report.looks import looks_of
from nbstudy.report.rankings import ranking_of
from nbstudy.report.runs import table_of_runs
from planted import Planted, column, rows
from told import linked, round_of

TWO = "notebooks: {run: train.ipynb}\nconfigurations:\n  a: {}\n  b: {units: 8}\n"


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


FINAL = "  final: {units: 8, refit: true}\nfinal: final\n"
FITTED = "refitted: it learned from the validation data, too"


def test_final_run_that_is_refitted_is_marked_and_never_best(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO + FINAL)
    for name, loss in [
        ("a", 0.5),
        ("b", 0.4),
        ("final", 0.1),
    ]:  # as a template that validates on what it learned
        study.run(name, [loss] * 3, 0.9 - loss)
    results = study.load()
    assert column(rows(table_of_runs(runs.compute(results))), "note") == ["", "", FITTED]
    assert list(ranking_of(results).verdict.costs) == ["b", "a"] and results.choose().chosen == "b"
    assert factors.compute(results).steps.keys() == {"Raising units"}
    assert looks_of(results)["final"].label == "final (refitted)"

    study.record["rounds"] = [{"title": "All", "candidates": ["a", "b", "final"]}]
    write_json(study.outputs / "study.json", study.record)
    table, said = round_of(study.load(), 1)
    assert list(table) == ["b", "a", "final"] and "**The rule keeps all that are judged.**" in said
    assert (table["final"]["rule"], table["final"]["note"].split("; ")[-1]) == ("not judged", FITTED)


def test_final_run_without_the_metric_is_marked_whatever_its_parameters_are_called(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO + "  final: {units: 9}\nfinal: final\n")
    for name, numbers in [("a", {"val_f1": 0.5}), ("b", {"val_f1": 0.6}), ("final", {"f1": 0.9})]:
        study.measure(name, numbers)
    notes = column(rows(table_of_runs(runs.compute(study.load()))), "note")
    assert notes == ["", "", "no val_f1 to judge it by, as of one that learned from the validation data, too"]


def test_candidate_that_is_final_is_judged_as_ever(tmp_path: Path) -> None:
    study = Planted(
        tmp_path, TWO.replace("a: {}", "a: {refit: true}").replace("units: 8", "units: 8, refit: true")
    )
    study.record |= {"final": "a", "rounds": [{"candidates": ["a", "b"]}]}
    write_json(study.outputs / "study.json", study.record)
    for name, loss in [("a", 0.4), ("b", 0.5)]:
        study.run(name, [loss] * 3)
    results = study.load()  # all have a parameter of that name, which means something else there
    assert not results.is_refitted("a") and "a" in ranking_of(results).verdict.costs


def test_final_run_is_shown_below_the_best_of_many(tmp_path: Path) -> None:
    grid = "grid: [{name: 'n_{units}', units: [" + ", ".join(map(str, range(1, 61))) + "]}]\n"
    study = Planted(tmp_path, f"notebooks: {{run: train.ipynb}}\n{grid}configurations:\n{FINAL}")
    for name in study.record["configurations"]:
        study.run(name, [0.01 * study.record["configurations"][name]["units"]] * 2)
    text = table_of_runs(runs.compute(study.load()))
    names = list(rows(text))
    assert names == [*(f"n_{units}" for units in range(1, 51)), "final"]
    assert "These are the first 50 of 61, best first, and final; `results.csv` has all." in text


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
