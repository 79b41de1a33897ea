"""train.ipynb on the real Fashion-MNIST, shrunk to small networks and few epochs: what it trains and says."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import h5py
import nbformat
import numpy as np
import pytest

from nbstudy.execution.host import data_home
from project import CHANGING, NETWORK, ROOT, Once, Project, executed, outputs_of, papermill, read

# as `plain` of REAL_STUDY but for the precision, and with a penalty that no number can hold
EXTREMES = f"""
notebooks: {{run: train.ipynb, summary: summary.ipynb}}
configurations:
  mixed: {{{NETWORK}, dropout: 0.0, epochs: 4, precision: mixed_bfloat16}}
  wild: {{{NETWORK}, l2: 1.0e+38, epochs: 50}}
"""


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
    assert result["processor"]
    assert set(result["versions"]) == {"python", "tensorflow", "keras", "numpy", "sklearn"}


def test_log_opens_with_its_result(trained: Project) -> None:
    for name, loss in [("plain", "val_loss"), ("final", "loss")]:
        place = trained.outputs("mine", name)
        history = history_of(place)
        last, lowest = history[-1], history[np.argmin(history[loss])]
        accuracy = loss.replace("loss", "accuracy")
        result = f"{len(history)} epochs, {loss} {last[loss]:.4f} "
        result += (
            f"(lowest {lowest[loss]:.4f} at epoch {lowest['epoch']:.0f}), {accuracy} {last[accuracy]:.4f}."
        )
        opening, *_ = [cell for cell in executed(place).cells if cell.get("outputs")]
        assert opening.outputs[0]["data"]["text/markdown"] == f"## Log of {name}\n\n{result}"


def test_finished_log_holds_the_last_state_of_the_training_alone(trained: Project) -> None:
    text = outputs_of(executed(trained.outputs("mine", "plain")))
    assert "The training begins" not in text and "of 4" not in text


def test_learning_rate_is_that_of_the_epoch(trained: Project) -> None:
    model = trained.outputs("mine", "dropout", "model.keras")
    with zipfile.ZipFile(model) as archive, archive.open("model.weights.h5") as weights:
        variables = h5py.File(weights)["optimizer/vars"]
        iterations, learning_rate = variables["0"][()], variables["1"][()]
    assert iterations == 4 * 98
    assert learning_rate == pytest.approx(0.002 * 0.9**3)


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


@pytest.fixture(scope="session")
def extremes(once: Once) -> Project:
    """A project whose runs in low precision and without a limit are complete; tests only read it."""
    return once("extremes", lambda project: project.run(project.study(EXTREMES)))


def test_mixed_bfloat16_learns_as_well(extremes: Project, trained: Project) -> None:
    exact = history_of(trained.outputs("mine", "plain"))
    mixed = history_of(extremes.outputs("mine", "mixed"))
    assert not np.array_equal(exact["val_loss"], mixed["val_loss"])
    assert abs(exact["val_accuracy"][-1] - mixed["val_accuracy"][-1]) < 0.05  # after four epochs


def test_number_of_jobs_changes_no_result(project: Project, trained: Project) -> None:
    # one run at a time has all cores, of two at a time each has one
    study = project.study(
        f"notebooks: {{run: train.ipynb, summary: null}}\nconfigurations: {{dropout: {{{NETWORK}, {CHANGING}, epochs: 4}}}}"
    )
    project.run(study, "--jobs", "1")
    alone = project.outputs("mine", "dropout", "history.csv")
    assert alone.read_bytes() == trained.outputs("mine", "dropout", "history.csv").read_bytes()


# TensorFlow computes with oneDNN's kernels where the processor has AVX-512, and elsewhere with Eigen's, which add up in
# another order for another number of threads. A template can ask for these anywhere; no person's setting reaches it.
USE_EIGEN = """import platform
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
"""
SAY_WHICH = """"device": device,
    "oneDNN": __import__("tensorflow.python.util._pywrap_util_port", fromlist=["_"]).IsMklEnabled(),"""


@pytest.mark.parametrize("threads", [1, 2])
def test_share_of_the_machine_changes_no_result_of_other_kernels(project: Project, threads: int) -> None:
    project.edit("train.ipynb", "import platform\n", USE_EIGEN)
    project.edit("train.ipynb", '"device": device,', SAY_WHICH)
    # 128 units, since shorter sums are not split
    network = f"hidden_layers: 2, units: 128, {CHANGING}"

    def train(epochs: int, *options: str) -> None:
        text = f"notebooks: {{run: train.ipynb, summary: null}}\nthreads: {threads}\nconfigurations:\n"
        for name, asked in [("resumed", epochs), ("uninterrupted", 2)]:
            text += f"  {name}: {{{network}, epochs: {asked}}}\n"
        assert f"resumed: {epochs} epoch" in project.run(project.study(text), *options)

    train(1, "--jobs", "1", "--only", "resumed")  # alone on all cores
    train(2, "--jobs", "2")  # on half of them
    resumed, uninterrupted = (project.outputs("mine", name) for name in ("resumed", "uninterrupted"))
    assert read(resumed / "result.json")["oneDNN"] is False
    assert (resumed / "history.csv").read_bytes() == (uninterrupted / "history.csv").read_bytes()


def test_divergence_ends_the_run_early_and_is_said_everywhere(project: Project, extremes: Project) -> None:
    printed = extremes.printed()
    found = re.search(r"wild: (\d) epochs?.*diverged at epoch \1, ", printed)
    assert found, printed
    place = extremes.outputs("mine", "wild")
    assert read(place / "result.json")["diverged"] == int(found[1])
    assert "no longer finite at epoch" in outputs_of(executed(place))
    summary = nbformat.read(extremes.outputs("mine", "summary.ipynb"), as_version=4)
    assert f"no longer finite at epoch {found[1]}" in outputs_of(summary)
    project.copy_outputs(extremes)
    assert "2 of 2 complete" in project.run(project.study(EXTREMES))


# --- by itself ---
def train_by_itself(place: Path, **parameters: Any) -> str:
    """Execute train.ipynb for one epoch of a network of eight units a layer; return its error, if any."""
    return papermill(ROOT / "notebooks" / "train.ipynb", place, epochs=1, units=8, **parameters)


@pytest.fixture(scope="session")
def by_itself(once: Once) -> Path:
    """A directory in which train.ipynb was executed without the runner; tests only read it."""

    def execute(project: Project) -> str:
        (project.root / "run").mkdir()
        return train_by_itself(project.root / "run")

    project = once("by_itself", execute)
    assert project.printed() == ""
    return project.root / "run"


def test_template_works_by_itself_and_writes_to_its_directory_only(by_itself: Path) -> None:
    made = {"out.ipynb", "history.csv", "model.keras", "result.json"}
    assert {path.name for path in by_itself.iterdir()} == made


def test_template_refuses_the_model_of_another_run(by_itself: Path, tmp_path: Path) -> None:
    place = shutil.copytree(by_itself, tmp_path / "run")
    assert "belongs to another run" in train_by_itself(place, l2=0.01)
    assert (place / "model.keras").read_bytes() == (by_itself / "model.keras").read_bytes()


def test_template_makes_the_settings_of_keras_itself(
    by_itself: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "backend": "numpy",
        "floatx": "float64",
        "epsilon": 0.1,
        "image_data_format": "channels_first",
    }
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    (tmp_path / "datasets").symlink_to(data_home() / "datasets")
    place = tmp_path / "run"
    place.mkdir()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert train_by_itself(place) == ""
    assert (place / "history.csv").read_bytes() == (by_itself / "history.csv").read_bytes()
