"""Studies with a race: lap by lap, after rungs, where it stops, and what a dry run says of the lap to come."""

from __future__ import annotations

import pytest

from project import (
    RACE_PRINTED,
    RACE_STUDY,
    Once,
    Project,
    begun,
    content_of,
    epochs_trained,
    executed,
    laps_of,
    outputs_of,
    read_run,
)

AFTER_RUNGS = """
notebooks: {run: straight.ipynb, summary: null}
defaults: {jitter: 0.02}
configurations:
  a: {level: 1.0}
  b: {level: 1.03}
  c: {level: 1.3}
  d: {level: 9.0}
halving: {candidates: "*", metric: val_loss, rungs: [{epochs: 2, keep: 3}]}
race: {epochs: 4, replicates: [2, 3]}
final: {slope: 0.5}
"""


def names_in(project: Project) -> set[str]:
    """Return the names of the complete runs."""
    return {path.parent.name for path in project.outputs("mine").glob("*/run.json")}


# --- lap by lap ---
def test_race_goes_on_with_those_that_are_left_and_trains_nothing_twice(
    project: Project, raced: Project
) -> None:
    printed = raced.printed()
    assert "lap 1 of 3, 2 runs each: 0 of 4 candidates are complete" in printed
    assert "lap 2 of 3, 3 runs each: 0 of 3 candidates are complete" in printed
    assert RACE_PRINTED[-1] in printed
    of_a = {"a", *(f"a_seed_{seed}" for seed in range(1, 5))}
    of_b = {"b", *(f"b_seed_{seed}" for seed in range(1, 5))}
    assert names_in(raced) == of_a | of_b | {"c", "c_seed_1", "c_seed_2", "d", "d_seed_1", "final"}
    assert len(begun(printed)) == 16
    final = read_run(raced.outputs("mine", "final"))["parameters"]
    assert (final["level"], final["seed"]) == (
        1.03,
        50,
    )  # of two that are as large, the one with the lower mean

    project.copy_outputs(raced)
    study = project.study(RACE_STUDY)
    before = content_of(project.outputs("mine"))
    printed = project.run(study)
    assert "16 of 16 complete" in printed and begun(printed) == []
    assert content_of(project.outputs("mine")) == before
    assert laps_of(project, study) == RACE_PRINTED


def test_those_left_are_the_same_for_any_number_of_jobs(project: Project, raced: Project) -> None:
    study = project.study(RACE_STUDY)
    project.run(study, "--jobs", "2")
    assert laps_of(project, study) == RACE_PRINTED
    assert names_in(project) == names_in(raced)


def test_page_of_a_race_is_executed_at_its_end(project: Project, raced: Project) -> None:
    project.copy_outputs(raced)
    project.run(project.study(RACE_STUDY.replace(", summary: null", "")))
    page = outputs_of(executed(project.outputs("mine")))
    assert (
        "### The race" in page
        and "**The race ended in a tie:** after lap 3 of 3 a and b differ by 0." in page
    )
    assert "within the margin of 0.12" in page and "is chosen** from 4 candidates" in page


def test_dry_run_says_what_the_next_lap_may_take(project: Project) -> None:
    study = project.study(RACE_STUDY)
    printed = project.run(study, "--dry-run")
    assert "lap 1 of 3, 2 runs each: 0 of 4 candidates are complete" in printed
    assert "8 missing" in printed
    assert "lap 2 of 3, to come: at most 4 candidates, 4 runs, about 0.00 TFLOP\n" in printed
    project.run(study, "--only", "a*", "--jobs", "2")
    printed = project.run(study, "--dry-run")
    assert "lap 1 of 3, 2 runs each: 1 of 4 candidates are complete" in printed
    assert "4 runs, about 0.00 TFLOP, 0." in printed  # minutes, by those that have finished


def test_dry_run_says_that_the_next_lap_may_be_too_much(project: Project) -> None:
    study = project.study(RACE_STUDY.replace("margin: 0.12", "budget: {runs: 11}"))
    printed = project.run(study, "--dry-run")
    assert (
        "at most 4 candidates, 4 runs, about 0.00 TFLOP; that is more than the budget of 11 runs, so that the race ends "
        "before it unless some are dropped" in printed
    )
    printed = project.run(study, "--jobs", "2")
    ended = "lap 2 of 3, 3 runs each: 2 of 3 candidates are left: a, b; the race ends: the next lap would exceed the budget"
    assert ended in printed
    assert laps_of(project, study)[-1] == ended and len(names_in(project)) == 11 + 1  # and the final one


def test_lap_waits_for_one_that_fails_and_the_others_still_run(project: Project) -> None:
    project.edit("straight.ipynb", "import json", 'import json\nassert level != 1.3, "asked to fail"')
    study = project.study(RACE_STUDY)
    printed = project.run(study, "--jobs", "2", status=1)
    assert "lap 1 of 3, 2 runs each: 3 of 4 candidates are complete" in printed
    assert "it waits for c" in printed and "lap 2" not in printed
    assert sorted(begun(printed)) == ["a", "a_seed_1", "b", "b_seed_1", "c", "c_seed_1", "d", "d_seed_1"]


def test_further_lap_asks_only_for_what_is_new(project: Project, raced: Project) -> None:
    project.copy_outputs(raced)
    longer = project.study(
        RACE_STUDY.replace("[2, 3, 5]", "[2, 3, 5, 6]").replace("margin: 0.12", "margin: 0.0")
    )
    printed = project.run(longer, "--dry-run")
    assert "2 missing" in printed and "lap 4 of 4, 6 runs each: 0 of 2 candidates are complete" in printed


def test_runs_that_no_lap_asks_for_any_more_are_left_alone(project: Project, raced: Project) -> None:
    project.copy_outputs(raced)
    wider = project.study(RACE_STUDY.replace("margin: 0.12", "margin: 1.0"))  # a tie after the first lap
    printed = project.run(wider, "--dry-run")
    assert "extra" not in printed and "nothing to do" in printed
    assert "3 of 4 candidates are left: a, b, c; the race ends: a tie" in printed


def test_replicates_of_a_candidate_are_its_first_runs(project: Project) -> None:
    study = project.study(RACE_STUDY.replace("a: {level: 1.0}", "a: {level: 1.0, replicates: 3}"))
    printed = project.run(study, "--dry-run")
    assert "9 missing" in printed
    project.run(study, "--jobs", "2")
    assert laps_of(project, study) == RACE_PRINTED


def test_race_by_a_number_of_the_result(project: Project) -> None:
    project.edit("straight.ipynb", "result = {", 'result = {"error": level + jitter * (seed % 3), ')
    study = project.study(RACE_STUDY.replace("metric: val_loss", "metric: error"))
    printed = project.run(study, "--jobs", "2")
    assert "lap 1 of 3, 2 runs each: 2 of 4 candidates are left: a, b; the race ends: a tie" in printed


def test_metric_that_no_run_has_is_said_after_the_first_run(project: Project) -> None:
    study = project.study(RACE_STUDY.replace("metric: val_loss", "metric: val_accuracy"))
    printed = project.run(study, "--jobs", "1", status=1)
    assert "there is no val_accuracy, the metric of the race in the study file" in printed
    assert len(begun(printed)) == 1


def test_diverged_runs_leave_the_race(project: Project) -> None:
    project.edit(
        "straight.ipynb",
        "last = steps",
        'last = steps\nif level == 1.0 and seed == 1:\n    result["diverged"] = 2',
    )
    study = project.study(RACE_STUDY)
    project.run(study, "--jobs", "2")
    assert laps_of(project, study)[0] == "lap 1 of 3, 2 runs each: 2 of 4 candidates are left: b, c"


# --- after rungs ---
@pytest.fixture(scope="session")
def after_rungs(once: Once) -> Project:
    """A project in which rungs and the race after them are complete; tests only read it."""
    return once("after_rungs", lambda project: project.run(project.study(AFTER_RUNGS), "--jobs", "2"))


def test_survivors_of_rungs_race_with_new_seeds_alone(project: Project, after_rungs: Project) -> None:
    new = {f"{name}_seed_{seed}" for name in "abc" for seed in (1, 2)}
    assert names_in(after_rungs) == {"a", "b", "c", "d", "final", *new, *(f"{name}_seed_3" for name in "abc")}
    assert epochs_trained(after_rungs, "a") == ["0-2"]
    assert epochs_trained(after_rungs, "a_seed_1") == ["0-4"]
    final = read_run(after_rungs.outputs("mine", "final"))["parameters"]
    assert (final["level"], final["steps"], final["slope"]) == (1.03, 4, 0.5)  # b, by 1.01 to 1.02

    project.copy_outputs(after_rungs)
    study = project.study(AFTER_RUNGS)
    printed = project.run(study)
    assert begun(printed) == [] and "the race ends: it was the last lap" in printed
    printed = project.run(study, "--dry-run")
    assert "rung 1 of 1, 2 epochs: 3 of 4 candidates go on: a, b, c" in printed
    assert "lap 1 of 2, 2 new seeds each: 3 of 3 candidates are left: a, b, c" in printed


def test_dry_run_says_before_the_rungs_what_the_first_lap_may_take(project: Project) -> None:
    printed = project.run(project.study(AFTER_RUNGS), "--dry-run")
    assert "rung 1 of 1, 2 epochs: 0 of 4 candidates are complete" in printed
    assert "lap 1 of 2, to come: at most 3 candidates, 6 runs, about 0.00 TFLOP" in printed


def test_race_after_rungs_on_which_all_diverge_does_not_begin(project: Project) -> None:
    project.edit("straight.ipynb", "last = steps", 'last = steps\nresult["diverged"] = 2')
    printed = project.run(project.study(AFTER_RUNGS), "--jobs", "2")
    assert "rung 1 of 1, 2 epochs: none of 4 candidates goes on, as all have diverged" in printed
    assert "lap" not in printed and "final is made once" in printed


def test_longer_race_goes_on_with_its_runs(project: Project, after_rungs: Project) -> None:
    project.copy_outputs(after_rungs)
    printed = project.run(project.study(AFTER_RUNGS.replace("epochs: 4", "epochs: 5")), "--dry-run")
    assert printed.count("resumes after epoch 4") >= 6 and "lap 1 of 2, 2 new seeds each: 0 of 3" in printed
