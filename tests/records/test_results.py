"""What load_results gives to anybody's own notebook."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import nbstudy
from nbstudy.checks import StudyError
from nbstudy.files import write_json
from nbstudy.records.results import Results, load_results
from planted import Planted, without_replicates
from project import ROOT

TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


def test_study_says_its_test_set_and_whether_it_is_a_quick_look(results: Results, tmp_path: Path) -> None:
    assert (results.test, results.overrides) == ("test.ipynb", {})
    study = Planted(tmp_path, TWO, overrides=[("epochs", "3")])
    assert (study.load().test, study.load().overrides) == (None, {"epochs": 3})


def test_whole_numbers_and_fractions_are_values_of_one_parameter(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    configurations = study.record["configurations"]
    configurations["a"] |= {"l2": 1, "units": 8}
    configurations["b"] |= {"l2": 1.0}
    write_json(study.outputs / "study.json", study.record)
    results = study.load()
    assert (
        results.parameters.differing("a", "b", results.parameters.factors) == []
        and results.parameters.first["b"] == "a"
    )


def test_parameters_that_vary(results: Results) -> None:
    assert results.parameters.varying == ["hidden_layers", "units", "l2", "dropout", "seed"]
    assert results.parameters.factors == ["hidden_layers", "units", "l2", "dropout"]
    assert results.parameters.differing("both", "good", results.parameters.factors) == ["l2", "dropout"]


# --- models ---
@pytest.mark.parametrize(("content", "complaint"), [(None, "is not here"), (b"PK", "cannot be loaded")])
def test_model_that_cannot_be_loaded_is_refused_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, complaint: str
) -> None:
    study = without_replicates(tmp_path)
    model = study.outputs / "all" / "model.keras"
    if content is not None:
        model.write_bytes(content)
        # which finds no model in it: importing Keras would take seconds
        monkeypatch.setitem(sys.modules, "keras", ModuleType("keras"))
    with pytest.raises(
        StudyError, match=f"model.keras: {complaint}.*; unless git has it, remove .*/all/ and run"
    ):
        study.load().load_model("all")


@pytest.mark.parametrize(
    ("record", "state", "cure"),
    [
        (
            {"checkpoint": "model.pt"},
            "complete",
            "load_model is for Keras, and what this run leaves is {all}/model.pt: load that as its template does",
        ),
        ({"lengthens": None}, "complete", "nothing says that its template leaves one: see {all}/all.ipynb"),
        ({}, "missing", "run the study again, which trains it"),
        ({}, "unfinished", "run the study again, which trains it"),
    ],
)
def test_run_is_not_to_be_removed_where_that_would_bring_no_model(
    tmp_path: Path, record: dict[str, Any], state: str, cure: str
) -> None:
    study = without_replicates(tmp_path)
    write_json(study.outputs / "study.json", study.record | record)
    if state != "complete":
        shutil.rmtree(study.outputs / "all")
    if state == "unfinished":
        study.run("all", [0.5] * 3, attempt=1)
    with pytest.raises(StudyError) as refusal:
        study.load().load_model("all")
    assert refusal.value.message.endswith("; " + cure.format(all=(study.outputs / "all").as_posix()))


def test_checkpoint_of_a_run_is_the_file_that_its_template_names(tmp_path: Path) -> None:
    study = without_replicates(tmp_path)
    assert study.load().runs["all"].checkpoint == study.outputs / "all" / "model.keras"
    write_json(study.outputs / "study.json", study.record | {"checkpoint": "model.pt"})
    assert study.load().runs["all"].checkpoint == study.outputs / "all" / "model.pt"


def test_model_without_keras_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = without_replicates(tmp_path)
    (study.outputs / "all" / "model.keras").write_bytes(b"PK")
    monkeypatch.setitem(sys.modules, "keras", None)  # as where it is not installed
    with pytest.raises(
        StudyError, match=r"needs keras, which is not installed here.*pip install '/path/to/nbstudy\[keras\]'"
    ):
        study.load().load_model("all")


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
