"""The section on the choice, and what there is to do next."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbstudy.decision.elimination import judge
from nbstudy.decision.odds import odds_of
from nbstudy.decision.scores import Score
from nbstudy.records.parameters import Parameters
from nbstudy.records.results import Results
from nbstudy.report import choice, next_steps
from nbstudy.report.choice import choice_made, table_of_choice, what_intervals_say
from nbstudy.report.next_steps import Edge, more_replicates
from nbstudy.study.study import load_study
from nbstudy.study.study_file import read_text
from planted import Planted, column, flat, halved, rows
from told import chosen_in, criteria_of


def test_choice_is_explained(results: Results) -> None:
    table = rows(table_of_choice(chosen_in(results)))
    assert list(table) == ["wide", "good", "near"]
    assert column(table, "settled val_loss") == ["0.2950", "0.3000", "0.3350"]
    assert column(table, "runs") == ["2", "3", "1"]
    assert column(table, "weights") == ["32,000", "16,000", "16,000"]
    odds = odds_of(chosen_in(results).verdict)
    assert column(table, "odds") == [f"{odds[name].best:.2f}" for name in ("wide", "good", "near")]
    assert column(table, "loses") == [f"{odds[name].loss:.4f}" for name in ("wide", "good", "near")]
    assert "than" not in table["good"]  # all are compared with the best
    half = 3.18245 * 0.0182574 / math.sqrt(3)
    assert table["good"]["95 % interval over seeds"] == f"{0.3 - half:.4f} to {0.3 + half:.4f}"
    assert choice_made(chosen_in(results)) == (
        "Of what the rule keeps, wide, good and near, **good** is the smallest: **it is the choice**. "
        "The one-standard-error rule (Breiman, Friedman, Olshen and Stone, 1984), the smallest whose mean is within one "
        "standard error of the best, chooses it, too. The original was left with good and wide."
    )


def test_section_does_not_ask_to_compare_intervals(results: Results) -> None:
    # two means can differ by more than chance explains though their intervals overlap
    assert "two that overlap may still differ" in choice.write(chosen_in(results))


def test_odds_of_very_many_candidates_say_from_how_few_draws_they_are(results: Results) -> None:
    contest = chosen_in(results).contest
    assert contest is not None and "draws" not in what_intervals_say(contest)
    many = {f"n_{number}": Score(0.1 * (number // 2), f"n_{number // 2 * 2}") for number in range(2500)}
    verdict = judge(many, [name for name, score in many.items() if score.configuration == name])
    told = what_intervals_say(replace(contest, verdict=verdict))
    assert told.endswith(" As these are 1,250, both are found from 16,000 draws alone.")


def test_choice_without_known_chance_is_the_best_and_says_so(single: Results) -> None:
    words = choice_made(chosen_in(single))
    assert (
        "As nobody knows how much is chance, the best value counts, that of **one**: **it is the choice**."
        in words
    )


def test_replicates_needed_are_said_with_the_line_for_the_study_file(results: Results) -> None:
    words = more_replicates(chosen_in(results))
    found = re.fullmatch(
        r"To tell wide and good apart at the difference seen, 0\.0050, with a chance of 80% takes about (\d+) runs of "
        r"each \((\d+) more runs, about \2 minutes of computing\): write `replicates: \1` into wide and good "
        r"in the study file, and run it again\.",
        words,
    )
    assert found and int(found[2]) == 2 * int(found[1]) - 5


def test_runs_of_a_configuration_that_is_named_anew_are_all_counted(tmp_path: Path) -> None:
    study = Planted(
        tmp_path,
        "notebooks: {run: train.ipynb}\ngrid: [{name: 'n_{units}', units: [8, 16], replicates: 3}]\n",
    )
    for name, parameters in study.record["configurations"].items():
        study.run(name, flat(0.3 + 0.01 * (parameters["units"] == 16) + 0.01 * parameters["seed"]))
    words = more_replicates(chosen_in(study.load()))
    found = re.search(
        r"takes about (\d+) runs of each \((\d+) more runs, .*best: {extends: n_8, replicates", words
    )
    assert found and int(found[2]) == 2 * int(found[1])


def test_first_replicates_are_advised_where_there_are_none(single: Results) -> None:
    line = "write `replicates: 3` into one and two in the study file, and run it again."
    assert more_replicates(chosen_in(single)).endswith(line)


def follow(study: str, words: str) -> str:
    """Return a study file after what a sentence says to write into it."""
    document = read_text(study)
    (advice,) = re.findall(r"write (.*) in the study file, and run it again", words)
    named = re.search(r"`replicates: (\d+)` into (\w+)(?: and (\w+))?", advice)
    if named and named[2] == "the":
        document["halving"]["rungs"][-1]["replicates"] = int(named[1])
    elif named:
        for name in filter(None, named.groups()[1:]):
            document["configurations"][name] = (document["configurations"][name] or {}) | {
                "replicates": int(named[1])
            }
    for line in re.findall(r"`(\w+: \{.*?\})`", advice):
        document.setdefault("configurations", {}).update(read_text(line))
    for keep, rung in re.findall(r"`keep: (\d)` into the rung, and after it a rung `(\{.*?\})`", advice):
        document["halving"]["rungs"][-1]["keep"] = int(keep)
        document["halving"]["rungs"].append(read_text(rung))
    return json.dumps(document)


def seeds_of(configurations: dict[str, dict[str, Any]], name: str) -> set[int]:
    """Return the seeds of a configuration's runs, however they are called."""
    first = Parameters(configurations, "epochs", None).first
    return {given["seed"] for run, given in configurations.items() if first[run] == first[name]}


ADVISED = {  # study files, and what is advised for their two best
    "named": ("configurations: {a: , b: {units: 8}}", "`replicates: 3` into a and b"),
    "product": (
        "grid: [{name: 'xgb_{units}', units: [7, 8]}]",
        "`best: {extends: xgb_7, replicates: 3}` and `second: {extends: xgb_8, replicates: 3}` under `configurations`",
    ),
    "sample": (
        "grid: [{name: '{n}', sample: 2, units: {from: 1, to: 99}}]",
        '`best: {extends: "0", replicates: 3}` and `second: {extends: "1", replicates: 3}` under `configurations`',
    ),
    "both": (
        "configurations: {a: }\ngrid: [{name: 'units={units},', units: [7]}]",
        '`replicates: 3` into a and `second: {extends: "units=7,", replicates: 3}` under `configurations`',
    ),
    "taken": (
        "configurations: {best: }\ngrid: [{name: 'Best_{units}', units: [7]}]",
        "`replicates: 3` into best and `second: {extends: Best_7, replicates: 3}` under `configurations`",
    ),
    "own seed": (
        "configurations: {a: {seed: 7}, b: {seed: 2, units: 8}}",
        (
            "`best: {extends: a, replicates: 3}`, `second: {extends: b, seed: 0}` and "
            "`second_again: {extends: second, replicates: 3}` under `configurations`"
        ),
    ),
    "common seed": (
        "defaults: {seed: 1}\nconfigurations: {a: , b: {seed: 0, units: 8}}",
        (
            "`best: {extends: a, seed: 0}`, `best_again: {extends: best, replicates: 3}` and "
            "`second: {extends: b, replicates: 3}` under `configurations`"
        ),
    ),
    "name of a replicate taken": (
        "configurations: {a: , a_seed_2: {units: 9}, b: {units: 8}}\nrounds: [{candidates: [a, b]}]",
        "`replicates: 3` into b and `best: {extends: a, replicates: 3}` under `configurations`",
    ),
}


@pytest.mark.parametrize("case", ADVISED)
def test_advice_to_add_replicates_can_be_followed_as_it_is(tmp_path: Path, case: str) -> None:
    text, advised = ADVISED[case]
    text = f"notebooks: {{run: train.ipynb}}\n{text}\n"
    study = Planted(tmp_path, text)
    first, *others = study.record["configurations"]
    for name in study.record["configurations"]:
        study.run(name, [0.5] * 18 + [0.90, 0.92])
    for name, loss in [(first, 0.30), (others[-1], 0.31)]:
        shutil.rmtree(study.outputs / name)
        study.run(name, [0.5] * 18 + [loss, loss + 0.02])
    words = more_replicates(chosen_in(study.load()))
    assert f"write {advised} in the study file" in words
    file = tmp_path / "params" / "mine.yaml"
    file.write_text(follow(text, words))
    configurations = load_study(file).configurations
    assert len(seeds_of(configurations, first)) >= 3 and len(seeds_of(configurations, others[-1])) >= 3


@pytest.mark.parametrize(
    ("rungs", "advised"),
    [
        ("[{epochs: 4}]", "`keep: 2` into the rung, and after it a rung `{epochs: 4, replicates: 3}`,"),
        ("[{epochs: 2, keep: 2}, {epochs: 4}]", "`replicates: 3` into the last rung"),
    ],
)
def test_advice_to_add_replicates_to_a_halving_can_be_followed_as_it_is(
    tmp_path: Path, rungs: str, advised: str
) -> None:
    text = "notebooks: {run: train.ipynb}\ngrid: [{name: 'm_{units}', units: [7, 8, 9]}]\n"
    text += f"halving: {{candidates: 'm_*', metric: val_loss, rungs: {rungs}}}\n"
    study = Planted(tmp_path, text)
    for name, loss in [("m_7", 0.30), ("m_8", 0.31), ("m_9", 0.9)]:
        study.run(name, [loss] * 4, parameters=study.record["configurations"][name] | {"epochs": 4})
    words = more_replicates(chosen_in(study.load()))
    assert f"write {advised} in the study file" in words
    file = tmp_path / "params" / "mine.yaml"
    file.write_text(follow(text, words))
    halving = load_study(file).halving
    assert halving is not None and halving.rungs[-1].replicates == 3


def test_advice_to_add_replicates_needs_seeds_that_can_differ(tmp_path: Path) -> None:
    study = Planted(
        tmp_path,
        "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n",
        overrides=[("seed", "3")],
    )
    study.run("a", [0.5] * 18 + [0.30, 0.32])
    study.run("b", [0.5] * 18 + [0.31, 0.33])
    assert more_replicates(chosen_in(study.load())).startswith("Without `-p seed`, ")


def test_replicates_are_not_advised_where_the_choice_is_clear(tmp_path: Path) -> None:
    study = Planted(
        tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: {replicates: 2}, b: {units: 8}}"
    )
    for name, end in [("a", 0.3), ("a_seed_1", 0.301), ("b", 0.9)]:
        study.run(name, flat(end))
    results = study.load()
    assert more_replicates(chosen_in(results)) == ""
    assert "The rule keeps **a** alone: **it is the choice**." in choice_made(chosen_in(results))
    steps = next_steps.compute(chosen_in(results), criteria_of(results))
    assert next_steps.write(steps) == "## What to do next\n\nNothing: the choice is clear."


# --- what to do next ---
def test_what_is_not_complete_comes_first(results: Results) -> None:
    text = next_steps.write(next_steps.compute(chosen_in(results), criteria_of(results)))
    first, second = text.removeprefix("## What to do next\n\n").splitlines()
    assert first == (
        "- **Run the study again:** 4 of 14 runs are not complete, so that all this may change (cut, broken, old "
        "and never)."
    )
    assert second == f"- **Be surer:** {more_replicates(chosen_in(results))}"


def test_who_is_ahead_by_the_same_metric_but_took_no_part_is_to_compete(tmp_path: Path) -> None:
    study = Planted(
        tmp_path,
        "notebooks: {run: train.ipynb}\nconfigurations: {a: {replicates: 2}, b: {units: 8}, c: {units: 9}}\n"
        "rounds: [{candidates: [a, b, c]}, {candidates: [a, b], metric: val_accuracy}]\n",
    )
    for name, loss, accuracy in [
        ("a", 0.3, 0.8),
        ("a_seed_1", 0.31, 0.81),
        ("b", 0.9, 0.5),
        ("c", 0.9, 0.99),
    ]:
        study.run(name, flat(loss), accuracy)
    results = study.load()
    steps = next_steps.compute(chosen_in(results), criteria_of(results))
    assert steps.left_out == ["c"]
    assert (
        "- **Let those compete that took no part in the last round:** by settled val_accuracy, c is ahead of a by more than "
        "chance explains; name them in `candidates` of the last round, with `replicates: 3` for each that has one run."
    ) in next_steps.write(steps)


def test_search_whose_best_lie_at_an_end_is_to_go_on_there(tmp_path: Path) -> None:
    study = Planted(
        tmp_path,
        "notebooks: {run: train.ipynb}\n"
        "grid: [{name: 'm_{units}_{batch_size}', units: [8, 16, 32], batch_size: [64, 128, 256], replicates: 2}]\n",
    )
    for name, given in study.record["configurations"].items():
        loss = 0.3 if given["batch_size"] == 64 and given["units"] != 32 else 0.9
        study.run(name, flat(loss + 0.01 * given["seed"]))
    results = study.load()
    steps = next_steps.compute(chosen_in(results), criteria_of(results))
    assert steps.edges == [Edge("batch_size", ["64"], is_low=True)]
    further = (
        "- **Search further:** all that the rule keeps have batch_size 64, the lowest that was searched."
    )
    assert further in next_steps.write(steps)


def test_parameter_without_a_middle_has_no_end(tmp_path: Path) -> None:
    results = halved(tmp_path, rungs=3).load()  # two are left, of five rates of dropout
    steps = next_steps.compute(chosen_in(results), criteria_of(results))
    assert steps.edges == []
