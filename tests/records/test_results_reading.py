"""Which run of a configuration counts, what is read of it, and damage."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nbstudy.checks import StudyError
from nbstudy.files import FORMAT, write_json
from nbstudy.records.results import Results, load_results
from nbstudy.records.scores import scores_of
from nbstudy.records.states import State
from nbstudy.report.rankings import ranking_of
from planted import DAMAGES, WITHOUT_REPLICATES, Planted

TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


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


@pytest.mark.parametrize("result", [{"ended": "no better for two epochs"}, {"diverged": 3}])
def test_run_that_ended_early_counts_as_complete_for_any_larger_number(
    tmp_path: Path, result: dict[str, Any]
) -> None:
    study = Planted(tmp_path, TWO)
    for name, epochs in [("a", 5), ("b", 2)]:
        asked = study.record["configurations"][name]
        study.run(
            name, [0.5] * epochs, parameters=asked | {"epochs": 5}, result=result if name == "a" else {}
        )
    assert study.load().table["state"].tolist() == ["complete", "stale"]


def test_attempt_counts_before_a_stale_run(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.run("a", [0.5] * 4, code="other")
    assert study.load().runs["a"].reason == "train.ipynb changed"
    study.run("a", [0.5] * 3, attempt=1)
    assert study.load().table.loc["a", ["state", "epochs"]].tolist() == ["unfinished", 3]


def test_damaged_run_decides_nothing_though_an_attempt_to_lengthen_it_began(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    shorter = study.record["configurations"]["a"] | {"epochs": 2}
    study.run("a", [0.9, 0.8], parameters=shorter)
    study.run("a", [0.9, 0.8], attempt=1)
    assert study.load().runs["a"].earlier is not None
    (study.outputs / "a" / "history.csv").write_text("")
    assert study.load().runs["a"].earlier is None


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


# --- what is read of it ---
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


# --- nothing there, damage, other formats ---
def test_directory_without_a_study_is_refused_with_the_cure(planted: Planted) -> None:
    with pytest.raises(StudyError) as refusal:
        load_results(planted.outputs.parent / "nine")
    message = str(refusal.value)
    assert "nine: there is no study here" in message
    assert (
        f"beside it: {planted.outputs.as_posix()}" in message
        and "`nbstudy params/NAME.yaml` makes" in message
    )


@pytest.mark.parametrize("content", [None, b"", b'{"configurations": {"a"', b"[]"])
def test_missing_study_is_empty_where_that_is_allowed(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "study.json").write_bytes(content)
    with pytest.raises(StudyError, match="there is no study here"):
        load_results(tmp_path)
    results = load_results(tmp_path, missing_ok=True)
    assert results.table.empty and results.histories.empty
    assert list(results.histories) == ["configuration", "epoch"]
    assert (results.runs, results.rounds, scores_of(results), results.metrics) == ({}, [], {}, [])
    assert not results.is_writable


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_file_of_a_run_counts_as_missing(tmp_path: Path, name: str) -> None:
    study = Planted(
        tmp_path, f"notebooks: {{run: train.ipynb}}\nconfigurations: {{whole: , {name}: {{units: 8}}}}\n"
    )
    study.run("whole", [0.5] * 20)
    file, content = DAMAGES[name]
    place = study.run(name, [0.5] * 20)
    study.seal(name)
    (place / file).write_bytes(content)
    results = study.load()
    row = results.table.loc[name]
    assert (row["state"], row["reason"]) == ("stale", f"{file} is damaged")
    if file == "result.json":
        assert pd.isna(row["weights"]) and pd.isna(row["diverged"])
    epochs = {"history_cut": 1, "history_words": 3, "history_huge": 2, "history_digits": 1}
    assert row["epochs"] == (epochs.get(name, 0) if file == "history.csv" else 20)
    assert results.runs["whole"].state is State.COMPLETE
    assert len(results.histories) == 20 + row["epochs"]
    assert "whole" in scores_of(results) and ranking_of(results).verdict.best == "whole"


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
