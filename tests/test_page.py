"""What the summary says, in tables and sentences."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nbstudy import page
from nbstudy.elimination import Choice, Verdict, choose, judge
from nbstudy.results import Ranking, Results, load_results
from planted import WITHOUT_REPLICATES, Planted, column, half_filled, rows, without_replicates

TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What a half-filled study with replicates left."""
    return half_filled(tmp_path_factory.mktemp("planted")).load()


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What a complete study without replicates left."""
    return without_replicates(tmp_path_factory.mktemp("complete")).load()


def verdicts_of(results: Results) -> list[Verdict]:
    """Judge every round, as the summary does."""
    return [judge(results.scores(each.metric, each.epochs), each.candidates) for each in results.rounds]


def rankings_of(results: Results) -> list[Ranking]:
    """Rank by every criterion, as the summary does."""
    others = [results.ranking(metric) for metric in results.watched if metric != results.metric]
    return [results.ranking(), results.ranking(by_best_epoch=True), *others]


def choice_of(results: Results) -> Choice:
    """Choose, as the summary does."""
    return choose(results.scores(), results.sizes)


def round_of(results: Results, number: int) -> tuple[dict[str, dict[str, str]], str]:
    """Return the table of a round, by candidate, and what is said of it."""
    each = results.rounds[number - 1]
    verdict = verdicts_of(results)[number - 1]
    table = rows(page.table_of_round(results, each, verdict))
    return table, page.after_round(results, each, verdict)


# --- words and tables ---
def test_names_are_listed_as_in_a_sentence() -> None:
    assert page.listed([]) == "nothing"
    assert page.listed(["a"]) == "a"
    assert page.listed(("a", "b")) == "a and b"
    assert page.listed(["a", "b", "c"]) == "a, b and c"


def test_table_formats_numbers_and_leaves_out_what_is_empty() -> None:
    table = page.table(
        [
            {
                "name": "a_b",
                "count": 12_345,
                "value": 0.5,
                "nothing": None,
                "missing": math.nan,
                "flag": True,
            },
            {"name": "c|d", "count": pd.NA, "value": np.float64(1.23456), "late_one": np.int64(1000)},
        ]
    )
    assert table == (
        "| name | count | value | flag | late_&#8203;one |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| a_b | 12,345 | 0.5000 | True |  |\n"
        "| c&#124;d |  | 1.2346 |  | 1,000 |"
    )
    assert page.table([]) == page.table([{"a": None}]) == ""


# --- load the runs ---
def test_every_run_is_accounted_for(results: Results) -> None:
    place = results.directory.as_posix()
    assert page.accounts(results).splitlines() == [
        "**10 of 14 configurations are complete.**",
        "",
        f"- [wild]({place}/wild/wild.ipynb): its loss was no longer finite at epoch 12, and training ended there",
        f"- [cut]({place}/incomplete/cut/2/cut.ipynb): unfinished at epoch 7",
        f"- [broken]({place}/incomplete/broken/1/broken.ipynb): failed at epoch 3: `ValueError: a|b 'c'`",
        f"- [old]({place}/old/old.ipynb): stale at epoch 20: l2 0.7 → 0.0",
        "- never: missing",
        "- other: extra, on disk but not in the study",
    ]


def test_links_hold_for_directories_with_spaces(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO, "my study")
    study.run("a", [0.5])
    assert "/my%20study/a/a.ipynb)" in page.link(study.load().runs["a"])


def test_different_environments_are_a_warning(results: Results, single: Results) -> None:
    text = page.environments(single)
    assert text.startswith("**Warning: runs differ in library versions or hardware,**")
    assert column(rows(text), "python") == ["3.11", "3.12"] and list(rows(text)) == ["3", "1"]
    text = page.environments(results)
    assert "Warning" not in text
    assert rows(text) == {"13": {"runs": "13", "device": "x86_64", "python": "3.11", "keras": "3"}}


def test_missing_study_is_said_with_the_cure(results: Results) -> None:
    nowhere = results.directory.parent / "nowhere"
    text = page.loaded(load_results(nowhere, missing_ok=True))
    assert text.startswith(f"**There is no study in `{nowhere.as_posix()}`**")
    assert results.directory.as_posix() in text and text.endswith("`python runner.py` makes one.")
    assert "**10 of 14" in page.loaded(results) and "x86_64" in page.loaded(results)


# --- all runs ---
def test_table_of_runs_shows_what_each_came_to(results: Results) -> None:
    table = rows(page.table_of_runs(results))
    assert list(table) == list(results.runs)
    near = table["near"]
    assert (near["l2"], near["weights"], near["epochs"], near["minutes"]) == ("0.1", "16,000", "20", "1.0")
    assert (near["best val_loss"], near["at epoch"], near["settled val_loss"]) == ("0.2000", "4", "0.3350")
    assert (near["settled val_accuracy"], near["gap"], near["state"]) == ("0.8700", "0.0000", "")
    assert (table["cut"]["state"], table["broken"]["state"], table["never"]["settled val_loss"]) == (
        "unfinished",
        "failed",
        "",
    )
    assert "settled val_cross_entropy" not in near  # the third metric is in results.csv alone


def test_parameters_that_nearly_all_have_in_common_are_named_below_the_others(results: Results) -> None:
    table = rows(page.table_of_runs(results))
    assert "units" not in table["good"] and "dropout" not in table["good"]
    assert table["both"]["configuration"].endswith("<br>dropout 0.5")
    assert table["wide_1"]["configuration"].endswith("<br>units 32<br>seed 1")
    assert "<br>" not in table["good"]["configuration"]


# --- elimination ---
def test_rule_is_shown_as_it_is_written() -> None:
    text = page.source_of(judge, choose)
    assert text.startswith("```python\ndef judge(") and text.endswith("\n```")
    assert "\n\n\ndef choose(" in text


def test_round_says_what_to_look_for(results: Results) -> None:
    _, by_loss, _, by_accuracy, early = results.rounds
    assert page.before_round(by_loss).startswith("### 2 · By loss\n\n")
    assert page.before_round(by_loss).endswith(
        "Look for the lines that end lowest: val_loss over all epochs."
    )
    assert "end highest: val_accuracy over all epochs" in page.before_round(by_accuracy)
    assert "over the first 6 epochs" in page.before_round(early)


def test_round_shows_decisions_and_where_the_original_differs(results: Results) -> None:
    table, words = round_of(results, 2)
    assert words == (
        "**The rule drops far and both**, and keeps what is within 0.0365 of good: 2 standard deviations between "
        "replicates. The original dropped near and far. **They disagree on near and both.**"
    )
    assert list(table) == ["good", "tie", "near", "far", "both"]
    assert column(table, "val_loss") == ["0.3000", "0.3000", "0.3350", "0.3370", "0.5000"]
    assert column(table, "rule") == ["kept", "kept", "kept", "dropped", "dropped"]
    assert column(table, "worse by") == ["0.0000", "0.0000", "0.0350", "0.0370", "0.2000"]
    assert column(table, "original") == ["kept", "kept", "dropped", "dropped", "kept"]


def test_two_parameters_at_once_are_marked(results: Results) -> None:
    table, _ = round_of(results, 2)
    both, far = table["both"], table["far"]
    assert (both["differs from the best in"], both["note"]) == ("l2, dropout", "2 parameters at once")
    assert (far["differs from the best in"], far["note"]) == ("l2", "")


def test_diverged_run_is_dropped_and_one_cut_short_is_not_judged(results: Results) -> None:
    table, words = round_of(results, 3)
    assert words.startswith("**The rule drops wild**")
    assert words.endswith("The original dropped wild. **They agree.**")
    assert {name: row["rule"] for name, row in table.items()} == {
        "good": "kept",
        "wild": "dropped",
        "cut": "not judged",
        "never": "not judged",
    }
    assert (table["wild"]["val_loss"], table["wild"]["worse by"]) == ("", "inf")
    assert (table["cut"]["note"], table["never"]["note"]) == ("unfinished at epoch 7", "missing")


def test_accuracy_is_better_when_higher_and_what_was_dropped_is_brought_back(results: Results) -> None:
    table, words = round_of(results, 4)
    assert words.startswith("**The rule drops good**, and keeps what is within 0.0365 of far")
    assert list(table) == ["far", "near", "good"]
    assert table["far"]["note"] == table["near"]["note"] == "brought back, dropped in round 2"
    assert (table["good"]["val_accuracy"], table["good"]["worse by"]) == ("0.8000", "0.1000")


def test_unfinished_run_is_judged_where_it_has_come_far_enough(results: Results) -> None:
    table, _ = round_of(results, 5)
    assert (table["cut"]["rule"], table["cut"]["val_loss"]) == ("kept", "0.0100")
    assert table["cut"]["note"] == "unfinished at epoch 7"
    assert table["good"]["rule"] == "dropped"
    assert table["good"]["note"] == "brought back, dropped in round 4"


def test_overview_decides_nothing(results: Results) -> None:
    _, words = round_of(results, 1)
    assert words.endswith("The original decided nothing here: this is its overview.")
    assert "They" not in words


def test_round_without_replicates_says_what_stands_in_for_them(single: Results) -> None:
    _, words = round_of(single, 1)
    allowed = "2 standard deviations within the last 2 epochs of one, as there are no replicates"
    assert words.startswith(f"**The rule drops six**, and keeps what is within 0.0283 of one: {allowed}.")
    assert words.endswith("**They agree.**")


def test_round_of_a_single_settled_epoch_drops_nothing(single: Results) -> None:
    _, words = round_of(single, 2)
    assert words.startswith(
        "**The rule drops nothing**, and keeps the rest, since the noise within a single settled epoch is unknown."
    )


def test_round_by_a_metric_that_no_run_has_says_so(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO + "rounds: [{title: Mistyped, candidates: [a, b], metric: val_los}]\n")
    for name in ("a", "b"):
        study.run(name, [0.5, 0.4])
    table, words = round_of(study.load(), 1)
    assert column(table, "note") == ["has no val_los"] * 2
    assert words == "**The rule drops nothing**, and keeps the rest, since none of them can be judged."


def test_round_of_all_configurations_by_a_metric_of_another_template(tmp_path: Path) -> None:
    study = Planted(
        tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: {}, b: {units: 8}, c: {units: 9}}"
    )
    for name, score in [("a", 0.5), ("b", 0.7), ("c", 0.7)]:
        place = study.run(name, [])
        (place / "history.csv").write_text("epoch,my_score\n" + f"1,{score - 0.1}\n" + f"2,{score}\n" * 18)
        (place / "result.json").unlink()
    results = study.load()
    assert page.before_round(results.rounds[0]) == (
        "### 1 · All configurations\n\nLook for the lines that end highest: my_score over all epochs."
    )
    table, words = round_of(results, 1)
    assert words.startswith("**The rule drops a**") and "original" not in words
    assert list(table) == ["b", "c", "a"]
    assert "original" not in table["a"]
    assert choice_of(results).chosen == "b"  # no run says its weights


def test_agreement_is_counted_without_the_overview(results: Results) -> None:
    text = page.agreement(results, verdicts_of(results))
    assert text.endswith(
        "The rule and the original agree entirely in 2 of 4 rounds, and on **10 of 13 decisions**."
    )
    table = rows(text)
    assert list(table) == ["2", "3", "4", "5"]
    assert (table["2"]["judged"], table["2"]["agreed"]) == ("5", "3")
    assert (table["2"]["only the rule drops"], table["2"]["only the original dropped"]) == ("both", "near")


def test_agreement_needs_an_original(tmp_path: Path) -> None:
    results = Planted(tmp_path, TWO).load()
    text = page.agreement(results, verdicts_of(results))
    assert text.startswith("The study file names nothing that was dropped before")


# --- the factors ---
def test_effects_are_counted_in_steps(results: Results) -> None:
    early = results.ranking(epochs=results.shortest)
    factors = [results.factor(name, early.values) for name in results.factors]
    text = page.effects(factors, results.metric, results.shortest, early.verdict.threshold)
    assert text.startswith("By val_loss over the first 12 epochs, with a noise of 0.0")
    # along l2 good, near, far and tie; wild has exploded at epoch 12
    assert "\n- Raising l2: of 3 steps 1 better and 0 worse by more than the noise; mean change " in text
    units = "of 1 steps 0 better and 0 worse by more than the noise; mean change +0.0050."
    assert f"\n- Raising units: {units}" in text
    assert "dropout" not in text


def test_effect_on_an_accuracy_is_better_where_it_rises() -> None:
    counts = "of 3 steps 2 better and 1 worse by more than the noise"
    assert page.effect("units", [0.2, 0.2, -0.1], "accuracy", 0.05) == (
        f"Raising units: {counts}; mean change +0.1000."
    )
    assert "1 better and 2 worse" in page.effect("units", [0.2, 0.2, -0.1], "loss", 0.05)
    assert "0 better and 0 worse" in page.effect("units", [0.2, 0.2, -0.1], "loss", math.nan)


def test_effects_need_runs_that_differ_in_one_parameter(results: Results) -> None:
    nothing = "No two judged runs differ in one parameter alone."
    assert page.effects([], "loss", None, 0.1) == nothing
    assert page.effects([results.factor("l2", {})], "loss", 5, 0.1) == nothing


# --- what the criterion hides ---
def test_criteria_are_ranked_side_by_side(results: Results) -> None:
    table = rows(page.table_of_criteria(rankings_of(results)))
    assert table["1"] == {
        "rank": "1",
        "settled val_loss": "**good 0.3000**",
        "best val_loss": "**near 0.2000**",
        "settled val_accuracy": "**far 0.9000**",
        "settled val_cross_entropy": "**good 0.2500**",
    }
    assert table["7"]["settled val_loss"] == "wild nan"
    assert len(table) == 7


def test_criteria_that_would_decide_otherwise_are_named(results: Results) -> None:
    text = page.criteria_compared(results, rankings_of(results))
    assert "- By settled val_accuracy, far would be ahead of good by more than the noise.\n" in text
    assert "near: its val_loss was 0.2000 at epoch 4 and settled at 0.3350.\n" in text
    change = "would be dropped by best val_loss and settled val_accuracy"
    assert f"- **good, the best by settled val_loss, {change}.**" in text


def test_criteria_that_agree_say_so(single: Results) -> None:
    text = page.criteria_compared(single, rankings_of(single)[:1] * 2)
    assert text.endswith("- **one, the best by settled val_loss, would be kept by each of these rankings.**")


# --- which one is best ---
def test_choice_is_explained(results: Results) -> None:
    # means 0.300 and 0.295; 0.01826 over the root of two is 0.0129
    choice = choice_of(results)
    table = rows(page.table_of_choice(results, choice))
    assert {name: row["within one standard error"] for name, row in table.items()} == {
        "good": "yes",
        "wide": "yes",
    }
    assert column(table, "mean settled val_loss") == ["0.3000", "0.2950"]
    assert column(table, "replicates") == ["3", "2"] and column(table, "weights") == ["16,000", "32,000"]
    assert page.choice_made(results, choice) == (
        "The best mean above is that of wide. One standard error is 0.0129, from the deviation between replicates. "
        "Of what is within it, **good** is the smallest: **the rule's choice**. "
        "The original was left with good and cut."
    )


def test_choice_without_replicates_is_explained(single: Results) -> None:
    words = page.choice_made(single, choice_of(single))
    assert "One standard error is 0.0141, from the deviation within the last 2 epochs of one" in words
    assert "Of what is within it, **one** is the smallest" in words


# --- final test evaluation ---
def test_test_set_stays_closed_while_anything_is_not_complete(results: Results, single: Results) -> None:
    words = "4 of 14 configurations are not complete (cut, broken, old and never)"
    assert page.why_closed(results) == words
    assert page.test_state("good", words) == f"**The test set stays closed:** {words}."
    assert page.why_closed(single) is None
    assert page.test_state("all", None) == "**The test set is opened** for all."


def test_test_set_stays_closed_without_a_final_configuration(tmp_path: Path) -> None:
    assert page.why_closed(Planted(tmp_path, TWO).load()) == "the study names no final configuration"


def predictions(right: int, of: int) -> pd.DataFrame:
    """Return what a network says of images of two classes; those it gets wrong show the second."""
    return pd.DataFrame({"true": [0] * right + [1] * (of - right), "said": 0, "loss": 0.25, "certainty": 0.9})


def test_accuracy_is_said_with_wilsons_interval() -> None:
    words = page.test_accuracy(predictions(8_800, 10_000), {"people": 0.835, "an MLP": 0.8833, "a CNN": 0.99})
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


def test_classes_have_precision_and_recall() -> None:
    counts = page.confusions(predictions(6, 8), ["cat", "dog", "cow"])
    assert counts.loc["dog", "cat"] == 2 and counts.loc["cat", "cat"] == 6
    text = page.table_of_classes(counts.assign(cow=[0, 0, 0]))
    assert text.startswith("Most often dog is taken for cat.\n\n")
    table = rows(text)
    assert (table["cat"]["precision"], table["cat"]["recall"]) == ("0.7500", "1.0000")
    assert (table["dog"]["precision"], table["dog"]["recall"]) == ("0.0000", "0.0000")


# --- conclusion ---
def test_conclusion_names_the_choice_and_what_is_undecided(results: Results) -> None:
    text = page.conclusion(results, choice_of(results), rankings_of(results), page.why_closed(results), None)
    assert text.splitlines() == [
        "## Conclusion",
        "",
        "- **Chosen: good**, the smallest within one standard error of wide's mean, the best.",
        "- **It costs** 16,000 weights and 1.0 minutes a run.",
        "- **Tested:** good, which is tie but for l2 0.0; not the one chosen here.",
        "- **Test:** it stays closed: 4 of 14 configurations are not complete (cut, broken, old and never).",
        "- **Undecided,** too close to good to call: tie, wide and near.",
        "- **Undecided,** rankings that would drop good: best val_loss and settled val_accuracy.",
        "- **Undecided,** not complete: cut, broken, old and never.",
    ]


def test_conclusion_says_what_was_tested(single: Results) -> None:
    text = page.conclusion(single, choice_of(single), rankings_of(single), None, predictions(75, 100))
    assert "- **Tested:** all, which is one but for refit True; the chosen one.\n" in text
    assert "- **Test:** accuracy 0.7500, loss 0.2500.\n" in text


def test_conclusion_names_single_runs_that_are_better(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO.replace("b:", "a_1: {seed: 1}, lucky: {units: 9}, b:"))
    for name, end in [("a", 0.3), ("a_1", 0.31), ("lucky", 0.2), ("b", 0.5)]:
        study.run(name, [end] * 20)
    results = study.load()
    text = page.conclusion(results, choice_of(results), rankings_of(results), "shut", None)
    assert "- **Undecided,** better than the best mean, but in a single run: lucky." in text


@pytest.mark.parametrize("text", [TWO, WITHOUT_REPLICATES])
def test_page_of_a_study_without_runs_says_so(tmp_path: Path, text: str) -> None:
    results = Planted(tmp_path, text).load()
    assert re.match(r"\*\*0 of \d configurations are complete\.\*\*", page.loaded(results))
    verdicts = verdicts_of(results)
    for each, verdict in zip(results.rounds, verdicts, strict=True):
        notes = column(rows(page.table_of_round(results, each, verdict)), "note")
        assert all(note.endswith("missing") for note in notes)
        assert "since none of them can be judged" in page.after_round(results, each, verdict)
    assert page.table_of_criteria(rankings_of(results)) == ""
    assert page.criteria_compared(results, rankings_of(results)) == "There is no run that can be judged."
    choice = choice_of(results)
    assert page.table_of_choice(results, choice) == ""
    assert page.choice_made(results, choice) == "There is no run to choose from."
    conclusion = page.conclusion(results, choice, rankings_of(results), "shut", None)
    assert "- **Nothing is chosen yet:** there is no run that can be judged.\n" in conclusion
