"""What the summary says, in tables and sentences."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nbstudy.decision.elimination import Noise, Verdict, choose, judge
from nbstudy.decision.metrics import metric_called
from nbstudy.files import write_json
from nbstudy.records.openings import Opening, record_opening
from nbstudy.records.results import Results, load_results
from nbstudy.report import guide, page
from planted import (
    EPOCHS,
    RUNG_CURVES,
    WITHOUT_REPLICATES,
    Planted,
    column,
    flat,
    half_filled,
    halved,
    rows,
    without_replicates,
)

LOSS, ACCURACY = metric_called("val_loss"), metric_called("val_accuracy")
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
    return [results.judge(each) for each in results.rounds]


def round_of(results: Results, number: int) -> tuple[dict[str, dict[str, str]], str]:
    """Return the table of a round, by candidate, and what is said of it."""
    each = results.rounds[number - 1]
    verdict = results.judge(each)
    table = rows(page.table_of_round(results, each, verdict))
    return table, page.after_round(results, each, verdict)


# --- words and tables ---
def test_names_are_listed_as_in_a_sentence() -> None:
    assert page.listed(["a"]) == "a"
    assert page.listed(("a", "b")) == "a and b"
    assert page.listed(["a", "b", "c"]) == "a, b and c"


def test_of_many_names_the_first_are_listed() -> None:
    assert page.listed(list("abcdef"), most=3) == "a, b and 4 more"
    assert page.listed(list("abc"), most=3) == "a, b and c"
    assert page.listed([str(number) for number in range(1000)]).endswith(", 10 and 989 more")


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


def test_long_table_is_cut_and_says_so() -> None:
    text = page.table_of_many([{"name": str(number)} for number in range(1001)])
    assert len(rows(text)) == 50
    assert text.endswith("\n\nThese are the first 50 of 1,001, best first; `results.csv` has all.")
    assert "results.csv" not in page.table_of_many([{"name": str(number)} for number in range(50)])


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


def many(tmp_path: Path, names: int) -> Results:
    """Return what a grid left of which one run is missing, and the best is the one before it."""
    study = Planted(
        tmp_path,
        f"notebooks: {{run: train.ipynb}}\ngrid: [{{name: 'n{{units}}', units: {list(range(1, names + 1))}}}]",
    )
    for number in range(1, names):
        study.run(f"n{number}", [1 + 1 / number] * 3)
    return study.load()


def test_many_runs_are_cut_to_the_best_and_to_those_that_are_named(tmp_path: Path) -> None:
    results = many(tmp_path, 80)
    table = rows(page.table_of_runs(results))
    assert list(table)[:3] == ["n79", "n78", "n77"] and len(table) == 50
    each = results.rounds[0]
    assert len(rows(page.table_of_round(results, each, results.judge(each)))) == 50
    assert len(rows(page.table_of_criteria(results.rankings()))) == 50
    assert "n79 is chosen" in re.sub(r"\[(.*)\]\(.*?\)", r"\1", page.chosen_line(results, results.choose()))
    assert " from 79 configurations: " in page.chosen_line(results, results.choose())
    for name in list(results.runs)[:78]:
        (results.directory / name / "run.json").unlink()
    text = page.accounts(load_results(results.directory))
    assert text.endswith("- and 29 more: `results.csv` has the state of each") and text.count("\n") == 52


def test_links_hold_for_directories_with_spaces(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO, "my study")
    study.run("a", [0.5])
    assert "/my%20study/a/a.ipynb)" in page.link(study.load().runs["a"])


def test_different_environments_are_a_warning(results: Results, single: Results) -> None:
    text = page.environments(single)
    assert text.startswith("**Warning: runs differ in library versions or hardware,**")
    table = rows(text)
    assert column(table, "python") == ["3.11", "3.12"] and list(table) == ["3", "1"]
    assert column(table, "configurations") == ["one, two and all", "six"]
    assert "keras" not in table["3"]  # which is the same for all
    text = page.environments(results)
    assert "Warning" not in text
    assert text == "Runs were made with device x86_64, python 3.11 and keras 3."


def test_missing_study_is_said_with_the_cure(results: Results) -> None:
    nowhere = results.directory.parent / "nowhere"
    text = page.loaded(load_results(nowhere, missing_ok=True))
    assert text.startswith(f"**There is no study in `{nowhere.as_posix()}`**")
    assert results.directory.as_posix() in text and text.endswith("`python runner.py` makes one.")
    assert "**10 of 14" in page.loaded(results) and "x86_64" in page.loaded(results)


def test_what_is_not_usual_in_a_run_is_named_and_noted(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.run("a", [0.5] * 3, result={"ended": "no better for `5` epochs"})
    study.run("b", [0.5] * 3, environment_changes=["keras 3 -> 4 after epoch 2"])
    results = study.load()
    lines = page.accounts(results).splitlines()
    careful = "not from one environment, so be careful with small differences"
    assert lines[2:] == [
        f"- {linked(results, 'a')}: ended early: no better for '5' epochs",
        f"- {linked(results, 'b')}: {careful}: keras 3 → 4 after epoch 2",
    ]
    notes = column(rows(page.table_of_runs(results)), "note")
    assert notes == ["ended early: no better for '5' epochs", "keras 3 → 4 after epoch 2"]


def test_environments_that_the_runner_recorded_are_compared(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.measure("a", {"auc": 0.5}, environment={"processor": "EPYC", "python": "3.12"})
    assert page.environments(study.load()) == "Runs were made with processor EPYC and python 3.12."
    study.measure("b", {"auc": 0.5}, environment={"processor": "Xeon", "python": "3.12", "XLA_FLAGS": "x"})
    text = page.environments(study.load())
    assert text.startswith("**Warning: runs differ") and "| 1 | EPYC |  | a |\n| 1 | Xeon | x | b |" in text


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
    _, by_loss, _, by_accuracy, early, _ = results.rounds
    assert page.before_round(results, by_loss).startswith("### 2 · By loss\n\n")
    assert page.before_round(results, by_loss).endswith(
        "Look for the lines that end lowest: val_loss over all epochs."
    )
    assert "end highest: val_accuracy over all epochs" in page.before_round(results, by_accuracy)
    assert "over the first 6 epochs" in page.before_round(results, early)


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
    assert (both["differs from the best in"], both["note"]) == ("l2, dropout", "2 parameters at once")
    assert (far["differs from the best in"], far["note"]) == ("l2", "")


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
    assert table["b"]["note"] == "kept because it has 1 run: with 5 it would be dropped"
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
    study = Planted(tmp_path, TWO + "rounds: [{title: Mistyped, candidates: [a, b], metric: val_los}]\n")
    for name in ("a", "b"):
        study.run(name, [0.5, 0.4])
    table, words = round_of(study.load(), 1)
    assert column(table, "note") == ["has no val_los"] * 2
    assert words == (
        "**Nothing is decided here:** no run has a `val_los`; what runs have is loss, accuracy, cross_entropy, val_loss, "
        "val_accuracy and val_cross_entropy."
    )


def test_round_of_exploded_runs_alone_keeps_none(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    for name in ("a", "b"):
        study.run(name, [math.nan])
    _, words = round_of(study.load(), 1)
    assert words.startswith("**The rule drops all that are judged**, which are no longer finite.")


def test_round_of_all_configurations_by_a_metric_of_another_template(tmp_path: Path) -> None:
    study = Planted(
        tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: {}, b: {units: 8}, c: {units: 9}}"
    )
    for name, score in [("a", 0.5), ("b", 0.7), ("c", 0.7)]:
        place = study.run(name, [])
        (place / "history.csv").write_text("epoch,my_accuracy\n" + f"1,{score - 0.1}\n" + f"2,{score}\n" * 18)
        (place / "result.json").unlink()
    results = study.load()
    assert page.before_round(results, results.rounds[0]) == (
        "### 1 · All configurations\n\nLook for the lines that end highest: my_accuracy over all epochs."
    )
    table, words = round_of(results, 1)
    assert words.startswith("**The rule drops a**") and "original" not in words
    assert list(table) == ["b", "c", "a"]
    assert "original" not in table["a"]
    choice = results.choose()
    assert choice.chosen == "b"  # no run says its weights
    assert "**b** is the best: **it is the choice**" in page.choice_made(results, choice)
    assert "weights" not in page.answer(results, choice, results.rankings(), None, None)


def test_agreement_is_counted_without_the_overview(results: Results) -> None:
    text = page.agreement(results, verdicts_of(results))
    assert text.endswith(
        "The rule and the original agree entirely in 2 of 5 rounds, and on **11 of 16 decisions**."
    )
    table = rows(text)
    assert list(table) == ["2", "3", "4", "5", "6"]
    assert (table["2"]["judged"], table["2"]["agreed"]) == ("5", "2")
    assert (table["2"]["only the rule drops"], table["2"]["only the original dropped"]) == (
        "both",
        "near, far",
    )


def test_agreement_is_left_out_without_an_original(tmp_path: Path) -> None:
    results = Planted(tmp_path, TWO).load()
    assert page.agreement(results, verdicts_of(results)) == ""


# --- results without a history ---
MODELS = """
notebooks: {run: train.ipynb}
configurations:
  one: {replicates: 2}
  two: {units: 8, replicates: 2}
  six: {units: 8, precision: mixed_bfloat16}
"""


@pytest.fixture
def measured(tmp_path: Path) -> Results:
    """What a study left whose runs have no history and no weights."""
    study = Planted(tmp_path, MODELS)
    for name, accuracy in [
        ("one", 0.90),
        ("one_seed_1", 0.94),
        ("two", 0.94),
        ("two_seed_1", 0.97),
        ("six", 0.7),
    ]:
        study.measure(
            name, {"val_accuracy": accuracy, "val_brier_score": 1 - accuracy, "fits": 3}, seconds=12.0
        )
    return study.load()


def test_page_of_results_without_a_history_has_what_applies(measured: Results) -> None:
    assert page.what_decides(measured) == (
        "**val_accuracy decides** (higher is better), where a round does not name another metric: `metric` in the study "
        "file says which."
    )
    one = rows(page.table_of_runs(measured))["one"]
    assert list(one)[:5] == ["configuration", "val_accuracy", "val_brier_score", "fits", "minutes"]
    assert (one["val_accuracy"], one["val_brier_score"], one["fits"]) == ("0.9000", "0.1000", "3")
    each = measured.rounds[0]
    assert page.before_round(measured, each).endswith("\n\nBy val_accuracy (higher is better).")
    table, words = round_of(measured, 1)
    assert list(table) == ["two", "one", "six"] and words.startswith("**The rule drops six**")
    choice = measured.choose()
    best = [ranking.verdict.best for ranking in measured.rankings()]
    assert best == ["two", "two"]  # a Brier score is better when it is lower
    assert page.chosen_line(measured, choice).endswith(
        f" is chosen** from one, two and six: its val_accuracy is 0.9550 (95 % interval "
        f"{page.interval(choice, 'two', ACCURACY)}, 2 runs) and a run takes 12 seconds."
    )
    assert "one-standard-error" not in page.choice_made(measured, choice)
    conclusion = page.conclusion(measured, verdicts_of(measured), choice, measured.rankings(), None, None)
    assert not re.search(r"settled|weights|epoch|\bnan\b|None|test set", conclusion)


def test_parameter_of_words_is_changed_not_raised(measured: Results) -> None:
    ranking = measured.ranking()
    factors = [measured.factor(name, ranking.values) for name in measured.factors]
    text = page.effects(factors, ranking, measured.shortest)
    assert "\n- precision from float32 to mixed_bfloat16: of 1 step 0 better and 1 worse" in text
    assert "\n- Raising units: of 1 step 0 better and 0 worse" in text
    assert text.startswith("By val_accuracy; between single runs the rule sees ")


def test_round_over_epochs_by_a_metric_without_any_says_so(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO + "rounds: [{candidates: [a, b], metric: auc, epochs: 5}]\n")
    for name in ("a", "b"):
        study.run(name, [0.5] * 20, result={"auc": 0.9})
    results = study.load()
    by = "By auc (higher is better) at the end of each run, as no history has it: `epochs: 5` has no effect."
    assert page.before_round(results, results.rounds[0]).endswith(by)
    assert "over the first" not in page.chosen_line(results, results.choose())


def test_weights_decide_only_where_they_differ(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    for name, loss in [("a", 0.3), ("b", 0.2)]:
        study.run(name, flat(loss), result={"weights": 0})
    results = study.load()
    assert " weights" not in page.chosen_line(results, results.choose())
    for name in ("a", "b"):
        write_json(study.outputs / name / "result.json", {"weights": 500})
    results = study.load()
    choice = results.choose()
    assert "weights" in page.chosen_line(results, choice) and not page.is_smaller(results, choice)


def test_metric_whose_direction_nobody_knows_is_asked_for(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    for name, score in [("a", 0.5), ("b", 0.7)]:
        study.measure(name, {"my_score": score})
    results = study.load()
    cure = (
        "whether lower or higher values of `my_score` are better, its name does not say; write `metric: my_score` and "
        "`better: lower` or `better: higher` into the study file, and run it again"
    )
    choice, rankings = results.choose(), results.rankings()
    assert (
        page.answer(results, choice, rankings, None, None)
        == f"> **No configuration can be chosen yet**: {cure}."
    )
    assert page.what_decides(results) == f"**Nothing decides yet:** {cure}."
    table, words = round_of(results, 1)
    assert words == f"**Nothing is decided here:** {cure}."
    assert column(table, "my_score") == ["0.5000", "0.7000"] and column(table, "rule") == ["not judged"] * 2
    assert "note" not in table["a"]
    assert column(rows(page.table_of_runs(results)), "my_score") == ["0.5000", "0.7000"]


def test_round_by_a_metric_whose_direction_nobody_knows_asks_for_it_there(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO + "rounds: [{candidates: [a, b], metric: my_score}]\n")
    study.measure("a", {"my_score": 0.5, "auc": 0.5})
    results = study.load()
    _, words = round_of(results, 1)
    assert "; write `better: lower` or `better: higher` beside it into the round of the study file" in words
    assert words[len("**Nothing is decided here:** ") :] in page.chosen_line(results, results.choose())
    assert page.what_decides(results).startswith("**auc decides**")


def test_runs_that_left_no_number_say_what_to_leave(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.measure("a", {"name": "x"})
    results = study.load()
    missing = "no run left a number to judge it by, in `history.csv` or `result.json`."
    assert page.chosen_line(results, results.choose()) == f"**No configuration can be chosen yet**: {missing}"


def test_replicates_that_are_all_equal_are_a_warning(tmp_path: Path) -> None:
    study = Planted(tmp_path, MODELS)
    for name in study.record["configurations"]:
        study.measure(name, {"auc": 0.5})
    _, words = round_of(study.load(), 1)
    assert "All replicates are equal, so chance seems to change nothing" in words


# --- the factors ---
def test_effects_are_counted_in_steps(results: Results) -> None:
    early = results.ranking(epochs=results.shortest)
    factors = [results.factor(name, early.values) for name in results.factors]
    text = page.effects(factors, early, results.shortest)
    # between two single runs: Student's 2.353 for 3 degrees of freedom, times 0.01826 times the root of two
    assert text.startswith("By val_loss over the first 20 epochs; between single runs the rule sees 0.0608, ")
    # along l2 good, near, far and tie
    assert (
        "\n- Raising l2: of 3 steps 0 better and 0 worse by more than chance explains; mean change +0.0000."
        in text
    )
    assert (
        "\n- Raising units: of 1 step 0 better and 0 worse by more than chance explains; mean change -0.0050."
        in text
    )
    assert "dropout" not in text


def test_step_between_means_may_be_smaller_than_one_between_single_runs(results: Results) -> None:
    ranking = results.ranking()
    (step,) = page.steps_of(results.factor("units", ranking.values), ranking.verdict)
    assert step.change == pytest.approx(-0.005)
    assert step.allowed == pytest.approx(2.35336 * 0.0182574 * math.sqrt(1 / 3 + 1 / 2), rel=1e-4)


def test_effect_on_an_accuracy_is_better_where_it_rises() -> None:
    steps = [page.Step(("8", "16"), change, 0.05) for change in (0.2, 0.2, -0.1, 0.04)]
    counts = "of 4 steps 2 better and 1 worse by more than chance explains"
    assert page.effect("Raising units", steps, ACCURACY) == f"Raising units: {counts}; mean change +0.0850."
    assert "1 better and 2 worse" in page.effect("Raising units", steps, LOSS)
    unknown = [page.Step(("8", "16"), 0.2, math.inf)]
    assert "of 1 step 0 better, and nobody knows how much is chance; mean" in page.effect(
        "Raising units", unknown, LOSS
    )


def test_effects_are_left_out_where_no_runs_differ_in_one_parameter(results: Results) -> None:
    ranking = results.ranking()
    assert page.effects([], ranking, None) == ""
    assert page.effects([results.factor("l2", {})], ranking, 5) == ""


# --- what the criterion hides ---
def test_criteria_are_ranked_side_by_side(results: Results) -> None:
    table = rows(page.table_of_criteria(results.rankings()))
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
    text = page.criteria_compared(results, results.choose(), results.rankings())
    assert text.splitlines() == [
        page.criteria_line(results.choose(), results.rankings()),
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
    by_loss = [results.ranking(), results.ranking(metric_called("val_cross_entropy"))]
    same = "**Each criterion chooses the same:** settled val_loss and settled val_cross_entropy."
    assert page.criteria_line(results.choose(), by_loss) == same
    assert page.criteria_line(results.choose(), by_loss[:1]) == ""


# --- which one is best ---
def test_choice_is_explained(results: Results) -> None:
    choice = results.choose()
    table = rows(page.table_of_choice(results, choice))
    assert list(table) == ["wide", "good", "near"]
    assert column(table, "settled val_loss") == ["0.2950", "0.3000", "0.3350"]
    assert column(table, "runs") == ["2", "3", "1"] and column(table, "weights") == [
        "32,000",
        "16,000",
        "16,000",
    ]
    half = 3.18245 * 0.0182574 / math.sqrt(3)
    assert table["good"]["95 % interval"] == f"{0.3 - half:.4f} to {0.3 + half:.4f}"
    assert page.choice_made(results, choice) == (
        "The candidates are those of the last round, *The choice*: good, near and wide. "
        "Of what the rule keeps, wide, good and near, **good** is the smallest: **it is the choice**. "
        "The one-standard-error rule chooses it, too. The original was left with good and wide."
    )


def test_choice_without_known_chance_is_the_best_and_says_so(single: Results) -> None:
    words = page.choice_made(single, single.choose())
    assert (
        "As nobody knows how much is chance, the best value counts, that of **one**: **it is the choice**."
        in words
    )


def test_replicates_needed_are_said_with_the_line_for_the_study_file(results: Results) -> None:
    words = page.more_replicates(results, results.choose())
    found = re.fullmatch(
        r"To tell wide and good apart at the difference seen, 0\.0050, with a chance of 80% takes about (\d+) runs of "
        r"each \((\d+) more than there are, about \2 minutes of computing\): write `replicates: \1` into wide and good "
        r"in the study file, and run it again\.",
        words,
    )
    assert found and int(found[2]) == 2 * int(found[1]) - 5


def test_first_replicates_are_advised_where_there_are_none(single: Results) -> None:
    line = "write `replicates: 3` into one and two in the study file, and run it again."
    assert page.more_replicates(single, single.choose()).endswith(line)


def test_replicates_are_not_advised_where_the_choice_is_clear(tmp_path: Path) -> None:
    study = Planted(
        tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: {replicates: 2}, b: {units: 8}}"
    )
    for name, end in [("a", 0.3), ("a_seed_1", 0.301), ("b", 0.9)]:
        study.run(name, flat(end))
    results = study.load()
    choice = results.choose()
    assert page.more_replicates(results, choice) == ""
    assert "The rule keeps **a** alone: **it is the choice**." in page.choice_made(results, choice)
    explained = choice.verdict.against["b"].allowed
    words = f"The runner-up, b, is worse by 0.5995, where chance explains {explained:.4f} at most."
    assert page.runner_up_line(choice) == words


# --- final test evaluation ---
def test_test_set_stays_shut_while_anything_is_not_complete(results: Results, single: Results) -> None:
    words = "4 of 14 configurations are not complete"
    assert page.why_shut(results) == words
    assert page.test_state(results, words) == f"**The test set stays shut:** {words}."
    assert page.why_shut(single) is None
    assert page.test_state(single, None) == "**The test set is open** for all."


def test_test_set_stays_shut_without_a_final_configuration(tmp_path: Path) -> None:
    assert page.why_shut(Planted(tmp_path, TWO).load()) == "the study names no final configuration"


def test_test_set_stays_shut_for_a_quick_look(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO + "final: a\n", overrides=[("epochs", "3"), ("seed", "1")])
    for name in ("a", "b"):
        study.run(name, [0.5] * 3)
    results = study.load()
    words = "this is a quick look, with epochs 3 and seed 1 for all configurations, and decides nothing"
    assert page.why_shut(results) == words


def test_openings_are_told_with_suspicion_where_there_was_more_than_one(tmp_path: Path) -> None:
    one = Opening("final", "abc", "2026-11-26T14:00:00Z", 0.88, 0.4)
    two = Opening("wide", "def", "2026-11-27T14:00:00Z")
    others = "Other studies on the same images have records of their own."
    assert page.openings_in_words([one]) == f"It was opened once, on 2026-11-26 for final. {others}"
    assert page.openings_in_words([one, two]) == (
        "**It was opened 2 times:** on 2026-11-26 for final and on 2026-11-27 for wide; whoever saw an earlier result "
        f"may have chosen by it, so be suspicious of this one. {others}"
    )
    study = without_replicates(tmp_path)
    record_opening(study.outputs, "all", "abc")
    assert " It was opened once, on 20" in page.test_state(study.load(), "shut")
    (study.outputs / "test.json").write_text("{")
    assert page.test_state(study.load(), "shut") == "**The test set stays shut:** shut."


def predictions(right: int, of: int) -> pd.DataFrame:
    """Return what a network says of images of two classes; those it gets wrong show the second."""
    return pd.DataFrame({"true": [0] * right + [1] * (of - right), "said": 0, "loss": 0.25, "certainty": 0.9})


def test_accuracy_is_said_with_wilsons_interval() -> None:
    tested = page.tested_by(predictions(8_800, 10_000))
    words = page.test_accuracy(tested, {"people": 0.835, "an MLP": 0.8833, "a CNN": 0.99})
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
    counts = page.confusions(predictions(6, 8), ["cat", "dog", "cow"])
    assert counts.loc["dog", "cat"] == 2 and counts.loc["cat", "cat"] == 6
    text = page.table_of_classes(counts.assign(cow=[0, 0, 0]))
    assert text.startswith("Most often dog is taken for cat.\n\n")
    table = rows(text)
    assert (table["cat"]["precision"], table["cat"]["recall"]) == ("0.7500", "1.0000")
    assert (table["dog"]["precision"], table["dog"]["recall"]) == ("0.0000", "0.0000")


# --- the answer, and the conclusion ---
def linked(results: Results, name: str) -> str:
    """Return a name as a link to its log."""
    return page.link(results.runs[name])


def test_answer_is_five_plain_lines(results: Results) -> None:
    choice, rankings = results.choose(), results.rankings()
    sure = f"95 % interval {page.interval(choice, 'good', LOSS)}, 3 runs"
    what = f"its settled val_loss is 0.3000 ({sure}), it has 16,000 weights and a run takes 1.0 minutes"
    answer = page.answer(results, choice, rankings, page.why_shut(results), None)
    assert answer.split("\n>\n") == [
        f"> **{linked(results, 'good')} is chosen** from good, near and wide: {what}.",
        "> The best mean is that of wide, better by 0.0050: too close to call, so the smaller network is chosen.",
        f"> {page.criteria_line(choice, rankings)}",
        "> **The test set stays shut:** 4 of 14 configurations are not complete.",
        "> **Not complete yet**, so that this may change: 4 of 14 configurations (cut, broken, old and never).",
    ]


def test_answer_leaves_out_what_does_not_apply(tmp_path: Path) -> None:
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {only: }")
    study.run("only", [0.5, 0.4], seconds=0.0)
    results = study.load()
    answer = page.answer(results, results.choose(), results.rankings(), page.why_shut(results), None)
    name = linked(results, "only")
    assert (
        answer
        == f"> **{name} is chosen**: its settled val_loss is 0.4000 (1 run) and it has 128,000 weights."
    )


def test_answer_says_what_the_test_set_says_of_which_model(single: Results) -> None:
    tested = page.Tested(75, 100, 0.25)
    line = page.test_line(single, single.choose(), None, tested)
    model = "all, which is one (the choice) but for refit True"
    assert line == f"**The test accuracy is {tested}**, that of {model}."


def test_answer_asks_for_suspicion_where_the_test_set_was_opened_more_than_once(tmp_path: Path) -> None:
    study = without_replicates(tmp_path)
    for weights in ("abc", "def"):
        record_opening(study.outputs, "all", weights)
    results = study.load()
    line = page.test_line(results, results.choose(), None, page.Tested(75, 100, 0.25))
    assert line.endswith("; **the test set was opened 2 times**, so be suspicious of it.")


def test_last_epoch_says_how_much_stopping_there_can_change(tmp_path: Path) -> None:
    study = without_replicates(tmp_path)
    history = pd.read_csv(study.outputs / "one" / "history.csv")
    history.assign(val_accuracy=[0.1] * 18 + [0.8, 0.9]).to_csv(
        study.outputs / "one" / "history.csv", index=False
    )
    results = study.load()
    assert page.last_epoch(results, results.choose()) == (
        "A model is what its last epoch left, and epochs differ: over the last 2 of one the val_accuracy is 0.8500 on "
        "average, 0.8000 at worst and 0.9000 at best."
    )
    for name in ("one", "two", "six"):
        study.run(name, [0.5], attempt=1)
        (study.outputs / name / "run.json").unlink()
    assert page.last_epoch(study.load(), results.choose()) == ""


def test_answer_keeps_the_cure_for_the_section_on_the_test_set(single: Results) -> None:
    line = page.test_line(single, single.choose(), "model.keras is not here; remove it", None)
    assert line == "**The test set stays shut:** model.keras is not here."


def test_conclusion_gives_the_reasons(results: Results) -> None:
    choice, rankings = results.choose(), results.rankings()
    text = page.conclusion(results, verdicts_of(results), choice, rankings, page.why_shut(results), None)
    said, unseen = text.split("\n\n### What the original could not see\n\n")
    heading, _, *points = said.splitlines()
    assert heading == "## Conclusion"
    assert points == [
        f"- {page.chosen_line(results, choice)}",
        f"- **Why.** {page.choice_made(results, choice)} {page.runner_up_line(choice)}",
        f"- **How sure.** {page.noise_in_words(choice.verdict.noise)} {page.more_replicates(results, choice)}",
        f"- {page.criteria_line(choice, rankings)}",
        "- **The test set stays shut:** 4 of 14 configurations are not complete.",
        f"- {page.incomplete_line(results)}",
    ]
    assert unseen == (
        "It did not know by how much chance alone changes a run: a standard deviation of 0.0183 in a run's val_loss, "
        "as replicates show. Of its 6 eliminations, chance explains 3: those of near and far."
    )


def test_conclusion_of_a_study_without_an_original_says_nothing_of_one(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    study.run("a", [0.5])
    results = study.load()
    text = page.conclusion(results, verdicts_of(results), results.choose(), results.rankings(), None, None)
    assert "original" not in text and "test set" not in text


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
    words = page.what_the_original_could_not_see(
        results, verdicts_of(results), results.choose(), page.Tested(8_700, 10_000, 0.4)
    )
    assert words.startswith(
        "Its criterion, val_loss, adds to the error of each network the network's own penalty. "
        f"Without a penalty networks classify {how}: a median val_accuracy of 0.9050 and at best 0.9100 (wide) without "
        f"one, a median val_accuracy of {accuracy:.4f} and at best {accuracy:.4f} (tame) with one. "
        "The original dropped 2 of the 2 without. It did not know by how much "
    )
    assert "All 2 of its eliminations are larger than what chance explains." in words
    assert words.endswith(f"the test set says: {page.Tested(8_700, 10_000, 0.4)} for tame.")


def test_noise_is_said_as_it_is_known() -> None:
    assert page.noise_in_words(Noise(0.01, 6)).endswith("as replicates show (6 degrees of freedom).")
    assert "a guess from the last 20 epochs of a" in page.noise_in_words(Noise(0.01, 19, run="a"))
    assert "is unknown" in page.noise_in_words(Noise(math.nan, 0))


@pytest.mark.parametrize("text", [TWO, WITHOUT_REPLICATES])
def test_page_of_a_study_without_runs_says_so(tmp_path: Path, text: str) -> None:
    results = Planted(tmp_path, text).load()
    assert re.match(r"\*\*0 of \d configurations are complete\.\*\*", page.loaded(results))
    verdicts, choice, rankings = verdicts_of(results), results.choose(), results.rankings()
    for each, verdict in zip(results.rounds, verdicts, strict=True):
        notes = column(rows(page.table_of_round(results, each, verdict)), "note")
        assert all(note.endswith("missing") for note in notes)
        assert page.after_round(results, each, verdict) == "None of the candidates can be judged yet."
    assert page.table_of_criteria(rankings) == page.criteria_compared(results, choice, rankings) == ""
    assert page.table_of_choice(results, choice) == page.more_replicates(results, choice) == ""
    answer = page.answer(results, choice, rankings, "shut", None)
    assert answer.startswith("> **No configuration can be chosen yet**: no run can be judged.\n")
    conclusion = page.conclusion(results, verdicts, choice, rankings, "shut", None)
    assert "- **No configuration can be chosen yet**" in conclusion and "Why" not in conclusion


# --- rungs ---
@pytest.fixture(scope="module")
def climbed(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What a study left whose three rungs are decided."""
    return halved(tmp_path_factory.mktemp("climbed"), rungs=3).load()


def test_rung_is_shown_around_its_cut(climbed: Results) -> None:
    table, said = round_of(climbed, 1)
    links = column(table, "candidate")
    assert [re.sub(r"\[(.*)\].*", r"\1", link) for link in links] == list(RUNG_CURVES)
    assert column(table, "goes on") == ["yes", "yes", "yes", "no", "no"]
    assert column(table, "val_loss") == ["0.5000", "0.5200", "0.5400", "0.7000", "0.8000"]
    assert column(table, "dropout") == ["0.0", "0.1", "0.2", "0.3", "0.4"]
    assert said.startswith(
        "**3 of 5 go on:** first, second and third. "
        "The last that does, third, is ahead of the first that does not, fourth, by 0.1600."
    )


def test_rung_that_waits_says_for_whom(tmp_path: Path) -> None:
    results = halved(tmp_path, rungs=2, behind=["third"]).load()
    _, said = round_of(results, 2)
    assert said == "**Not decided yet:** 2 of 3 candidates are complete; it waits for third."


def test_last_rung_is_judged_by_its_new_runs_alone(climbed: Results) -> None:
    table, said = round_of(climbed, 3)
    assert column(table, "val_loss") == ["0.3200", "0.4200"]
    assert column(table, "runs") == ["2", "2"]
    assert said.startswith("**The rule drops second** and keeps first.")


def test_choice_of_a_halving_names_how_many_candidates_there_were(climbed: Results) -> None:
    answer = page.answer(climbed, climbed.choose(), climbed.rankings(), "", None)
    assert re.search(r"\*\*\[first\]\(\S+\) is chosen\*\* from 5 candidates: ", answer)


def test_cost_of_halving_is_compared_with_training_everything(climbed: Results) -> None:
    # 4 epochs of first to third, 2 of fourth and fifth, 4 of four new runs; 5 candidates with 2 runs of 4 epochs each
    assert page.what_halving_saved(climbed).startswith(
        "**Cost to the decision:** the rungs took 32 TFLOP. To train every candidate as the last rung "
        "trains its own takes 40: the share is **0.80**."
    )


def test_rungs_are_explained_where_there_are_some(climbed: Results, results: Results) -> None:
    assert "with new seeds, and these runs alone count" in guide.how_rungs_work(climbed)
    assert guide.how_rungs_work(results) == ""
