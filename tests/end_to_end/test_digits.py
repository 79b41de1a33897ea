"""The study of handwritten digits: a template of scikit-learn's classifiers, and what its summary says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from asked import load_whole
from nbstudy.checks import StudyError
from nbstudy.records.results import load_results
from nbstudy.study.study import load_study
from project import ROOT, Project, executed, outputs_of, read

TEMPLATE = ROOT / "notebooks" / "digits.ipynb"

# a tenth of the images to learn from, few trees and few units: each is fitted in a moment
SMALL = {"validation_size": 0.9, "n_estimators": 10, "hidden_layers": [8]}

SMALL_STUDY = """
notebooks: {run: digits.ipynb, summary: summary.ipynb}
metric: val_accuracy
configurations:
  neighbour: {model: knn, n_neighbors: 1, replicates: 2}
  penalized: {model: logistic, C: 0.001}
rounds:
  - {title: Two families, candidates: [neighbour, penalized]}
"""


def fit(directory: Path, **parameters: Any) -> dict[str, float]:
    """Run the template's code here, but for its figure, with these parameters; return what result.json says."""
    names: dict[str, Any] = {}
    for cell in nbformat.read(TEMPLATE, as_version=4).cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code" and "presentation" not in tags:
            exec(cell.source, names)  # noqa: S102 - the template's own code, without a kernel
        if "parameters" in tags:
            names.update(parameters)
    return read(directory / "result.json")


@pytest.mark.parametrize("model", ["logistic", "knn", "svm", "forest", "mlp"])
def test_result_is_a_function_of_the_seed(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = fit(tmp_path, model=model, seed=1, **SMALL)
    assert first == fit(tmp_path, model=model, seed=1, **SMALL)
    assert first != fit(tmp_path, model=model, seed=2, **SMALL)
    assert 0.5 < first["val_accuracy"] <= first["accuracy"] <= 1
    assert first["val_log_loss"] > 0


def test_study_holds_replicates_of_all_that_it_compares() -> None:
    study = load_study(ROOT / "params" / "digits.yaml")
    for each in study.rounds:
        for name in each["candidates"]:
            replicate = study.configurations[f"{name}_seed_1"]
            assert replicate == study.configurations[name] | {"seed": 1}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("model: tree", "model must be logistic, knn, svm, forest or mlp, not 'tree'"),
        ("C: 0", "C must be above 0, not 0"),
        ("gamma: -1.5", "gamma must be above 0, not -1.5"),
        ("n_neighbors: 2.5", "n_neighbors must be a whole number, at least 1, not 2.5"),
        ("n_estimators: 0", "n_estimators must be a whole number, at least 1, not 0"),
        ("hidden_layers: [64, 0]", "hidden_layers must hold whole numbers, at least 1, not 0"),
        ("hidden_layers: [many]", "hidden_layers must hold whole numbers, at least 1, not 'many'"),
        ("validation_size: 1", "validation_size must be 0.1 to 0.9, not 1"),
        ("seed: -1", "seed must be a whole number, 0 to 4294967295, not -1"),
    ],
)
def test_values_that_make_no_sense_are_refused(given: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as refusal:
        load_whole(tmp_path, f"notebooks: {{run: digits.ipynb}}\nconfigurations:\n  one: {{{given}}}\n")
    assert expected in refusal.value.message


def test_summary_chooses_without_epochs_weights_or_a_test_set(project: Project) -> None:
    project.run(project.study(SMALL_STUDY))
    results = load_results(project.outputs("mine"))
    assert results.choose().chosen == "neighbour"
    log = executed(project.outputs("mine", "neighbour"))
    assert "image/png" in outputs_of(log)
    page = outputs_of(nbformat.read(project.outputs("mine", "summary.ipynb"), as_version=4))
    assert "neighbour" in page and "val_accuracy" in page
    for absent in ("weights", "noise of nan", "| nan", "settled val_", "test set"):
        assert absent not in page
