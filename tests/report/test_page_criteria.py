"""The section on criteria: rankings side by side, and what they would choose."""

from __future__ import annotations

import shutil
from pathlib import Path

from nbstudy.decision.metrics import metric_called
from nbstudy.records.results import Results
from nbstudy.report.criteria import Criteria, criteria_compared, criteria_line, table_of_criteria
from nbstudy.report.rankings import ranking_of, rankings_of
from planted import Planted, rows
from told import criteria_of


def test_criteria_are_ranked_side_by_side(results: Results) -> None:
    table = rows(table_of_criteria(rankings_of(results)))
    assert table["1"] == {
        "rank": "1",
        "settled val_loss": "**wide 0.2950**",
        "best val_loss": "**near 0.2000**",
        "settled val_accuracy": "**far 0.9200**",
        "settled val_cross_entropy": "**wide 0.2450**",
    }
    assert table["7"]["settled val_loss"] == "wild not finite"
    assert len(table) == 7


def test_criteria_that_would_choose_otherwise_are_named(results: Results) -> None:
    text = criteria_compared(criteria_of(results))
    borrowed = "as far as the deviation holds that single runs borrow from others"
    assert text.splitlines() == [
        criteria_line(criteria_of(results)),
        "",
        f"- By best val_loss, near is ahead of good by more than chance explains, {borrowed}.",
        f"- By settled val_accuracy, far is ahead of good by more than chance explains, {borrowed}.",
        "- The stopping time matters most for the run near: its val_loss was best at epoch 4, 0.2000, and settled at 0.3350.",
    ]
    assert text.startswith(
        "**Another criterion would choose otherwise:** by best val_loss and settled val_accuracy it would be near; "
        "of all configurations, not the candidates alone, these are ahead by more than chance explains: near (0.2000) by best val_loss, and "
        "far (0.9200) by settled val_accuracy.\n"
    )


def test_criteria_that_agree_say_so(results: Results) -> None:
    by_loss = [ranking_of(results), ranking_of(results, metric_called("val_cross_entropy"))]
    same = "**Each criterion chooses the same:** settled val_loss and settled val_cross_entropy."
    assert criteria_line(Criteria(results, results.choose(), by_loss)) == same
    assert criteria_line(Criteria(results, results.choose(), by_loss[:1])) == ""


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
