"""train.ipynb with `averaging`: the network that is validated is the one that is kept, and training goes on as without."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from nbstudy.execution.host import data_home
from project import CHANGING, NETWORK, PATIENCE, Once, Project

# `plain` and `averaged` differ in their averaging alone; the batch of `whole` holds all images, so that its one step an
# epoch is averaged; `mixed` is everything at once
STUDY = f"""
notebooks: {{run: train.ipynb, summary: null}}
defaults: {{{NETWORK}, epochs: 3}}
configurations:
  plain: {{}}
  averaged: {{averaging: 0.2}}
  whole: {{averaging: 1.0, batch_size: 50000}}
  mixed: {{averaging: 0.5, precision: mixed_bfloat16, {CHANGING}}}
  after_1: {{batch_size: 50000, epochs: 1}}
  after_2: {{batch_size: 50000, epochs: 2}}
  after_3: {{batch_size: 50000, epochs: 3}}
"""

# Keras alone: what the file of a model predicts for the validation images
EVALUATE = """
import sys
import keras
import numpy as np
from sklearn.model_selection import train_test_split
(images, labels), _ = keras.datasets.fashion_mnist.load_data()
_, held_out = train_test_split(np.arange(60_000), test_size=1 / 6, random_state=1)
x = images[held_out].reshape(-1, 784).astype("float32") / 255
for file in sys.argv[1:]:
    loss, accuracy, cross_entropy = keras.models.load_model(file).evaluate(x, labels[held_out], 10_000, verbose=0)
    print(repr(accuracy), cross_entropy)
"""


@pytest.fixture(scope="module")
def averaged(once: Once) -> Project:
    """A project with the runs of STUDY complete; tests only read it."""
    return once("averaged", lambda project: project.run(project.study(STUDY)))


def column(place: Path, name: str) -> list[str]:
    """Return a column of a run's history, as it is written."""
    with (place / "history.csv").open(newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def weights_of(place: Path) -> list[np.ndarray]:
    """Return the weights of a run's layers, as its model.keras has them, layer by layer."""
    with zipfile.ZipFile(place / "model.keras") as archive:
        groups = h5py.File(io.BytesIO(archive.read("model.weights.h5")))["layers"]
        names = sorted(groups, key=lambda name: (len(name), name))
        return [groups[name]["vars"][part][()] for name in names for part in groups[name]["vars"]]


def raw_of(place: Path) -> list[np.ndarray]:
    """Return the raw weights in a run's model.keras."""
    with zipfile.ZipFile(place / "model.keras") as archive, np.load(archive.open("raw.npz")) as arrays:
        return [arrays[name] for name in arrays.files]


def test_training_goes_on_as_without(averaged: Project) -> None:
    plain, average = (averaged.outputs("mine", name) for name in ("plain", "averaged"))
    for name in ("loss", "accuracy", "cross_entropy"):
        assert column(average, name) == column(plain, name)
    assert set(column(average, "val_loss")).isdisjoint(column(plain, "val_loss"))
    for raw, weights in zip(raw_of(average), weights_of(plain), strict=True):
        assert raw.tobytes() == weights.tobytes()


def test_average_over_all_epochs_is_the_mean_of_their_weights(averaged: Project) -> None:
    steps = [weights_of(averaged.outputs("mine", f"after_{epochs}")) for epochs in (1, 2, 3)]
    for average, *weights in zip(weights_of(averaged.outputs("mine", "whole")), *steps, strict=True):
        np.testing.assert_allclose(average, np.mean(weights, axis=0), rtol=0, atol=1e-6)


def test_kept_model_predicts_as_it_was_judged_where_nobody_knows_this_project(
    averaged: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(data_home()))
    places = [averaged.outputs("mine", name) for name in ("plain", "averaged", "mixed")]
    command = [sys.executable, "-c", EVALUATE, *[str(place / "model.keras") for place in places]]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    for place, line in zip(places, done.stdout.splitlines()[-3:], strict=True):
        accuracy, cross_entropy = line.split()
        assert accuracy == column(place, "val_accuracy")[-1]
        assert float(cross_entropy) == pytest.approx(float(column(place, "val_cross_entropy")[-1]), rel=1e-5)


def test_lengthened_twice_equals_trained_at_once(averaged: Project, project: Project) -> None:
    for epochs, jobs in [(1, "2"), (2, "1"), (3, "2")]:
        project.run(
            project.study(STUDY.replace("epochs: 3}", f"epochs: {epochs}}}")),
            *("--jobs", jobs, "--only", "averaged", "--only", "mixed"),
        )
        for name in ("averaged", "mixed"):
            rows = (project.outputs("mine", name) / "history.csv").read_text().splitlines()
            at_once = (averaged.outputs("mine", name) / "history.csv").read_text().splitlines()
            assert rows == at_once[: epochs + 1]
    for name in ("averaged", "mixed"):
        here, there = (one.outputs("mine", name) for one in (project, averaged))
        for values, expected in [(weights_of(here), weights_of(there)), (raw_of(here), raw_of(there))]:
            assert [value.tobytes() for value in values] == [value.tobytes() for value in expected]
