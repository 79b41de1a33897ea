"""The plan: what is left to do, what it costs, how long it takes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from nbstudy.execution.plan import fit_line, makespan
from project import TINY_STUDY, Project


# --- arithmetic ---
@pytest.mark.parametrize(
    ("seconds", "jobs", "expected"),
    [
        ([], 2, 0.0),
        ([5.0], 2, 5.0),
        ([2.0, 3.0, 2.0], 1, 7.0),
        ([2.0, 3.0, 2.0], 2, 4.0),
        ([1.0] * 4, 9, 1.0),
    ],
)
def test_makespan_takes_the_longest_first(seconds: list[float], jobs: int, expected: float) -> None:
    assert makespan(seconds, jobs) == expected


def runs(flops: list[float], seconds: list[float], cores: int = 1) -> list[dict[str, Any]]:
    """Return the records of finished runs, as far as they say how fast they were."""
    return [
        {"flops": cost, "seconds": took, "cores": cores} for cost, took in zip(flops, seconds, strict=True)
    ]


def test_line_is_a_start_and_a_rate() -> None:
    start, rate = fit_line(runs([1e9, 2e9, 4e9], [7.0, 9.0, 13.0]))
    assert (start, rate) == (pytest.approx(5.0), pytest.approx(2e-9))


def test_line_is_in_seconds_of_one_core() -> None:
    start, rate = fit_line(runs([1e9, 2e9, 4e9], [7.0, 9.0, 13.0], cores=2))
    assert (start, rate) == (pytest.approx(10.0), pytest.approx(4e-9))


@pytest.mark.parametrize(
    ("flops", "seconds", "expected"),
    [
        ([2e9], [4.0], 2e-9),  # one run
        ([2e9, 2e9], [4.0, 8.0], 3e-9),  # no line through these
        ([1e9, 2e9], [9.0, 3.0], 4e-9),  # which would cost less the longer they are
        ([1e9, 2e9], [1.0, 5.0], 2e-9),  # which would start before they begin
    ],
)
def test_line_is_a_plain_rate_where_none_fits(
    flops: list[float], seconds: list[float], expected: float
) -> None:
    start, rate = fit_line(runs(flops, seconds))
    assert (start, rate) == (0.0, pytest.approx(expected))


def test_runs_of_unknown_cost_take_their_mean() -> None:
    assert fit_line(runs([0.0, 0.0], [4.0, 8.0])) == (6.0, 0.0)


# --- the dry run ---
def test_dry_run_is_a_table_and_runs_nothing(project: Project) -> None:
    printed = project.run(project.study(TINY_STUDY), "--dry-run")
    heading, *rows = printed.splitlines()[:3]
    assert all(row.index("missing") == heading.index("state") for row in rows), (heading, rows)
    assert "2 missing" in printed and "no finished run to estimate from" in printed
    assert not project.outputs().exists()


def test_dry_run_predicts_from_what_ran(project: Project) -> None:
    study = project.study(TINY_STUDY)
    project.run(study, "--only", "short")
    printed = project.run(study, "--dry-run")
    assert re.search(r"short +complete +0.00 +0.0\n", printed), printed
    assert re.search(r"long +missing +0.00 +\d+\.\d\n", printed), printed
    assert "1 complete, 1 missing" in printed
    assert re.search(r"to do, \d+ at a time: about \d+\.\d minutes", printed), printed


def test_dry_run_predicts_from_another_study_of_the_same_template(complete: Project) -> None:
    second = complete.study(TINY_STUDY, "second")
    assert "about" in complete.run(second, "--dry-run")
    # but not for runs that cost a hundred times as much
    costly = complete.study(TINY_STUDY.replace("steps: 4", "steps: 4000"), "third")
    assert "no finished run to estimate from" in complete.run(costly, "--dry-run")


def test_prediction_stands_beside_the_measured_time(complete: Project) -> None:
    printed = complete.run(complete.study(TINY_STUDY + "  other: {steps: 3}\n"))
    assert re.search(r"other: 3 epochs.*, \d+\.\d minutes \(\d+\.\d predicted\)\n", printed), printed
    assert re.search(r"1 run took \d+\.\d minutes; predicted: about \d+\.\d minutes", printed)


def test_measured_time_stands_alone_where_nothing_could_be_predicted(ran: Project) -> None:
    printed = ran.printed()
    assert re.search(r"^2 runs took \d+\.\d minutes$", printed, re.MULTILINE)
    assert re.search(r"long: 4 epochs, val_loss 0.25, \d+\.\d minutes\n", printed)


def test_ten_thousand_configurations_are_planned_and_counted(project: Project) -> None:
    study = project.study(
        "notebooks: {run: tiny.ipynb, summary: null}\ngrid:\n"
        f"  - {{name: 'g_{{steps}}_{{seconds}}', steps: {list(range(1, 101))}, seconds: {list(range(100))}}}\n"
    )
    printed = project.run(study, "--dry-run")
    assert "10000 missing" in printed and len(printed.splitlines()) == 2
    printed = project.run(study, "--only", "g_1_0", "--only", "g_2_0")
    assert "0 of 2 complete" in printed
    assert "2 complete, 9998 missing" in project.run(study, "--dry-run")


def test_plan_of_a_template_that_does_not_say_what_runs_cost(project: Project) -> None:
    project.edit("tiny.ipynb", 'flops, lengthens = 1e9 * steps, "steps"', 'lengthens = "steps"')
    study = project.study(TINY_STUDY)
    printed = project.run(study, "--dry-run", "--jobs", "1")
    assert "2 runs to do, 1 at a time: no finished run to estimate from" in printed
    assert "FLOP" not in printed
    project.run(study, "--only", "short")
    printed = project.run(study, "--dry-run", "--jobs", "1")
    assert re.search(r"^1 run to do, 1 at a time: about \d+\.\d minutes$", printed, re.MULTILINE), printed
    assert re.search(r"^short +complete +0\.0$", printed, re.MULTILINE), printed
