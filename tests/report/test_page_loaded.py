"""The section on what was loaded: every run is accounted for, and environments are compared."""

from __future__ import annotations

from pathlib import Path

from nbstudy.markdown import code
from nbstudy.records.results import Results, load_results
from nbstudy.report.loaded import acceptances, accounts, compute, environments, recorded_environments, write
from planted import Planted, column, rows, without_replicates
from project import change

TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


def test_every_run_is_accounted_for(results: Results) -> None:
    place = results.directory.as_posix()
    assert accounts(compute(results)).splitlines() == [
        "**10 of 14 runs are complete.**",
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
    assert results.directory.as_posix() in text and text.endswith(
        "`nbstudy params/NAME.yaml` makes that of outputs/NAME."
    )
    assert "**10 of 14" in write(compute(results)) and "x86_64" in write(compute(results))


def test_environments_that_the_runner_recorded_are_compared(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.measure("a", {"auc": 0.5}, environment={"processor": "EPYC", "python": "3.12"})
    assert (
        environments(compute(study.load()))
        == "Runs were made with processor EPYC, python 3.12 and threads 1."
    )
    study.measure("b", {"auc": 0.5}, environment={"processor": "Xeon", "python": "3.12", "XLA_FLAGS": "x"})
    text = environments(compute(study.load()))
    assert text.startswith("**Warning: runs differ") and "| 1 | EPYC |  | a |\n| 1 | Xeon | x | b |" in text


def test_environment_is_that_which_the_runner_recorded_where_it_did_for_all(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    recorded = {"processor": "EPYC", "python": "3.12"}
    study.run("a", [0.5], environment=recorded)
    assert recorded_environments(study.load().runs) == {"a": recorded | {"threads": "1"}}
    study.run("b", [0.5])  # as before there were records: all runs are compared by what they say themselves
    told = {"device": "x86_64", "python": "3.11", "keras": "3"}
    assert recorded_environments(study.load().runs) == {"a": told, "b": told}


def test_threads_and_instructions_are_compared_where_they_are_known(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    recorded = {"processor": "EPYC"}
    record = study.measure("a", {"auc": 0.5}, environment=recorded) / "run.json"
    study.measure("b", {"auc": 0.5}, environment=recorded | {"instructions": "avx2"})
    assert environments(compute(study.load())) == "Runs were made with processor EPYC and threads 1."
    change(record, environment=recorded | {"instructions": "avx2 avx512f"})
    assert "| 1 | avx2 avx512f | a |" in environments(compute(study.load()))
    change(record, environment=recorded, accepted=["threads 2"])
    assert "| 1 | 2, accepted | a |\n| 1 | 1 | b |" in environments(compute(study.load()))


def test_environments_are_devices_and_versions(tmp_path: Path) -> None:
    environments = recorded_environments(without_replicates(tmp_path).load().runs)
    assert environments["one"] == {"device": "x86_64", "python": "3.11", "keras": "3"}
    assert environments["six"]["python"] == "3.12"


def test_history_that_cannot_be_read_is_said_by_its_line(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    for name, content in [("a", "epoch,loss,loss\n1,0.5,0.6\n"), ("b", "epoch,val_loss\n1,0.5\n2,0.4\n3")]:
        (study.run(name, []) / "history.csv").write_text(content)
    _, _, a, b = accounts(compute(study.load())).splitlines()
    assert "a.ipynb): history.csv, line 1: names two columns 'loss', which differ; give each" in a
    assert "b.ipynb): history.csv, line 4: the last row was cut short; write all its cells" in b


def test_loss_that_has_no_value_at_its_end_is_said(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    for name in ("a", "b"):
        (study.run(name, []) / "history.csv").write_text("val_loss,loss\n0.5,1\n0.4,1\n,1\n")
    assert "a.ipynb): no val_loss after epoch 2, which counts as not finite" in accounts(
        compute(study.load())
    )


def test_what_was_accepted_is_named(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.run("a", [0.5], accepted=["0123456789abcdef", "data/x y.csv fedcba9876543210", "threads 4"])
    study.run("b", [0.5], accepted=["0123456789abcdef"])
    assert acceptances(compute(study.load()).accepted) == (
        "**Accepted** by `--accept` as they were, though this is not today's any more: the template's code (a and b), "
        "data/x y.csv (a) and threads 4 (a)."
    )
    assert "**Accepted**" in write(compute(study.load())) and acceptances({}) == ""
