"""The projects in examples/, run as somebody would who copied one."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nbstudy.records.results import load_results
from project import PATIENCE, ROOT, content_of, kept_by, read, read_run


def copied(name: str, place: Path) -> Path:
    """Copy an example to a place of its own, without what it left."""
    return shutil.copytree(ROOT / "examples" / name, place / name, ignore=shutil.ignore_patterns("outputs"))


def run(study: Path, *options: str) -> str:
    """Run a study of another project with this checkout's command; return what it printed."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "runner.py"), str(study), *options],
        cwd=study.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_regression_opens_its_own_test_set_and_notices_what_changes(tmp_path: Path) -> None:
    project = copied("regression", tmp_path)
    study = project / "params" / "ridge.yaml"
    # half of the penalties and of the replicates, for time
    text = study.read_text().replace("[0.1, 10.0, 1000.0], replicates: 5", "[10.0, 1000.0], replicates: 2")
    study.write_text(text)
    run(study)
    outputs = project / "outputs" / "ridge"
    results = load_results(outputs)
    assert results.choose().chosen == "ridge_1_10.0" and results.complete == list(results.runs)
    test = read(outputs / "test" / "result.json")
    assert 45 < test["test_error"] < 60 and test["test_patients"] == 89
    assert "val_error" not in read(outputs / "final" / "result.json")
    assert read_run(outputs / "final")["inputs"].keys() == {"data/diabetes.csv"}
    before = content_of(project)
    run(study)
    assert content_of(project) == before

    module = project / "src" / "progress" / "patients.py"
    module.write_text(module.read_text().replace("iloc[::5]", "iloc[1::5]"))
    assert "progress/patients.py changed" in run(study, "--dry-run")
    module.write_text(module.read_text().replace("iloc[1::5]", "iloc[::5]"))
    data = project / "data" / "diabetes.csv"
    data.write_text(data.read_text().replace("59.0,", "60.0,", 1))
    assert "data/diabetes.csv changed" in run(study, "--dry-run")


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not required here")
def test_network_in_pytorch_is_trained_on_from_its_own_checkpoint(tmp_path: Path) -> None:
    project = copied("pytorch", tmp_path)
    study = project / "params" / "cnn.yaml"
    run(study)
    outputs = project / "outputs" / "cnn"
    results = load_results(outputs)
    assert len(results.complete) == 12 and results.runs["cnn_16_0.0"].checkpoint.name == "model.pt"
    assert len(results.judge(results.rounds[-1]).costs) == 2
    straight = tmp_path / "straight"
    shutil.copytree(project, straight, ignore=shutil.ignore_patterns("outputs"))
    names = [name for name, run in results.runs.items() if run.epochs == 6]
    lines = "".join(f"  {name}: {results.runs[name].parameters}\n" for name in names)
    (straight / "params" / "all.yaml").write_text(
        f"notebooks: {{run: cnn.ipynb, summary: null}}\nconfigurations:\n{lines}"
    )
    run(straight / "params" / "all.yaml")
    uninterrupted = kept_by(straight / "outputs" / "all", "history.csv")
    climbed = kept_by(outputs, "history.csv")
    assert uninterrupted == {name: climbed[name] for name in names} and len(names) == 9
