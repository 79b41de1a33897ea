"""Rungs on the page: their cut, and what the rule says of the last one."""

from __future__ import annotations

import re
from pathlib import Path

from nbstudy.records.results import Results
from nbstudy.report.answer import write
from nbstudy.report.rule import how_rungs_work
from nbstudy.report.search_space import Cost, cost_of_halving, what_halving_saved
from planted import RUNG_CURVES, column, halved
from project import change
from told import answer_of, round_of


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
    answer = write(answer_of(climbed, ""))
    assert re.search(r"\*\*\[first\]\(\S+\) is chosen\*\* from 5 candidates: ", answer)


def test_cost_of_halving_is_compared_with_training_everything(climbed: Results) -> None:
    # 4 epochs of first to third, 2 of fourth and fifth, 4 of four new runs; 5 candidates with 2 runs of 4 epochs each
    assert what_halving_saved(cost_of_halving(climbed)).startswith(
        "**Cost to the decision:** the rungs took 32 TFLOP. To train every candidate as the last rung "
        "trains its own takes 40: the share is **0.80**."
    )


def test_rungs_are_explained_where_there_are_some(climbed: Results, results: Results) -> None:
    assert "with new seeds, and these runs alone count" in how_rungs_work(climbed)
    assert how_rungs_work(results) == ""


def test_cost_of_halving_is_left_out_where_a_run_does_not_say_its_own(tmp_path: Path) -> None:
    study = halved(tmp_path, rungs=3)
    change(study.outputs / "fifth" / "run.json", flops=0.0)
    assert cost_of_halving(study.load()) is None and what_halving_saved(None) == ""


def test_small_cost_of_halving_is_said_with_its_digits() -> None:
    told = what_halving_saved(Cost(4.7e9, 5e9))
    assert "the rungs took 0.0047 TFLOP" in told and "takes 0.005: the share is **0.94**" in told
