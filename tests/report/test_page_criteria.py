"""The section on criteria: rankings side by side, and what they would choose."""

from __future__ import annotations

from nbstudy.decision.metrics import metric_called
from nbstudy.records.results import Results
from nbstudy.report.criteria import Criteria, criteria_compared, criteria_line, table_of_criteria
from nbstudy.report.rankings import ranking_of, rankings_of
from planted import rows
from told import criteria_of


def test_criteria_are_ranked_side_by_side(results: Results) -> None:
    table = rows(table_of_criteria(rankings_of(results)))
    assert table["1"] == {
        "rank": "1",
        "settled val_loss": "**wide 0.2950**",
        "best val_loss": "**near 0.2000**",
        "settled val_accuracy": "**far 0.9000**",
        "settled val_cross_entropy": "**wide 0.2450**",
    }
    assert table["7"]["settled val_loss"] == "wild not finite"
    assert len(table) == 7


def test_criteria_that_would_choose_otherwise_are_named(results: Results) -> None:
    text = criteria_compared(criteria_of(results))
    assert text.splitlines() == [
        criteria_line(criteria_of(results)),
        "",
        "- By best val_loss, near is ahead of good by more than chance explains.",
        "- By settled val_accuracy, far is ahead of good by more than chance explains.",
        "- The stopping time matters most for near: its val_loss was 0.2000 at epoch 4 and settled at 0.3350.",
    ]
    assert text.startswith(
        "**Another criterion would choose otherwise:** by best val_loss and settled val_accuracy it would be near; "
        "of all configurations, not the candidates alone, these are ahead by more than chance explains: near (0.2000) by best val_loss, and "
        "far (0.9000) by settled val_accuracy.\n"
    )


def test_criteria_that_agree_say_so(results: Results) -> None:
    by_loss = [ranking_of(results), ranking_of(results, metric_called("val_cross_entropy"))]
    same = "**Each criterion chooses the same:** settled val_loss and settled val_cross_entropy."
    assert criteria_line(Criteria(results, results.choose(), by_loss)) == same
    assert criteria_line(Criteria(results, results.choose(), by_loss[:1])) == ""
