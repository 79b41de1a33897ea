"""What there is to say of each round: decisions and notes."""

from __future__ import annotations

import math
from pathlib import Path

from nbstudy.records.results import Results
from nbstudy.report.rounds import what_is_compared
from planted import Planted, column, flat
from told import round_of

TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


def test_round_says_what_is_compared(results: Results) -> None:
    _, by_loss, _, by_accuracy, early, _ = results.rounds
    assert what_is_compared(by_loss, by_epoch=True) == "By val_loss (lower is better) over all epochs."
    assert (
        what_is_compared(by_accuracy, by_epoch=True) == "By val_accuracy (higher is better) over all epochs."
    )
    assert what_is_compared(early, by_epoch=True).endswith(" over the first 6 epochs.")


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
