"""The section on criteria: what others would choose."""

from __future__ import annotations

import shutil
from pathlib import Path

from nbstudy.decision.metrics import metric_called
from nbstudy.records.results import Results
from nbstudy.report import criteria
from nbstudy.report.criteria import Criteria, criteria_compared, criteria_line, who_they_are
from nbstudy.report.rankings import ranking_of
from planted import Planted
from told import criteria_of


def test_criteria_that_would_choose_otherwise_are_named(results: Results) -> None:
    borrowed = "as far as the deviation holds that single runs borrow from others"
    assert criteria_compared(criteria_of(results)).splitlines() == [
        f"- By val_loss at the best epoch, near (0.2000) is ahead of good by more than chance explains, {borrowed}.",
        f"- By settled val_accuracy, far (0.9200) is ahead of good by more than chance explains, {borrowed}.",
        "- The stopping time matters most for the run near: its val_loss was best at epoch 4, 0.2000, and settled at 0.3350.",
    ]
    assert criteria_line(criteria_of(results)) == (
        "**Another criterion would choose otherwise:** by val_loss at the best epoch and settled val_accuracy it would be "
        "near; far has a higher settled val_accuracy, by more than chance explains."
    )


def test_many_that_are_ahead_are_told_by_what_they_share(results: Results) -> None:
    assert who_they_are(results, ["near", "far"], "good") == "near and far"
    assert who_they_are(results, ["tie", "near", "far"], "good") == "3 networks (tie, near and far)"
    several = ["wide", "wide_1", "wide"]
    assert who_they_are(results, several, "good") == "3 networks with units 32"


def test_criteria_that_agree_say_so(results: Results) -> None:
    by_loss = [ranking_of(results), ranking_of(results, metric_called("val_cross_entropy"))]
    same = "**Each criterion chooses the same:** settled val_loss and settled val_cross_entropy."
    assert criteria_line(Criteria(results, results.choose(), by_loss)) == same
    assert criteria_line(Criteria(results, results.choose(), by_loss[:1])) == ""


def test_criteria_are_explained_as_far_as_they_differ(results: Results, tmp_path: Path) -> None:
    for word in ("**The penalty.**", "**The stopping time.**", "**The metric.**"):
        assert word in criteria.write(criteria_of(results))
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n")
    for name, auc in [("a", 0.5), ("b", 0.6)]:
        study.measure(name, {"auc": auc, "val_f1": auc})
    assert "**The" not in criteria.write(criteria_of(study.load()))


def test_stopping_time_is_told_of_the_runs_that_are_judged(tmp_path: Path) -> None:
    study = Planted(
        tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: {replicates: 2}, b: {units: 8}}\n"
    )
    study.run("a", [0.5, 0.1, 0.3])
    study.run("a_seed_1", [0.5, 0.35, 0.5])
    study.run("b", [0.5, 0.45, 0.45])
    stopping = criteria_of(study.load()).stopping
    # of one run, and not the best of one beside what another settled at
    assert stopping is not None
    assert (stopping.run, stopping.best, stopping.epoch, stopping.settled) == ("a", 0.1, 2, 0.3)
    for name in ("a", "a_seed_1", "b"):
        shutil.rmtree(study.outputs / name)
        study.run(name, [0.5, 0.4, 0.3])
    assert criteria_of(study.load()).stopping is None  # which makes no difference
