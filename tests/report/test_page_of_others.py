"""The page of studies without histories, of unknown metrics, of very many runs, and of none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nbstudy.decision.metrics import metric_called
from nbstudy.files import write_json
from nbstudy.records.results import Results, load_results
from nbstudy.report import criteria, factors, loaded, rounds, together
from nbstudy.report.answer import chosen_line, write
from nbstudy.report.choice import choice_made, table_of_choice
from nbstudy.report.choice import write as write_choice
from nbstudy.report.criteria import criteria_compared
from nbstudy.report.factors import effects_in_words
from nbstudy.report.loaded import accounts
from nbstudy.report.next_steps import more_replicates
from nbstudy.report.phrases import interval
from nbstudy.report.rankings import rankings_of
from nbstudy.report.rounds import what_is_compared
from nbstudy.report.runs import what_decides
from planted import WITHOUT_REPLICATES, Planted, column, rows
from told import (
    answer_of,
    chosen_in,
    configurations_of,
    criteria_of,
    judged_in,
    round_of,
    runs_in,
    together_in,
)

ACCURACY = metric_called("val_accuracy")


TWO = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"


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
    table = configurations_of(results)
    assert list(table)[:3] == ["n79", "n78", "n77"] and len(table) == 20
    each = results.rounds[0]
    assert len(rows(rounds.table_of_round(rounds.compute(results, each)))) == 20
    assert list(rows(together.write(together_in(results)))) == list(table)
    assert "n79 is chosen" in re.sub(r"\[(.*)\]\(.*?\)", r"\1", chosen_line(chosen_in(results)))
    assert " from 79 configurations: " in chosen_line(chosen_in(results))
    for name in list(results.runs)[:78]:
        (results.directory / name / "run.json").unlink()
    text = accounts(loaded.compute(load_results(results.directory)))
    assert text.endswith("- and 59 more: `results.csv` has the state of each") and text.count("\n") == 22


def test_round_of_all_configurations_by_a_metric_of_another_template(tmp_path: Path) -> None:
    study = Planted(
        tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: {}, b: {units: 8}, c: {units: 9}}"
    )
    for name, score in [("a", 0.5), ("b", 0.7), ("c", 0.7)]:
        place = study.run(name, [])
        (place / "history.csv").write_text("my_accuracy\n" + f"{score - 0.1}\n" + f"{score}\n" * 18)
        (place / "result.json").unlink()
    results = study.load()
    assert (
        what_is_compared(results.rounds[0], by_epoch=True)
        == "By my_accuracy (higher is better) over all epochs."
    )
    table, words = round_of(results, 1)
    assert words.startswith("**The rule drops a**") and "original" not in words
    assert list(table) == ["b", "c", "a"]
    assert "original" not in table["a"]
    choice = results.choose()
    assert choice.chosen == "b"  # no run says its weights
    assert "**b** is the best: **it is the choice**" in choice_made(chosen_in(results))
    assert "weights" not in write(answer_of(results))


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
    assert what_decides(runs_in(measured)) == (
        "**val_accuracy decides** (higher is better), where a round does not name another metric."
    )
    one = configurations_of(measured)["one"]
    assert list(one)[:5] == ["configuration", "minutes", "val_accuracy", "val_brier_score", "fits"]
    assert (one["val_accuracy"], one["val_brier_score"], one["fits"]) == (
        "**0.9200**",
        "**0.0800**",
        "3.0000",
    )
    assert what_is_compared(measured.rounds[0], by_epoch=False) == "By val_accuracy (higher is better)."
    table, words = round_of(measured, 1)
    assert list(table) == ["two", "one", "six"] and words.startswith("**The rule drops six**")
    choice = measured.choose()
    best = [ranking.verdict.best for ranking in rankings_of(measured)]
    assert best == ["two", "two"]  # a Brier score is better when it is lower
    assert (
        f" is chosen** from 3 configurations: val_accuracy 0.9550 (95 % interval over seeds "
        f"{interval(choice.verdict, 'two', ACCURACY)}, 2 runs), 12 seconds a run."
    ) in chosen_line(chosen_in(measured))
    assert "one-standard-error" not in choice_made(chosen_in(measured))
    said = (
        write(answer_of(measured)) + write_choice(chosen_in(measured)) + together.write(together_in(measured))
    )
    assert not re.search(r"settled|weights|epoch|\bnan\b|None|test set", said)


def test_parameter_of_words_is_changed_not_raised(measured: Results) -> None:
    effects = factors.compute(measured)
    assert effects is not None
    text = effects_in_words(effects)
    assert "\n- precision from float32 to mixed_bfloat16: of 1 step 0 better and 1 worse" in text
    assert "\n- Raising units: of 1 step 0 better and 0 worse" in text
    assert text.startswith("By val_accuracy; between single runs the rule sees ")


def test_round_over_epochs_by_a_metric_without_any_says_so(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO + "rounds: [{candidates: [a, b], metric: auc, epochs: 5}]\n")
    for name in ("a", "b"):
        study.run(name, [0.5] * 20, result={"auc": 0.9})
    results = study.load()
    by = "By auc (higher is better) at the end of each run, as no history has it: `epochs: 5` has no effect."
    assert what_is_compared(results.rounds[0], by_epoch=False) == by
    assert "over the first" not in chosen_line(chosen_in(results))


def test_replicates_that_are_all_equal_are_a_warning(tmp_path: Path) -> None:
    study = Planted(tmp_path, MODELS)
    for name in study.record["configurations"]:
        study.measure(name, {"auc": 0.5})
    _, words = round_of(study.load(), 1)
    assert "All replicates are equal, so chance seems to change nothing" in words


# --- metrics of which nobody knows what is better ---
def test_metric_whose_direction_nobody_knows_is_asked_for(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO)
    for name, score in [("a", 0.5), ("b", 0.7)]:
        study.measure(name, {"my_score": score})
    results = study.load()
    cure = (
        "whether lower or higher values of `my_score` are better, its name does not say; write `metric: my_score` and "
        "`better: lower` or `better: higher` into the study file, and run it again"
    )
    assert write(answer_of(results)) == f"> **No configuration can be chosen yet**: {cure}."
    assert what_decides(runs_in(results)) == f"**Nothing decides yet:** {cure}."
    table, words = round_of(results, 1)
    assert words == f"**Nothing is decided here:** {cure}."
    assert column(table, "my_score") == ["0.5000", "0.7000"] and column(table, "rule") == ["not judged"] * 2
    assert "note" not in table["a"]
    assert column(configurations_of(results), "my_score") == ["0.5000", "0.7000"]


def test_round_by_a_metric_whose_direction_nobody_knows_asks_for_it_there(tmp_path: Path) -> None:
    study = Planted(tmp_path, TWO + "rounds: [{candidates: [a, b], metric: auc}]\n")
    study.record["rounds"][0]["metric"] = "my_score"  # as an earlier version let through
    write_json(study.outputs / "study.json", study.record)
    study.measure("a", {"my_score": 0.5, "auc": 0.5})
    results = study.load()
    _, words = round_of(results, 1)
    assert "; write `better: lower` or `better: higher` beside it into the round of the study file" in words
    assert words[len("**Nothing is decided here:** ") :] in chosen_line(chosen_in(results))
    assert what_decides(runs_in(results)).startswith("**auc decides**")


# --- no runs ---
@pytest.mark.parametrize("text", [TWO, WITHOUT_REPLICATES])
def test_page_of_a_study_without_runs_says_so(tmp_path: Path, text: str) -> None:
    results = Planted(tmp_path, text).load()
    assert re.match(r"\*\*0 of \d runs are complete\.\*\*", loaded.write(loaded.compute(results)))
    for judged in judged_in(results):
        notes = column(rows(rounds.table_of_round(judged)), "note")
        assert all(note.endswith("missing") for note in notes)
        assert rounds.after_round(judged) == "None of the candidates can be judged yet."
    assert criteria.write(criteria_of(results)) == criteria_compared(criteria_of(results)) == ""
    assert table_of_choice(chosen_in(results)) == more_replicates(chosen_in(results)) == ""
    answer = write(answer_of(results, "shut"))
    assert answer.startswith("> **No configuration can be chosen yet**: no run can be judged.")
