"""A whole study, as a person runs it: fetch the data, train, summarise, come back later."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nbformat
import pytest

from nbstudy.records.openings import read_openings
from project import ROOT, SUMMARY, Project, begun, change, outputs_of, papermill


def test_logs_are_valid_and_hold_no_path_and_no_noise(trained: Project) -> None:
    logs = list(trained.outputs("mine").glob("**/*.ipynb"))
    assert len(logs) == 6  # three runs, the dataset, the test and the summary
    for path in logs:
        log = nbformat.read(path, as_version=4)
        nbformat.validate(log)
        text = path.read_text()
        for place in (str(trained.root), str(Path.home()), str(ROOT), sys.prefix):
            assert place not in text, (path.name, place)
        outputs = [output for cell in log.cells for output in cell.get("outputs", [])]
        assert [output.name for output in outputs if output.output_type == "stream"] == [], path.name
        assert log.metadata.papermill.get("input_path") is None
        assert "\\r" not in outputs_of(log)


def test_summary_shows_the_study_and_opens_the_test_set(trained: Project) -> None:
    place = trained.outputs("mine")
    text = outputs_of(nbformat.read(place / "summary.ipynb", as_version=4))
    assert "3 of 3 runs are complete" in text
    assert "The rule and the original agree entirely in " in text
    assert "Test accuracy: 0." in text
    # the first screen, the confusions, the mistakes; no parameter varies alone, which would be one of the factors
    assert text.count('"image/png": "') == 3
    assert "The original dropped dropout." in (place / "summary.html").read_text(encoding="utf-8")
    (opening,) = read_openings(place)
    assert (
        opening.configuration == "final" and f"It was opened once, on {opening.when[:10]} for final." in text
    )
    table = (place / "results.csv").read_text()
    assert table.count("\n") == 4 and "final" in table


EXPECTED = {
    "nothing": ["There is no study in"],
    "half": [
        "1 of 3 runs are complete",
        "plain: missing",
        "dropout.ipynb): unfinished at epoch 4",
        "The test set stays shut",
    ],
    "other": ["There is no study in", "../outputs/mine"],
}


@pytest.mark.parametrize("there", EXPECTED)
def test_summary_is_a_sensible_page_whatever_is_there(trained: Project, tmp_path: Path, there: str) -> None:
    home = tmp_path / "outputs" / "fashion_mnist"
    home.parent.mkdir()
    if there == "half":
        shutil.copytree(trained.outputs("mine"), home)
        shutil.rmtree(home / "plain")
        (home / "incomplete" / "dropout").mkdir()
        (home / "dropout").rename(home / "incomplete" / "dropout" / "1")
        change(home / "incomplete" / "dropout" / "1" / "run.json", finished=False, files={})
        (home / "strange").mkdir()
    if there == "other":
        shutil.copytree(trained.outputs("mine"), home.parent / "mine")
    (tmp_path / "notebooks").mkdir()
    assert papermill(SUMMARY, tmp_path / "notebooks", outputs="../outputs/fashion_mnist") == ""
    text = outputs_of(nbformat.read(tmp_path / "notebooks" / "out.ipynb", as_version=4))
    assert all(words in text for words in [*EXPECTED[there], "No configuration can be chosen yet"]), text


def test_no_work_leaves_the_summary_as_it_is(later: Project) -> None:
    summary = later.outputs("mine", "summary.ipynb")
    before = summary.read_bytes()
    printed = later.run("params/mine.yaml")
    assert "3 of 3 complete" in printed and begun(printed) == []
    assert summary.read_bytes() == before


def test_removed_run_comes_back_the_same_and_renews_the_summary(later: Project) -> None:
    summary = later.outputs("mine", "summary.ipynb")
    history = later.outputs("mine", "plain", "history.csv")
    summary_before, history_before = summary.read_bytes(), history.read_bytes()
    shutil.rmtree(later.outputs("mine", "plain"))
    assert begun(later.run("params/mine.yaml")) == ["plain"]
    assert summary.read_bytes() != summary_before
    assert history.read_bytes() == history_before
