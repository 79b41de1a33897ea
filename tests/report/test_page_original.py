"""The section on what an original elimination could not see."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from nbstudy.records.results import Results
from nbstudy.report import original
from planted import EPOCHS, Planted, flat
from told import judged_in

PENALISED = f"""
notebooks: {{run: train.ipynb}}
defaults: {{epochs: {EPOCHS}}}
configurations:
  free: {{units: 8, replicates: 2}}
  wide: {{units: 16}}
  tame: {{units: 8, l2: 0.1}}
rounds: [{{candidates: [free, wide, tame], originally_dropped: [free, wide]}}]
final: tame
"""


@pytest.mark.parametrize(("accuracy", "how"), [(0.7, "better"), (0.99, "worse")])
def test_original_could_not_see_what_the_penalty_hid(tmp_path: Path, accuracy: float, how: str) -> None:
    study = Planted(tmp_path, PENALISED)
    for name, end, val_accuracy in [
        ("free", 0.50, 0.9), ("free_seed_1", 0.52, 0.9), ("wide", 0.6, 0.91), ("tame", 0.3, accuracy)
    ]:  # fmt: skip
        place = study.run(name, flat(end), val_accuracy)
        if name != "tame":  # of which alone a part of the loss is its penalty
            history = pd.read_csv(place / "history.csv")
            history.assign(val_cross_entropy=history["val_loss"]).to_csv(place / "history.csv", index=False)
    results = study.load()
    words = original.write(original.compute(results, judged_in(results), results.choose()))
    assert words.removeprefix("## What the original could not see\n\n").startswith(
        f"By accuracy, networks without a penalty classify {how}: a median val_accuracy of 0.9050 and at best 0.9100 (wide) "
        f"without one, a median val_accuracy of {accuracy:.4f} and at best {accuracy:.4f} (tame) with one. "
        "The original dropped 2 of the 2 without. "
        "Its criterion, val_loss, contains each network's own penalty, but it is not the penalty that speaks against them: "
        "by val_cross_entropy, which does not contain it, they are behind, too (a median of 0.5550 without a penalty, "
        "0.2500 with one). A network without one is ever surer of its mistakes, which a loss counts and an accuracy does "
        "not. It did not know by how much "
    )
    assert words.endswith("All 2 of its eliminations are larger than what chance explains.")


def test_penalty_is_blamed_where_it_alone_makes_the_difference() -> None:
    accuracies = {"free": 0.9, "tame": 0.8}
    penalty = original.Penalty(
        {"tame": accuracies["tame"]}, {"free": accuracies["free"]}, 1, {"free": 0.2, "tame": 0.25}
    )
    words = original.what_the_penalty_hid(penalty)
    assert words.endswith(
        "Its criterion, val_loss, adds to the error of each network the network's own penalty; by val_cross_entropy, which "
        "does not contain it, those without are ahead (a median of 0.2000 without a penalty, 0.2500 with one)."
    )


def test_original_is_told_by_its_eliminations_alone_where_no_loss_has_a_penalty(results: Results) -> None:
    assert original.write(original.compute(results, judged_in(results), results.choose())) == (
        "## What the original could not see\n\n"
        "It did not know by how much chance alone changes a run: a standard deviation of 0.0183 in a run's val_loss, "
        "as replicates show. Of its 6 eliminations, 3 were by a difference that chance alone explains: those of near and far."
    )


def test_study_without_an_original_says_nothing_of_one(tmp_path: Path) -> None:
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n")
    study.run("a", [0.5])
    results = study.load()
    assert original.write(original.compute(results, judged_in(results), results.choose())) == ""
