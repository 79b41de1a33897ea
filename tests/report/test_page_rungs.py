"""Rungs on the page: their cut, and what the rule says of the last one."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from nbstudy.records.results import Results
from nbstudy.report import together
from nbstudy.report.answer import write
from nbstudy.report.rule import how_rungs_work
from nbstudy.report.search_space import Cost, cost_of_halving, what_halving_saved
from planted import RUNG_CURVES, Planted, column, halved, rows
from project import change
from told import answer_of, configurations_of, judged_in, linked, round_of, together_in


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


def test_rung_is_judged_by_what_new_seeds_say_of_chance(climbed: Results) -> None:
    _, said = round_of(climbed, 1)
    # the new runs came to 0.5 all four, after two epochs: no guess from within the best run
    assert "All replicates are equal" in said and "a guess" not in said
    assert "The best at these epochs is among those that go on with a probability of more than 0.99." in said


def test_last_rung_says_how_likely_the_best_has_come_to_it(tmp_path: Path) -> None:
    study = halved(tmp_path, rungs=3)
    for name, loss in [("first_seed_1", 0.4), ("second_seed_1", 0.7)]:  # at the epochs of the first rung
        history = study.outputs / name / "history.csv"
        history.write_text(
            history.read_text().replace("2,0.5,", f"2,{loss},").replace(",0.5,0.5,0.45", f",{loss},0.5,0.45")
        )
    results = study.load()
    _, first = round_of(results, 1)
    _, last = round_of(results, 3)
    found = re.search(r"among those that go on with a probability of (0\.\d\d)", first)
    assert found
    assert "**The best of all candidates has come through with a probability of 0." in last
    assert (
        f"went on with {found[1]} and " in last
        and "at 2 epochs and " in last
        and "if curves do not cross later" in last
    )


def test_last_rung_without_new_seeds_says_nothing_of_the_way(tmp_path: Path) -> None:
    study = "notebooks: {run: train.ipynb}\ngrid: [{name: 'm_{units}', units: [7, 8, 9]}]\n"
    study += "halving: {candidates: 'm_*', metric: val_loss, rungs: [{epochs: 2, keep: 2}, {epochs: 4}]}\n"
    planted = Planted(tmp_path, study)
    for units, epochs in [(7, 4), (8, 4), (9, 2)]:
        planted.run(
            f"m_{units}",
            [units / 10] * epochs,
            parameters=planted.record["configurations"][f"m_{units}"] | {"epochs": epochs},
        )
    results = planted.load()
    assert len(results.rounds) == 2
    assert "come through" not in round_of(results, 2)[1]


SHARING = """
notebooks: {run: train.ipynb}
grid: [{name: "m_{units}_{batch_size}", units: [8, 16], batch_size: [128, 512]}]
halving: {candidates: "m_*", metric: val_loss, rungs: [{epochs: 4, keep: 2}, {epochs: 6}]}
"""


@pytest.mark.parametrize("third", [0.5, 0.9])
def test_rung_says_when_both_sides_differ_wholly_in_a_parameter_of_late(tmp_path: Path, third: float) -> None:
    study = Planted(tmp_path, SHARING)
    curves = {
        "m_8_128": [0.9, 0.8, third, 0.3],
        "m_16_128": [0.9, 0.8, 0.5, 0.3],
        "m_8_512": [0.9, 0.8, 0.6, 0.6],
        "m_16_512": [0.9, 0.8, 0.7, 0.6],
    }
    for name, curve in curves.items():
        study.run(name, curve, parameters=study.record["configurations"][name] | {"epochs": 4})
    results = study.load()
    _, said = round_of(results, 1)
    of_late = (
        "**After 4 epochs all that go on differ from all others in batch_size, and after 3 they would not:**"
    )
    assert (of_late in said) == (third == 0.9)  # with 0.5 they did then, too
    assert (of_late in together.write(together_in(results))) == (third == 0.9)


def test_rung_by_the_rule_says_whom_it_drops(tmp_path: Path) -> None:
    study = Planted(
        tmp_path,
        "notebooks: {run: train.ipynb}\n"
        "grid: [{name: 'm_{units}', units: [7, 8, 9, 10], replicates: 2}]\n"
        "halving: {candidates: 'm_*', metric: val_loss, rungs: [{epochs: 2, keep: rule, most: 2}, {epochs: 4}]}\n",
    )
    for name, parameters in study.record["configurations"].items():
        loss = {7: 0.30, 8: 0.31, 9: 0.32, 10: 0.9}[parameters["units"]] + 0.05 * parameters["seed"]
        study.run(name, [0.9, loss], parameters=parameters | {"epochs": 2})
    results = study.load()
    table, said = round_of(results, 1)
    assert column(table, "goes on") == ["yes", "yes", "no", "no"]
    assert said.startswith(
        "**2 of 4 go on:** m_7 and m_8. The rule drops 1; of those that it keeps, at most 2 go on."
    )
    assert "One with `keep: rule` keeps what the rule does not drop" in how_rungs_work(results)


def test_rung_that_waits_drops_nobody_and_can_be_shown_with_one_that_diverged(tmp_path: Path) -> None:
    study = Planted(
        tmp_path,
        "notebooks: {run: train.ipynb}\n"
        "configurations: {a: {replicates: 3}, b: {units: 8, replicates: 3}, c: {units: 9, replicates: 2}, "
        "d: {units: 10, replicates: 2}}\n"
        "halving: {candidates: '*', metric: val_loss, rungs: [{epochs: 2, keep: rule, most: 3}, {epochs: 4}]}\n",
    )
    ends = {"a": 0.3, "b": 0.9, "c": math.inf}
    for name, parameters in study.record["configurations"].items():
        end = ends.get(name[0])
        if end is not None:
            study.run(name, [0.9, end + 0.01 * parameters["seed"]], parameters=parameters | {"epochs": 2})
    results = study.load()
    (judged,) = judged_in(results)
    assert judged.verdict.dropped == () and judged.verdict.spared == []
    assert "Not decided yet" in round_of(results, 1)[1]


def test_rungs_are_one_table_of_what_candidates_came_to(climbed: Results) -> None:
    text = together.write(together_in(climbed))
    assert rows(text) == {
        "first": {"candidate": linked(climbed, "first"), "1": "0.5000 ✓", "2": "0.3000 ✓", "3": "0.3200 ✓"},
        "second": {"candidate": linked(climbed, "second"), "1": "0.5200 ✓", "2": "0.3400 ✓", "3": "0.4200 ✗"},
        "third": {"candidate": linked(climbed, "third"), "1": "0.5400 ✓", "2": "0.3600 ✗", "3": ""},
        "fourth": {"candidate": linked(climbed, "fourth"), "1": "0.7000 ✗", "2": "", "3": ""},
        "fifth": {"candidate": linked(climbed, "fifth"), "1": "0.8000 ✗", "2": "", "3": ""},
    }
    assert "✓ goes on or is kept; ✗ stops or is dropped." in text
    assert "**The best of all candidates has come through with a probability of" in text


def test_rung_that_waits_says_for_whom(tmp_path: Path) -> None:
    results = halved(tmp_path, rungs=2, behind=["third"]).load()
    _, said = round_of(results, 2)
    waits = "**Not decided yet:** 2 of 3 candidates are complete; it waits for third."
    assert said == waits
    assert f"Rung at 4 epochs: {waits}" in together.write(together_in(results))


def test_rung_that_study_json_does_not_know_of_yet_is_shown_without_its_runs(tmp_path: Path) -> None:
    results = halved(
        tmp_path, rungs=2
    ).load()  # as where somebody looks before the runner has written what it asks for next
    table, said = round_of(results, 3)
    assert (
        column(table, "rule") == ["not judged", "not judged"]
        and said == "None of the candidates can be judged yet."
    )


def test_last_rung_is_judged_by_its_new_runs_alone(climbed: Results) -> None:
    table, said = round_of(climbed, 3)
    assert column(table, "val_loss") == ["0.3200", "0.4200"]
    assert column(table, "runs") == ["2", "2"]
    assert said.startswith("**The rule drops second** and keeps first.")


def test_choice_of_a_halving_names_how_many_candidates_there_were(climbed: Results) -> None:
    answer = write(answer_of(climbed, ""))
    assert re.search(r"\*\*\[first\]\(\S+\) is chosen\*\* from 5 candidates: ", answer)
    assert list(configurations_of(climbed)) == ["first", "second", "third", "fourth", "fifth"]


def test_cost_of_halving_is_compared_with_training_everything(climbed: Results) -> None:
    # 4 epochs of first to third, 2 of fourth and fifth, 4 of four new runs; 5 candidates with 2 runs of 4 epochs each, or
    # with one, and the four new runs
    assert what_halving_saved(cost_of_halving(climbed)) == (
        "**Cost to the decision:** the rungs took 32 TFLOP. To train every candidate as the last rung "
        "trains its own takes 40: the share is **0.80**. To train every candidate to the end once, and the same last rung "
        "after that, takes 36: of this it is **0.89**."
    )


def test_rungs_are_explained_where_there_are_some(climbed: Results, results: Results) -> None:
    assert "with new seeds, and these runs alone count" in how_rungs_work(climbed)
    assert how_rungs_work(results) == ""


def test_cost_of_halving_is_left_out_where_a_run_does_not_say_its_own(tmp_path: Path) -> None:
    study = halved(tmp_path, rungs=3)
    change(study.outputs / "fifth" / "run.json", flops=0.0)
    assert cost_of_halving(study.load()) is None and what_halving_saved(None) == ""


def test_small_cost_of_halving_is_said_with_its_digits() -> None:
    told = what_halving_saved(Cost(4.7e9, 5e9, 4.9e9))
    assert "the rungs took 0.0047 TFLOP" in told and "takes 0.005: the share is **0.94**" in told
