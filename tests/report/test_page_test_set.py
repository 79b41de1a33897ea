"""The section on the test set: when it stays shut, what it says, and how that is drawn."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from nbstudy.records.openings import Opening, record_opening
from nbstudy.records.results import Results
from nbstudy.report import test_set
from nbstudy.report.test_set import (
    accuracy_in_words,
    confusions,
    draw_confusion,
    draw_mistakes,
    last_epoch,
    openings_in_words,
    state_in_words,
    table_of_classes,
    why_shut,
)
from planted import Planted, rows, without_replicates
from told import opened_of

TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


def test_test_set_stays_shut_while_anything_is_not_complete(results: Results, single: Results) -> None:
    words = "4 of 14 configurations are not complete"
    assert why_shut(results) == words
    assert state_in_words(opened_of(results, words)) == f"**The test set stays shut:** {words}."
    assert why_shut(single) is None
    assert state_in_words(opened_of(single)) == "**The test set is open** for all."


def test_test_set_stays_shut_without_a_final_configuration(tmp_path: Path) -> None:
    assert why_shut(Planted(tmp_path, TWO).load()) == "the study names no final configuration"


def test_test_set_stays_shut_for_a_quick_look(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO + "final: a\n", overrides=[("epochs", "3"), ("seed", "1")])
    for name in ("a", "b"):
        study.run(name, [0.5] * 3)
    results = study.load()
    words = "this is a quick look, with epochs 3 and seed 1 for all configurations, and decides nothing"
    assert why_shut(results) == words


def test_openings_are_told_with_suspicion_where_there_was_more_than_one(tmp_path: Path) -> None:
    one = Opening("final", "abc", "2026-11-26T14:00:00Z", 0.88, 0.4)
    two = Opening("wide", "def", "2026-11-27T14:00:00Z")
    others = "Other studies on the same images have records of their own."
    assert openings_in_words([one]) == f"It was opened once, on 2026-11-26 for final. {others}"
    assert openings_in_words([one, two]) == (
        "**It was opened 2 times:** on 2026-11-26 for final and on 2026-11-27 for wide; whoever saw an earlier result "
        f"may have chosen by it, so be suspicious of this one. {others}"
    )
    study = without_replicates(tmp_path)
    record_opening(study.outputs, "all", "abc")
    assert " It was opened once, on 20" in state_in_words(opened_of(study.load(), "shut"))
    (study.outputs / "test.json").write_text("{")
    assert state_in_words(opened_of(study.load(), "shut")) == "**The test set stays shut:** shut."


def predictions(right: int, of: int) -> pd.DataFrame:
    """Return what a network says of images of two classes; those it gets wrong show the second."""
    return pd.DataFrame({"true": [0] * right + [1] * (of - right), "said": 0, "loss": 0.25, "certainty": 0.9})


def test_accuracy_is_said_with_wilsons_interval() -> None:
    tested = test_set.tested_by(predictions(8_800, 10_000))
    words = accuracy_in_words(tested, {"people": 0.835, "an MLP": 0.8833, "a CNN": 0.99})
    share, z, n = 0.88, 1.959964, 10_000  # written out
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    interval = f"{middle - half:.4f} to {middle + half:.4f}"
    assert words == (
        f"**Test accuracy: 0.8800**, with 95 % certainty {interval}. "
        "It is above the published 0.835 of people. "
        "It is too close to call against the published 0.8833 of an MLP. "
        "It is below the published 0.99 of a CNN. "
        "The loss, without penalty, is 0.2500."
    )
    assert str(tested) == f"0.8800 (95 % interval {interval})"


def test_classes_have_precision_and_recall() -> None:
    counts = confusions(predictions(6, 8), ["cat", "dog", "cow"])
    assert counts.loc["dog", "cat"] == 2 and counts.loc["cat", "cat"] == 6
    text = table_of_classes(counts.assign(cow=[0, 0, 0]))
    assert text.startswith("Most often dog is taken for cat.\n\n")
    table = rows(text)
    assert (table["cat"]["precision"], table["cat"]["recall"]) == ("0.7500", "1.0000")
    assert (table["dog"]["precision"], table["dog"]["recall"]) == ("0.0000", "0.0000")


def test_last_epoch_says_how_much_stopping_there_can_change(tmp_path: Path) -> None:
    study = without_replicates(tmp_path)
    history = pd.read_csv(study.outputs / "one" / "history.csv")
    history.assign(val_accuracy=[0.1] * 18 + [0.8, 0.9]).to_csv(
        study.outputs / "one" / "history.csv", index=False
    )
    results = study.load()
    assert last_epoch(opened_of(results)) == (
        "A model is what its last epoch left, and epochs differ: over the last 2 of one the val_accuracy is 0.8500 on "
        "average, 0.8000 at worst and 0.9000 at best."
    )
    for name in ("one", "two", "six"):
        study.run(name, [0.5], attempt=1)
        (study.outputs / name / "run.json").unlink()
    assert last_epoch(replace(opened_of(results), results=study.load())) == ""


# --- figures ---
def test_confusions_are_a_matrix_with_names() -> None:
    counts = pd.DataFrame([[3, 1], [0, 4]], index=["cat", "dog"], columns=["cat", "dog"])
    axes = draw_confusion(counts)
    assert [text.get_text() for text in axes.texts] == ["3", "1", "0", "4"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    assert axes.get_ylabel() == "True label"
    axes.figure.canvas.draw()


def test_mistakes_are_shown_with_what_they_are_taken_for() -> None:
    images = np.zeros((5, 28, 28))
    images[3] = 255
    worst = pd.DataFrame({"true": [1, 0], "said": [0, 1], "certainty": [0.995, 0.5]}, index=[3, 4])
    figure = draw_mistakes(images, worst, ["cat", "dog"])
    first, second, *rest = figure.axes
    assert first.get_title() == "dog,\nsays cat\n(99.5%)"
    assert first.images[0].get_array().max() == 255 and second.images[0].get_array().max() == 0
    assert len(rest) == 10 and not any(axes.images for axes in rest)
