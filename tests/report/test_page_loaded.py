"""The section on what was loaded: every run is accounted for, and environments are compared."""

from __future__ import annotations

from pathlib import Path

from nbstudy.records.results import Results, load_results
from nbstudy.report.loaded import accounts, compute, environments, recorded_environments, write
from nbstudy.report.markdown import code
from planted import Planted, column, rows, without_replicates

TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


def test_every_run_is_accounted_for(results: Results) -> None:
    place = results.directory.as_posix()
    assert accounts(compute(results)).splitlines() == [
        "**10 of 14 configurations are complete.**",
        "",
        f"- [wild]({place}/wild/wild.ipynb): its loss was no longer finite at epoch 12, and training ended there",
        f"- [cut]({place}/incomplete/cut/2/cut.ipynb): unfinished at epoch 7",
        f"- [broken]({place}/incomplete/broken/1/broken.ipynb): failed at epoch 3: {code('ValueError: a|b `c`')}",
        f"- [old]({place}/old/old.ipynb): stale at epoch 20: l2 0.7 → 0.0",
        "- never: missing",
        "- other: extra, on disk but not in the study",
    ]


def test_different_environments_are_a_warning(results: Results, single: Results) -> None:
    text = environments(compute(single))
    assert text.startswith("**Warning: runs differ in library versions or hardware,**")
    table = rows(text)
    assert column(table, "python") == ["3.11", "3.12"] and list(table) == ["3", "1"]
    assert column(table, "configurations") == ["one, two and all", "six"]
    assert "keras" not in table["3"]  # which is the same for all
    text = environments(compute(results))
    assert "Warning" not in text
    assert text == "Runs were made with device x86_64, python 3.11 and keras 3."


def test_missing_study_is_said_with_the_cure(results: Results) -> None:
    nowhere = results.directory.parent / "nowhere"
    text = write(compute(load_results(nowhere, missing_ok=True)))
    assert text.startswith(f"**There is no study in `{nowhere.as_posix()}`**")
    assert results.directory.as_posix() in text and text.endswith("`python runner.py` makes one.")
    assert "**10 of 14" in write(compute(results)) and "x86_64" in write(compute(results))


def test_environments_that_the_runner_recorded_are_compared(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.measure("a", {"auc": 0.5}, environment={"processor": "EPYC", "python": "3.12"})
    assert environments(compute(study.load())) == "Runs were made with processor EPYC and python 3.12."
    study.measure("b", {"auc": 0.5}, environment={"processor": "Xeon", "python": "3.12", "XLA_FLAGS": "x"})
    text = environments(compute(study.load()))
    assert text.startswith("**Warning: runs differ") and "| 1 | EPYC |  | a |\n| 1 | Xeon | x | b |" in text


def test_environment_is_that_which_the_runner_recorded_where_it_did_for_all(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    recorded = {"processor": "EPYC", "python": "3.12"}
    study.run("a", [0.5], environment=recorded)
    assert recorded_environments(study.load().runs) == {"a": recorded}
    study.run("b", [0.5])  # as before there were records: all runs are compared by what they say themselves
    told = {"device": "x86_64", "python": "3.11", "keras": "3"}
    assert recorded_environments(study.load().runs) == {"a": told, "b": told}


def test_environments_are_devices_and_versions(tmp_path: Path) -> None:
    environments = recorded_environments(without_replicates(tmp_path).load().runs)
    assert environments["one"] == {"device": "x86_64", "python": "3.11", "keras": "3"}
    assert environments["six"]["python"] == "3.12"
