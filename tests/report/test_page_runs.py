"""The section on all configurations: what decides, and what each came to."""

from __future__ import annotations

from pathlib import Path

from nbstudy.files import write_json
from nbstudy.records.results import Results
from nbstudy.report import factors
from nbstudy.report.loaded import accounts, compute
from nbstudy.report.looks import looks_of
from nbstudy.report.rankings import ranking_of
from nbstudy.report.runs import write
from planted import Planted, column, rows
from told import configurations_of, linked, round_of, runs_in

TWO = "notebooks: {run: train.ipynb}\nconfigurations:\n  a: {}\n  b: {units: 8}\n"


def test_table_shows_what_each_configuration_came_to(results: Results) -> None:
    table = configurations_of(results)
    assert list(table) == [*dict.fromkeys(results.parameters.first.values())]
    near = table["near"]
    assert (near["l2"], near["weights"], near["minutes"]) == ("0.1", "16,000", "1.0")
    assert (near["best val_loss"], near["settled val_loss"]) == ("**0.2000**", "**0.3350**")
    assert (near["settled val_accuracy"], table["far"]["settled val_accuracy"]) == (
        "**0.8700**",
        "**0.9200**",
    )
    assert table["both"]["settled val_loss"] == "0.5000"  # which the rule drops
    assert table["wide"]["settled val_loss"] == "**0.2950**"  # the mean of two
    seed = results.runs["wide_1"].directory / "wide_1.ipynb"
    assert table["wide"]["configuration"] == f"{linked(results, 'wide')} (seeds [1]({seed.as_posix()}))"
    assert (table["cut"]["note"], table["broken"]["note"]) == ("unfinished", "failed")
    assert (table["cut"]["hidden_layers"], table["never"]["settled val_loss"]) == ("3", "")


def test_parameters_that_nearly_all_have_in_common_are_notes_of_the_others(results: Results) -> None:
    table = configurations_of(results)
    assert "units" not in table["good"] and "dropout" not in table["good"]
    assert table["both"]["note"] == "dropout 0.5" and table["wide"]["note"] == "units 32"
    assert table["good"]["note"] == ""


def test_state_of_replicates_is_counted(tmp_path: Path) -> None:
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: {replicates: 7}}\n")
    study.run("a", [0.5, 0.4])
    study.run("a_seed_1", [0.5], attempt=1)
    table = configurations_of(study.load())
    assert table["a"]["note"] == "6 of 7 runs unfinished or missing"
    assert table["a"]["configuration"].endswith(", 2, 3, 4, 5, 1 more)")


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
    assert column(configurations_of(results), "note") == ["", "", FITTED]
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
    notes = column(configurations_of(study.load()), "note")
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
    text = write(runs_in(study.load()))
    names = list(rows(text))
    assert names == [*(f"n_{units}" for units in range(1, 21)), "final"]
    assert "These are the first 20 of 61, best first, and final; `results.csv` has all." in text


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
    notes = column(configurations_of(results), "note")
    assert notes == [
        "by &#96;hand&#96;; ended early: no better for &#96;5&#96; epochs",
        "keras 3 → 4 after epoch 2",
    ]
    assert list(results.table["note"].fillna("")) == ["by `hand`", ""]
