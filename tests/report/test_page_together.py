"""The section on all rounds together: panels, and how far rule and original agree."""

from __future__ import annotations

from pathlib import Path

from drawn import check_texts, many, strong, texts_of
from nbstudy.decision.metrics import metric_called
from nbstudy.files import write_json
from nbstudy.records.results import Results
from nbstudy.report.curves import Scale
from nbstudy.report.looks import looks_of
from nbstudy.report.together import MOST_IN_PANEL, agreement, common_scale, draw, numbered, write
from planted import Planted, flat, rows, without_replicates
from told import together_in

TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


def test_agreement_is_counted_without_the_overview(results: Results) -> None:
    together = together_in(results)
    assert agreement(together.agreements) == (
        "The rule and the original agree entirely in 2 of 5 rounds, and on **11 of 16 decisions**."
    )
    second = together.agreements[0]
    assert (second.number, second.judged, second.agreed) == (2, 5, 2)
    assert (second.only_rule, second.only_original) == (["both"], ["near", "far"])


def test_agreement_is_left_out_without_an_original(tmp_path: Path) -> None:
    results = Planted(tmp_path, TWO).load()
    assert agreement(together_in(results).agreements) == ""


# --- the table ---
def test_all_rounds_are_one_table(results: Results) -> None:
    text = write(together_in(results))
    table = rows(text)
    assert list(table)[:3] == ["wide", "good", "near"]  # those that came furthest, best first
    assert list(table["good"].values())[1:] == [
        "0.3000 ✓",
        "0.3000 ✓",
        "0.3000 ✓",
        "0.8000 ✗",
        "0.4667 ✗&#42;",
        "0.3000 ✓",
    ]
    assert table["near"]["2"] == "0.3350 ✓&#42;" and table["far"]["3"] == ""
    assert table["cut"]["3"] == "?" and table["wild"]["3"] == "✗"
    assert "✓ kept; ✗ dropped; ? not judged; &#42; the original decided otherwise." in text
    assert "Chance alone changes a run by a standard deviation of 0.0183 in rounds 1 to 6." in text


def test_many_rounds_are_marks_alone(tmp_path: Path) -> None:
    study = without_replicates(tmp_path)
    study.record["rounds"] = [{"title": "Again", "candidates": ["one", "two"]}] * 7
    write_json(study.outputs / "study.json", study.record)
    text = write(together_in(study.load()))
    assert list(rows(text)["one"].values())[1:] == ["✓"] * 7
    assert "of 0.0141, a guess from within one run, in rounds 1 to 7." in text


def test_rounds_without_a_panel_are_named(tmp_path: Path) -> None:
    study = Planted(
        tmp_path, TWO + "rounds: [{title: 'By *it*', candidates: [a, b], metric: auc}, {candidates: [a]}]\n"
    )
    for name in ("a", "b"):
        study.run(name, flat(0.5), result={"auc": 0.9})
    study.load()
    text = write(together_in(study.load()))
    assert text.startswith("The rounds: 1 · By &#42;it&#42; (by auc); 2 · Round 2 (by val_loss).")


def test_numbers_of_rounds_are_stretches() -> None:
    assert numbered([3]) == "round 3"
    assert numbered([1, 2, 3, 5, 7, 8]) == "rounds 1 to 3, 5, 7 and 8"


# --- figures ---
def test_all_rounds_are_drawn_together(results: Results) -> None:
    figure, panels = draw(together_in(results), looks_of(results))
    titles = [texts_of(axes)[1] for axes in panels]
    assert titles[:5] == [
        "1 · Overview",
        "2 · By loss",
        "3 · Diverged and cut",
        "4 · By accuracy",
        "5 · Early",
    ]
    notes = [texts_of(axes)[0] for axes in panels]
    assert notes[:3] == ["overview", "drops both", "drops wild"]
    assert notes[3].startswith("val_accuracy, drops")
    (legend,) = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named[:3] == ["good", "tie", "near"] and named[-2:] == ["dropped", "leaves the panel"]
    check_texts(figure)


def test_rounds_together_are_those_with_curves(tmp_path: Path) -> None:
    rounds = "rounds: [{candidates: [a]}, {candidates: [a], metric: auc}, {candidates: [a], metric: val_accuracy}]\n"
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: }\n" + rounds)
    study.run("a", flat(0.5), result={"auc": 0.9})
    results = study.load()
    _, panels = draw(together_in(results), looks_of(results))
    assert [texts_of(axes)[1] for axes in panels] == ["1 · Round 1", "3 · Round 3"]


def test_rounds_of_one_metric_have_a_common_scale(results: Results) -> None:
    _, panels = draw(together_in(results), looks_of(results))
    overview, by_loss, diverged, by_accuracy, early = panels[:5]
    assert by_loss.get_ylim() == diverged.get_ylim() == early.get_ylim()
    assert by_loss.get_ylim() not in (overview.get_ylim(), by_accuracy.get_ylim())
    assert len({axes.get_xlim() for axes in panels}) == 1
    numbered = [axes.yaxis.get_tick_params()["labelleft"] for axes in panels[:5]]
    assert numbered == [True, True, False, True, True]  # where a row begins, or another scale


def test_round_that_is_not_judged_yet_says_so(tmp_path: Path) -> None:
    results = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: {units: 1}}\n").load()
    figure, (axes,) = draw(together_in(results), looks_of(results))
    assert texts_of(axes) == ["not judged yet", "1 · All configurations"]
    check_texts(figure)


def test_round_of_very_many_candidates_shows_the_best_in_its_panel(tmp_path: Path) -> None:
    results = many(tmp_path, 60).load()
    figure, (axes,) = draw(together_in(results), looks_of(results))
    assert len(strong(axes)) == MOST_IN_PANEL
    assert "the best 12 are shown" in texts_of(axes)[0]
    check_texts(figure)


def test_very_many_rounds_are_the_last_ones(tmp_path: Path) -> None:
    study = without_replicates(tmp_path)
    study.record["rounds"] = [
        {"title": f"Round {number}", "candidates": ["one", "two"]} for number in range(1, 41)
    ]
    write_json(study.outputs / "study.json", study.record)
    results = study.load()
    figure, panels = draw(together_in(results), looks_of(results))
    assert [texts_of(axes)[1] for axes in panels] == [
        f"{number} · Round {number}" for number in range(25, 41)
    ]
    check_texts(figure)


LOSS, ACCURACY = metric_called("val_loss"), metric_called("val_accuracy")


def test_common_scale_is_of_the_best_figure_and_those_within_reach() -> None:
    best, near, far = Scale(0.40, 0.50), Scale(0.55, 0.70), Scale(1.5, 3.0)
    assert common_scale([far, near, best], LOSS) == Scale(0.40, 0.70)
    assert common_scale([Scale(0.1, 0.2), Scale(0.8, 0.9)], ACCURACY) == Scale(0.8, 0.9)
