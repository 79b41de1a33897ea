"""train.ipynb on the real Fashion-MNIST, shrunk to small networks and few epochs: what it trains and says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

from project import NETWORK, PATIENCE, ROOT, Project, executed, outputs_of, read


def history_of(directory: Path) -> np.ndarray:
    """Return a run's history as a structured array, a row an epoch."""
    return np.genfromtxt(directory / "history.csv", delimiter=",", names=True)


# --- what it trains ---
def test_log_says_what_was_trained(trained: Project) -> None:
    place = trained.outputs("mine", "plain")
    text = outputs_of(executed(place))
    assert "50,000 training images in 98 batches of up to 512, 10,000 validation images." in text
    assert "Trained 4 epochs here" in text
    result = read(place / "result.json")
    assert result["weights"] == 784 * 16 + 16 + 16 * 16 + 16 + 16 * 10 + 10
    assert (result["epochs"], result["diverged"]) == (4, None)
    assert set(result["versions"]) == {"python", "tensorflow", "keras", "numpy", "sklearn"}


def test_history_separates_the_penalty_from_the_cross_entropy(trained: Project) -> None:
    history = history_of(trained.outputs("mine", "plain"))
    names = list(history.dtype.names)
    assert names[:4] == ["epoch", "loss", "accuracy", "cross_entropy"]
    assert names[4:] == ["val_loss", "val_accuracy", "val_cross_entropy"]
    assert list(history["epoch"]) == [1, 2, 3, 4]
    # the penalty of the last epoch's weights is what val_loss has more than val_cross_entropy
    assert np.all(history["val_loss"] > history["val_cross_entropy"] + 0.01)


def test_network_learns(trained: Project) -> None:
    assert history_of(trained.outputs("mine", "plain"))["val_accuracy"][-1] > 0.75


def test_refit_trains_on_all_images_without_validation(trained: Project) -> None:
    place = trained.outputs("mine", "final")
    assert "60,000 training images in 118 batches of up to 512, no validation" in outputs_of(executed(place))
    assert (place / "history.csv").read_text().startswith("epoch,loss,accuracy,cross_entropy\n")


def test_mixed_bfloat16_learns_as_well(project: Project, trained: Project) -> None:
    study = project.study(
        f"notebooks: {{run: train.ipynb}}\nconfigurations: {{plain: {{{NETWORK}, dropout: 0.0, epochs: 4}}}}"
    )
    project.run(study, "-p", "precision", "mixed_bfloat16")
    exact = history_of(trained.outputs("mine", "plain"))
    mixed = history_of(project.outputs("mine+precision=mixed_bfloat16", "plain"))
    assert not np.array_equal(exact["val_loss"], mixed["val_loss"])
    assert abs(exact["val_accuracy"][-1] - mixed["val_accuracy"][-1]) < 0.05  # after four epochs


def test_number_of_jobs_changes_no_result(project: Project, trained: Project) -> None:
    # one run at a time has all cores, of two at a time each has one
    study = project.study(
        "notebooks: {run: train.ipynb}\n"
        f"configurations: {{dropout: {{{NETWORK}, dropout: 0.3, epochs: 4}}}}"
    )
    project.run(study, "--jobs", "1")
    alone = project.outputs("mine", "dropout", "history.csv")
    assert alone.read_bytes() == trained.outputs("mine", "dropout", "history.csv").read_bytes()


def test_divergence_ends_the_run_early_and_is_said_everywhere(project: Project) -> None:
    study = project.study(
        "notebooks: {run: train.ipynb, summary: summary.ipynb}\n"
        f"configurations: {{wild: {{{NETWORK}, l2: 1.0e+38, epochs: 50}}}}"
    )
    printed = project.run(study)
    found = re.search(r"wild: (\d) epochs.*diverged at epoch \1, ", printed)
    assert found, printed
    place = project.outputs("mine", "wild")
    assert read(place / "result.json")["diverged"] == int(found[1])
    assert "no longer finite at epoch" in outputs_of(executed(place))
    summary = nbformat.read(project.outputs("mine", "summary.ipynb"), as_version=4)
    assert f"no longer finite at epoch {found[1]}" in outputs_of(summary)
    assert "1 of 1 complete" in project.run(study)


# --- by itself ---
def papermill(place: Path, *parameters: str) -> subprocess.CompletedProcess[str]:
    """Execute train.ipynb without the runner, for one epoch of a network of eight units a layer."""
    template = str(ROOT / "notebooks" / "train.ipynb")
    command = [sys.executable, "-m", "papermill", template, "out.ipynb", "-p", "epochs", "1"]
    command += ["-p", "units", "8", "--no-progress-bar", *parameters]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, timeout=PATIENCE)


@pytest.fixture(scope="module")
def by_itself(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which train.ipynb was executed without the runner."""
    place = tmp_path_factory.mktemp("by_itself")
    done = papermill(place)
    assert done.returncode == 0, done.stderr
    return place


def test_template_works_by_itself_and_writes_to_its_directory_only(by_itself: Path) -> None:
    made = {"out.ipynb", "history.csv", "model.keras", "result.json"}
    assert {path.name for path in by_itself.iterdir()} == made


def test_template_refuses_the_model_of_another_run(by_itself: Path) -> None:
    model = (by_itself / "model.keras").read_bytes()
    done = papermill(by_itself, "-p", "l2", "0.01")
    assert done.returncode != 0 and "belongs to another run" in done.stderr
    assert (by_itself / "model.keras").read_bytes() == model
