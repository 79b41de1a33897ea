"""The real template on the real Fashion-MNIST, shrunk to small networks and few epochs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import pytest
from conftest import ROOT, Project
from test_runner import read_run, rows, wait_for

# 16 units train an epoch in half a second; the penalty and the dropout are what may differ
NETWORK = "hidden_layers: 2, units: 16"
STUDY = f"""
notebooks: {{prepare: dataset.ipynb, run: train.ipynb, summary: summary.ipynb}}
configurations:
  plain: {{{NETWORK}, dropout: 0.0, epochs: 4}}
  dropout: {{{NETWORK}, dropout: 0.3, epochs: 4}}
  final: {{{NETWORK}, refit: true, epochs: 2}}
rounds:
  - {{title: With and without dropout, candidates: [plain, dropout], originally_dropped: [dropout]}}
final: final
"""


@pytest.fixture(scope="session")
def trained(make_project: Callable[[], Project]) -> Project:
    """A project whose small study is complete; tests only read it."""
    project = make_project()
    printed = project.run(project.study(STUDY))
    assert "final: 2 epochs" in printed and "summary.ipynb" in printed
    # what the kernels and the libraries in them say goes into the logs or nowhere
    assert not re.search(r"warning|error|I0000|E0000", printed, re.IGNORECASE), printed
    return project


def executed(directory: Path) -> nbformat.NotebookNode:
    """Return the one notebook of a directory."""
    (path,) = directory.glob("*.ipynb")
    return nbformat.read(path, as_version=4)


def outputs_of(notebook: nbformat.NotebookNode) -> str:
    """Return all text that a notebook's cells gave out."""
    found = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return json.dumps(found)


def test_log_is_valid_and_holds_no_path_and_no_noise(trained: Project) -> None:
    logs = list(trained.outputs("mine").glob("**/*.ipynb"))
    assert len(logs) == 5  # three runs, the dataset and the summary
    for path in logs:
        log = nbformat.read(path, as_version=4)
        nbformat.validate(log)
        text = path.read_text()
        for place in (str(trained.root), str(Path.home()), str(ROOT), sys.prefix):
            assert place not in text, (path.name, place)
        streams = [o.name for cell in log.cells for o in cell.get("outputs", []) if o.output_type == "stream"]
        assert streams == [], path.name
        assert log.metadata.papermill.get("input_path") is None
        assert "\\r" not in outputs_of(log)


def test_log_says_what_was_trained(trained: Project) -> None:
    place = trained.outputs("mine", "plain")
    text = outputs_of(executed(place))
    assert "50,000 training images in 98 batches of up to 512, 10,000 validation images." in text
    assert "Trained 4 epochs here" in text
    result = json.loads((place / "result.json").read_text())
    assert result["weights"] == 784 * 16 + 16 + 16 * 16 + 16 + 16 * 10 + 10
    assert (result["epochs"], result["diverged"]) == (4, None)
    assert set(result["versions"]) == {"python", "tensorflow", "keras", "numpy", "sklearn"}


def test_history_separates_the_penalty_from_the_cross_entropy(trained: Project) -> None:
    with (trained.outputs("mine", "plain") / "history.csv").open() as file:
        names = file.readline().strip().split(",")
        history = np.loadtxt(file, delimiter=",")
    columns = dict(zip(names, history.T, strict=True))
    assert names[1:4] == ["loss", "accuracy", "cross_entropy"]
    assert names[4:] == ["val_loss", "val_accuracy", "val_cross_entropy"]
    assert list(columns["epoch"]) == [1, 2, 3, 4]
    # the penalty of the last epoch's weights is what val_loss has more than val_cross_entropy
    assert np.all(columns["val_loss"] > columns["val_cross_entropy"] + 0.01)
    assert columns["val_accuracy"][-1] > 0.75  # it did learn


def test_number_of_jobs_changes_no_result(trained: Project) -> None:
    # one run at a time has all cores, two have one each
    trained.run("params/mine.yaml", "--jobs", "1", "--outputs", "alone", "--only", "dropout")
    alone = trained.root / "alone" / "dropout" / "history.csv"
    assert alone.read_bytes() == (trained.outputs("mine", "dropout") / "history.csv").read_bytes()


def test_mixed_bfloat16_learns_as_well(trained: Project) -> None:
    trained.run("params/mine.yaml", "-p", "precision", "mixed_bfloat16", "--only", "plain")
    histories = [
        trained.outputs(f"mine{mixed}", "plain", "history.csv") for mixed in ("", "+precision=mixed_bfloat16")
    ]
    exact, mixed = (np.genfromtxt(path, delimiter=",", names=True) for path in histories)
    assert not np.array_equal(exact["val_loss"], mixed["val_loss"])
    assert abs(exact["val_accuracy"][-1] - mixed["val_accuracy"][-1]) < 0.05  # after four epochs


def test_refit_trains_on_all_images_without_validation(trained: Project) -> None:
    place = trained.outputs("mine", "final")
    assert "60,000 training images in 118 batches of up to 512, no validation" in outputs_of(executed(place))
    assert (place / "history.csv").read_text().startswith("epoch,loss,accuracy,cross_entropy\n")


def test_summary_shows_the_study_and_opens_the_test_set(trained: Project) -> None:
    place = trained.outputs("mine")
    text = outputs_of(nbformat.read(place / "summary.ipynb", as_version=4))
    assert "3 of 3 configurations are complete" in text
    assert "The original dropped dropout." in text
    assert "Test accuracy: 0." in text
    assert text.count("image/png") == 4  # a round, the factors, the confusions, the mistakes
    assert (place / "elimination.png").stat().st_size > 10_000
    table = (place / "results.csv").read_text()
    assert table.count("\n") == 4 and "final" in table


@pytest.mark.parametrize("there", ["nothing", "half", "other"])
def test_summary_is_a_sensible_page_whatever_is_there(trained: Project, tmp_path: Path, there: str) -> None:
    home = tmp_path / "outputs" / "fashion_mnist"
    home.parent.mkdir()
    if there == "half":
        shutil.copytree(trained.outputs("mine"), home)
        shutil.rmtree(home / "plain")
        (home / "incomplete" / "dropout").mkdir()
        (home / "dropout").rename(home / "incomplete" / "dropout" / "1")
        (home / "strange").mkdir()
    if there == "other":
        shutil.copytree(trained.outputs("mine"), home.parent / "mine")
    (tmp_path / "notebooks").mkdir()
    template = ROOT / "notebooks" / "summary.ipynb"
    command = [sys.executable, "-m", "papermill", str(template), "out.ipynb", "--no-progress-bar"]
    subprocess.run(command, cwd=tmp_path / "notebooks", check=True, capture_output=True)
    text = outputs_of(nbformat.read(tmp_path / "notebooks" / "out.ipynb", as_version=4))
    expected = {
        "nothing": ["There is no study in"],
        "half": ["1 of 3 configurations", "plain: missing", "dropout.ipynb): unfinished at epoch 4"],
        "other": ["There is no study in", "../outputs/mine"],
    }
    assert all(words in text for words in [*expected[there], "The test set stays closed"]), text


def test_no_work_leaves_all_and_a_removed_run_comes_back(trained: Project) -> None:
    summary = trained.outputs("mine", "summary.ipynb")
    before = summary.read_bytes()
    history = (trained.outputs("mine", "plain") / "history.csv").read_bytes()
    printed = trained.run("params/mine.yaml")
    assert "3 of 3 complete" in printed and "started" not in printed
    assert summary.read_bytes() == before
    shutil.rmtree(trained.outputs("mine", "plain"))
    printed = trained.run("params/mine.yaml")
    assert re.findall(r"(\w+): started", printed) == ["plain"]
    assert summary.read_bytes() != before
    assert (trained.outputs("mine", "plain") / "history.csv").read_bytes() == history


@pytest.mark.parametrize("name", ["plain", "dropout"])
def test_killed_and_lengthened_runs_equal_an_uninterrupted_one(
    project: Project, trained: Project, name: str
) -> None:
    # a checkpoint every epoch instead of every 30 seconds: the runs here last two
    project.edit("train.ipynb", "self.saved >= 30", "self.saved >= 0")
    study = project.study(STUDY.replace("epochs: 4", "epochs: 3"))
    process = project.start(study, "--only", name)
    attempt = project.outputs("mine", "incomplete", name, "1")
    wait_for(lambda: rows(attempt / "history.csv") >= 1 and (attempt / "model.keras").exists())
    process.kill()
    process.wait()
    project.run(study, "--only", name)
    place = project.outputs("mine", name)
    assert read_run(place)["attempts"] == 2
    assert re.search(
        r"Trained [0-2] epochs here.*after [1-3] from the checkpoint", outputs_of(executed(place))
    )
    longer = project.study(STUDY)
    assert f"{name}  " in (printed := project.run(longer, "--dry-run", "--only", name))
    assert "epochs 3 -> 4, goes on from epoch 3" in printed
    project.run(longer, "--only", name)
    assert "Trained 1 epochs here" in outputs_of(executed(place))
    whole = trained.outputs("mine", name) / "history.csv"
    assert (place / "history.csv").read_bytes() == whole.read_bytes()


def test_template_works_by_itself_and_refuses_the_model_of_another_run(tmp_path: Path) -> None:
    def papermill(*parameters: str) -> subprocess.CompletedProcess[str]:
        template = str(ROOT / "notebooks" / "train.ipynb")
        command = [sys.executable, "-m", "papermill", template, "out.ipynb", "-p", "epochs", "1"]
        command += ["-p", "units", "8", "--no-progress-bar", *parameters]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert papermill().returncode == 0
    made = {"out.ipynb", "history.csv", "model.keras", "result.json"}
    assert {path.name for path in tmp_path.iterdir()} == made
    model = (tmp_path / "model.keras").read_bytes()
    done = papermill("-p", "l2", "0.01")
    assert done.returncode != 0 and "belongs to another run" in done.stderr
    assert (tmp_path / "model.keras").read_bytes() == model


def test_dataset_is_verified_and_mended(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "papermill", str(ROOT / "notebooks" / "dataset.ipynb"), "out.ipynb"]
    environment = os.environ | {"KERAS_HOME": str(tmp_path / "keras")}

    def fetch() -> str:
        subprocess.run([*command, "--no-progress-bar"], cwd=tmp_path, env=environment, check=True)
        return outputs_of(nbformat.read(tmp_path / "out.ipynb", as_version=4))

    assert fetch().count("| yes |") == 4
    cache = tmp_path / "keras" / "datasets" / "fashion-mnist"
    content = {path.name: path.read_bytes() for path in cache.iterdir()}
    assert len(content) == 4
    images = cache / "train-images-idx3-ubyte.gz"
    damaged = bytearray(content[images.name])
    damaged[len(damaged) // 2] ^= 1
    images.write_bytes(damaged)
    assert fetch().count("already there") == 3
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == content
