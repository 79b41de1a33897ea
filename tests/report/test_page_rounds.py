"""The sections of the rounds: decisions, notes and figures."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib.pyplot as plt

from drawn import check_texts, many
from nbstudy.decision.metrics import metric_called
from nbstudy.records.results import Results
from nbstudy.report import choice, rounds
from nbstudy.report.colours import GREY
from nbstudy.report.looks import looks_of
from nbstudy.report.rounds import before_round
from planted import Planted, column, flat
from told import round_of

LOSS, ACCURACY = metric_called("val_loss"), metric_called("val_accuracy")


TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


def test_round_says_what_to_look_for(results: Results) -> None:
    _, by_loss, _, by_accuracy, early, _ = results.rounds
    assert before_round(results, by_loss).startswith("### 2 · By loss\n\n")
    assert before_round(results, by_loss).endswith(
        "Look for the lines that end lowest: val_loss over all epochs."
    )
    assert "end highest: val_accuracy over all epochs" in before_round(results, by_accuracy)
    assert "over the first 6 epochs" in before_round(results, early)


def test_round_shows_decisions_and_where_the_original_differs(results: Results) -> None:
    table, words = round_of(results, 2)
    assert words == (
        "**The rule drops both** and keeps good, tie, near and far. "
        "Chance alone changes a run by a standard deviation of 0.0183, as replicates show (3 degrees of freedom). "
        "The original dropped near and far. **They disagree on near, far and both.**"
    )
    assert list(table) == ["good", "tie", "near", "far", "both"]
    assert column(table, "val_loss") == ["0.3000", "0.3000", "0.3350", "0.3370", "0.5000"]
    assert column(table, "runs") == ["3", "1", "1", "1", "1"]
    assert column(table, "worse by") == ["", "0.0000", "0.0350", "0.0370", "0.2000"]
    assert column(table, "than") == ["", "good", "good", "good", "good"]
    allowed = results.judge(results.rounds[1]).against["far"].allowed
    assert column(table, "allowed") == ["", *[f"{allowed:.4f}"] * 4]
    assert column(table, "rule") == ["kept", "kept", "kept", "kept", "dropped"]
    assert column(table, "original") == ["kept", "kept", "dropped", "dropped", "kept"]


def test_two_parameters_at_once_are_marked(results: Results) -> None:
    table, _ = round_of(results, 2)
    both, far = table["both"], table["far"]
    assert (both["differs from the best in"], both["note"]) == (
        "l2, dropout",
        "2 parameters at once; borrowed deviation: 1 run",
    )
    assert (far["differs from the best in"], far["note"]) == ("l2", "borrowed deviation: 1 run")
    assert table["good"]["note"] == ""


def test_diverged_run_is_dropped_and_one_cut_short_is_not_judged(results: Results) -> None:
    table, words = round_of(results, 3)
    assert words.startswith("**The rule drops wild** and keeps good.")
    assert words.endswith("The original dropped wild. **They agree.**")
    assert {name: row["rule"] for name, row in table.items()} == {
        "good": "kept",
        "wild": "dropped",
        "cut": "not judged",
        "never": "not judged",
    }
    assert table["wild"]["val_loss"] == ""
    assert (table["cut"]["note"], table["never"]["note"]) == ("unfinished at epoch 7", "missing")


def test_accuracy_is_better_when_higher_and_what_was_dropped_is_brought_back(results: Results) -> None:
    table, words = round_of(results, 4)
    assert words.startswith("**The rule drops good** and keeps far and near.")
    assert list(table) == ["far", "near", "good"]
    assert table["far"]["note"] == "brought back, dropped in round 2"
    assert (
        table["near"]["note"] == "brought back, dropped in round 2; borrowed deviation of near and far: 1 run"
    )
    assert table["good"]["note"] == "borrowed deviation of far: 1 run"
    assert (table["good"]["val_accuracy"], table["good"]["worse by"]) == ("0.8000", "0.1200")


def test_unfinished_run_is_judged_where_it_has_come_far_enough(results: Results) -> None:
    table, _ = round_of(results, 5)
    assert (table["cut"]["rule"], table["cut"]["val_loss"]) == ("kept", "0.0100")
    assert table["cut"]["note"] == "unfinished at epoch 7"
    assert table["good"]["rule"] == "dropped"
    assert table["good"]["note"] == "brought back, dropped in round 4; borrowed deviation of cut: 1 run"


def test_overview_decides_nothing(results: Results) -> None:
    _, words = round_of(results, 1)
    assert words.endswith("The original decided nothing here: this is its overview.")
    assert "They" not in words


def test_candidate_that_only_its_single_run_kept_is_marked(tmp_path: Path) -> None:
    configurations = "a: {replicates: 5}, b: {units: 8}, c: {units: 9}"
    study = Planted(
        tmp_path,
        f"notebooks: {{run: train.ipynb}}\nconfigurations: {{{configurations}}}\n"
        "rounds: [{candidates: [a, b, c, a_seed_1]}]",
    )
    ends = [
        ("a", 0.1),
        *((f"a_seed_{seed}", 0.1 + (-1) ** seed * 0.05) for seed in range(1, 5)),
        ("b", 0.2),
        ("c", 0.5),
    ]
    for name, end in ends:
        study.run(name, flat(end))
    table, words = round_of(study.load(), 1)
    assert table["b"]["note"] == (
        "kept because it has 1 run: with 5 it would be dropped; borrowed deviation: 1 run"
    )
    assert table["a_seed_1"]["note"] == "a replicate of a" and table["a_seed_1"]["rule"] == "not judged"
    assert words.startswith("**The rule drops c** and keeps a and b.")


def test_round_without_replicates_says_that_the_noise_is_a_guess(single: Results) -> None:
    _, words = round_of(single, 1)
    guess = "a guess from the last 2 epochs of one, as there are no replicates"
    varies = "Chance alone changes a run by a standard deviation of 0.0141"
    assert words == (
        f"**The rule keeps all that are judged.** {varies}, {guess}. "
        "The original dropped six. **They disagree on six.**"
    )


def test_round_of_a_single_settled_epoch_says_that_chance_is_unknown(single: Results) -> None:
    table, words = round_of(single, 2)
    assert "By how much chance changes a run is unknown" in words
    assert "allowed" not in table["two"] and table["two"]["worse by"] == "0.0000"


def test_round_by_a_metric_that_no_run_has_says_so(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO + "rounds: [{title: Mistyped, candidates: [a, b], metric: val_acc}]\n")
    for name in ("a", "b"):
        study.run(name, [0.5, 0.4])
    table, words = round_of(study.load(), 1)
    assert column(table, "note") == ["has no val_acc"] * 2
    assert words == (
        "**Nothing is decided here:** no run has a `val_acc`; what runs have is loss, accuracy, cross_entropy, val_loss, "
        "val_accuracy and val_cross_entropy."
    )


def test_round_of_exploded_runs_alone_keeps_none(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    for name in ("a", "b"):
        study.run(name, [math.nan])
    _, words = round_of(study.load(), 1)
    assert words.startswith("**The rule drops all that are judged**, which are no longer finite.")


# --- figures ---
def test_round_draws_its_candidates(results: Results) -> None:
    by_loss = results.rounds[1]
    looks = looks_of(results)
    axes = rounds.draw(rounds.compute(results, by_loss), looks)
    assert axes is not None
    colours = {text.get_text(): text.get_color() for text in axes.texts}
    assert colours["good"] == looks["good"].colour and colours["both"] == GREY
    assert len(axes.collections) == 1  # the replicates of good
    check_texts(axes.figure)


def test_every_round_can_be_read(results: Results) -> None:
    looks = looks_of(results)
    for each in results.rounds:
        axes = rounds.draw(rounds.compute(results, each), looks)
        assert axes is not None
        check_texts(axes.figure)


def test_round_of_very_many_candidates_is_a_ranking(tmp_path: Path) -> None:
    results = many(tmp_path, 60).load()
    (everyone,) = results.rounds
    axes = rounds.draw(rounds.compute(results, everyone), looks_of(results))
    assert axes is not None
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == [f"n_{number}" for number in range(1, 31)]
    assert axes.get_title(loc="left") == "The best 30 of 60"
    check_texts(axes.figure)


def test_round_without_epochs_is_a_ranking(tmp_path: Path) -> None:
    study = Planted(
        tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: {units: 1}, b: {units: 2}}\n"
    )
    study.run("a", [0.5])
    study.run("b", [0.4])
    results = study.load()
    axes = rounds.draw(rounds.compute(results, results.rounds[0]), looks_of(results))
    assert axes is not None
    assert [text.get_text() for text in axes.get_yticklabels()] == ["b", "a"]


def test_round_by_a_number_of_the_results_is_a_ranking_of_means_and_runs(tmp_path: Path) -> None:
    study = Planted(
        tmp_path,
        "notebooks: {run: train.ipynb}\nconfigurations: {a: {replicates: 2}, b: {units: 2}, c: {units: 3}, d: {units: 4}}\n",
    )
    for name, accuracy in [("a", 0.90), ("a_seed_1", 0.92), ("b", 0.50), ("c", 0.915)]:
        study.measure(name, {"val_accuracy": accuracy})
    results = study.load()
    each = results.rounds[0]
    verdict = results.judge(each)
    looks = looks_of(results)
    axes = rounds.draw(rounds.compute(results, each), looks)
    assert axes is not None and verdict.dropped == ("b",)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["c", "a", "b"]
    assert axes.get_xlabel() == "val_accuracy (higher is better)"
    assert [text.get_color() for text in axes.texts] == [looks["c"].colour, looks["a"].colour, GREY]
    assert list(axes.lines[1].get_xdata()) == [0.90, 0.92]  # the runs of a
    assert len(axes.collections) == 3  # intervals
    check_texts(axes.figure)
    assert choice.draw(choice.contest_of(results, each, verdict), looks) is not None


def test_round_by_a_metric_whose_direction_nobody_knows_is_shown_but_not_judged(tmp_path: Path) -> None:
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 2}}\n")
    study.measure("a", {"my_score": 2.0})
    study.measure("b", {"my_score": 1.0})
    results = study.load()
    each = results.rounds[0]
    axes = rounds.draw(rounds.compute(results, each), looks_of(results))
    assert axes is not None and axes.get_xlabel() == "my_score"
    assert [line.get_marker() for line in axes.lines] == ["x", "x"] and not axes.collections
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b"]  # as the study has them


def test_round_of_which_nothing_is_there_has_no_figure(tmp_path: Path) -> None:
    results = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: {units: 1}}\n").load()
    each = results.rounds[0]
    assert rounds.draw(rounds.compute(results, each), looks_of(results)) is None
    assert not plt.get_fignums()


def test_parameter_that_a_kind_does_not_set_is_no_difference_at_once(tmp_path: Path) -> None:
    study = Planted(
        tmp_path,
        "notebooks: {run: digits.ipynb}\nmetric: val_accuracy\nbetter: higher\n"
        "configurations:\n"
        "  mlp: {model: mlp}\n"
        "  svm: {model: svm, C: 10, gamma: 0.2}\n"
        "  softer: {model: svm, C: 0.1, gamma: 0.2}\n"
        "  wide: {model: svm, C: 0.1, gamma: 0.3}\n"
        "  logistic: {model: logistic, C: 10}\n",
    )
    for name, accuracy in [("svm", 0.9), ("mlp", 0.8), ("softer", 0.7), ("wide", 0.6), ("logistic", 0.5)]:
        study.measure(name, {"val_accuracy": accuracy})
    table, _ = round_of(study.load(), 1)
    differing = {name: row["differs from the best in"] for name, row in table.items()}
    assert differing["mlp"] == "model, C (not set by both), gamma (not set by both)"
    assert differing["logistic"] == "model, gamma (not set by both)"
    assert (differing["softer"], differing["wide"]) == ("C", "C, gamma")
    assert [name for name, row in table.items() if "at once" in row.get("note", "")] == ["wide"]
