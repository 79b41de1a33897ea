"""Studies whose runs decide which others there are: rung by rung, and where runs end early, fail or start over."""

from __future__ import annotations

import re

import pytest

from project import (
    STRAIGHT_STUDY,
    Once,
    Project,
    begun,
    content_of,
    epochs_trained,
    kept_by,
    read_run,
    survivors_of,
)

HALVED = """
notebooks: {run: straight.ipynb, summary: null}
configurations:
  a: {level: 1.0}
  b: {level: 2.0}
  c: {level: 3.0}
halving:
  candidates: "[abc]"
  metric: val_loss
  rungs:
    - {epochs: 4, keep: 2}
    - {epochs: 6, keep: 1}
    - {epochs: 9, replicates: 2}
final: {seed: 50}
"""


@pytest.fixture(scope="session")
def halved(once: Once) -> Project:
    """A project in which HALVED is complete; tests only read it."""
    return once("halved", lambda project: project.run(project.study(HALVED)))


def steps_of(project: Project, name: str) -> int:
    """Return how many epochs a complete run was asked for."""
    return int(read_run(project.outputs("mine", name))["parameters"]["steps"])


# --- from rung to rung ---
def test_study_unfolds_rung_by_rung_and_trains_nothing_twice(project: Project, unfolded: Project) -> None:
    printed = unfolded.printed()
    assert "rung 1 of 3, 2 epochs: 0 of 4 candidates are complete" in printed
    assert "rung 2 of 3, 6 epochs: 0 of 3 candidates are complete" in printed
    assert epochs_trained(unfolded, "a") == epochs_trained(unfolded, "c") == ["0-2", "2-6"]
    assert epochs_trained(unfolded, "d") == ["0-2"]
    names = {path.parent.name for path in unfolded.outputs("mine").glob("*/run.json")}
    assert names == {"a", "b", "c", "d", "a_seed_1", "a_seed_2", "b_seed_1", "b_seed_2", "final"}
    final = read_run(unfolded.outputs("mine", "final"))["parameters"]
    assert (final["level"], final["seed"], final["steps"]) == (1.0, 50, 6)

    project.copy_outputs(unfolded)
    study = project.study(STRAIGHT_STUDY)
    before = content_of(project.outputs("mine"))
    printed = project.run(study)
    assert "9 of 9 complete" in printed and "started" not in printed
    assert content_of(project.outputs("mine")) == before
    printed = project.run(study, "--dry-run")
    assert "rung 1 of 3, 2 epochs: 3 of 4 candidates go on: a, b, c" in printed
    assert "rung 2 of 3, 6 epochs: 2 of 3 candidates go on: a, b" in printed
    assert "nothing to do" in printed


def test_survivors_are_the_same_for_any_number_of_jobs(project: Project, unfolded: Project) -> None:
    study = project.study(STRAIGHT_STUDY)
    project.run(study, "--jobs", "3", "--outputs", "jobs_3")
    project.copy_outputs(unfolded)  # of one job
    decided = []
    for options in ((), ("--outputs", "jobs_3")):
        printed = project.run(study, "--dry-run", *options)
        decided.append(re.findall(r"rung \d of \d.*", printed))
    assert decided[0] == decided[1] and len(decided[0]) == 3


def test_keeping_more_trains_only_what_is_new_and_fewer_nothing(project: Project, unfolded: Project) -> None:
    project.copy_outputs(unfolded)
    more = project.study(STRAIGHT_STUDY.replace("keep: 2", "keep: 1").replace("keep: 3", "keep: 2"))
    # c and a are ahead after two epochs, and a after six: b's longer run is complete all the same
    printed = project.run(more, "--dry-run")
    assert "rung 1 of 3, 2 epochs: 2 of 4 candidates go on: a, c" in printed
    assert "nothing to do" in printed and "extra" not in printed
    wider = project.study(
        STRAIGHT_STUDY.replace("keep: 3", "keep: 4").replace(
            "d: {level: 9.0}", "d: {level: 9.0}\n  e: {level: 8.0}"
        )
    )
    printed = project.run(wider)
    assert sorted(begun(printed)) == ["e"]
    assert survivors_of(project, wider)[0].endswith("4 of 5 candidates go on: a, b, c, e")


def test_longer_last_rung_continues_its_runs(project: Project, unfolded: Project) -> None:
    project.copy_outputs(unfolded)
    longer = project.study(STRAIGHT_STUDY.replace("{epochs: 6, replicates: 2}", "{epochs: 9, replicates: 2}"))
    printed = project.run(longer, "--dry-run")
    assert printed.count("resumes after epoch 6") == 4
    project.run(longer)
    assert epochs_trained(project, "a_seed_1") == ["0-6", "6-9"]
    assert epochs_trained(project, "a") == ["0-2", "2-6"]


def test_metric_that_no_run_has_is_said_after_the_first_rung(project: Project) -> None:
    study = project.study(STRAIGHT_STUDY.replace("metric: val_loss", "metric: val_accuracy"))
    printed = project.run(study, status=2)
    assert "there is no column val_accuracy" in printed and "the columns are val_loss" in printed
    assert epochs_trained(project, "a") == ["0-2"]


def test_failed_candidate_holds_its_rung_up_and_the_others_still_run(project: Project) -> None:
    project.edit("straight.ipynb", "import json", 'import json\nassert level != 2.0, "asked to fail"')
    study = project.study(STRAIGHT_STUDY)
    printed = project.run(study, status=1)
    assert "b: AssertionError: asked to fail" in printed and "rung 2" not in printed
    assert sorted(begun(printed)) == ["a", "b", "c", "d"]
    assert "rung 1 of 3, 2 epochs: 3 of 4 candidates are complete" in project.run(study, "--dry-run")


def test_diverged_candidate_does_not_go_on(project: Project) -> None:
    diverge = 'last = steps\nif level == 0.5:\n    result["diverged"] = 1'
    project.edit("straight.ipynb", "last = steps", diverge)
    study = project.study(STRAIGHT_STUDY)
    project.run(study)
    assert survivors_of(project, study)[0].endswith("3 of 4 candidates go on: a, b, d")


BY_RULE = """
notebooks: {run: straight.ipynb}
defaults: {jitter: 0.02}
configurations:
  a: {level: 1.0, replicates: 2}
  b: {level: 1.03, replicates: 2}
  c: {level: 1.3, replicates: 2}
  d: {level: 9.0, replicates: 2}
halving:
  candidates: "*"
  metric: val_loss
  rungs:
    - {epochs: 2, keep: rule, most: 3}
    - {epochs: 4, keep: rule, most: 2}
    - {epochs: 5, replicates: 3}
final: {seed: 50}
"""


def test_rungs_that_the_rule_decides_come_to_the_same_with_any_number_of_jobs_and_a_page(
    project: Project,
) -> None:
    study = project.study(BY_RULE)
    printed = project.run(study, "--jobs", "1")
    climbed = [
        "rung 1 of 3, 2 epochs: 3 of 4 candidates go on: a, b, c",
        "rung 2 of 3, 4 epochs: 2 of 3 candidates go on: a, b",
    ]
    assert survivors_of(project, study) == climbed
    assert epochs_trained(project, "c_seed_1") == ["0-2", "2-4"] and epochs_trained(project, "d_seed_1") == [
        "0-2"
    ]
    assert epochs_trained(project, "a_seed_4") == ["0-5"]  # two after those that it had, and one
    page = project.outputs("mine", "summary.html").read_text(encoding="utf-8")
    assert "The rule drops 1; of those that it keeps, at most 3 go on." in page
    assert len(begun(printed)) == 8 + 6 + 1

    project.run(study, "--jobs", "2", "--outputs", "jobs_2")
    assert survivors_of(project, study, "--outputs", "jobs_2") == climbed
    assert kept_by(project.root / "jobs_2", "history.csv") == kept_by(project.outputs("mine"), "history.csv")


# --- runs that end early, fail, start over, or are asked for less ---
def test_run_that_ends_early_climbs_and_stays_where_it_is(project: Project) -> None:
    project.edit(
        "straight.ipynb", "last = steps", 'last = min(steps, 3)\nresult["ended"] = "nothing more to learn"'
    )
    study = project.study(HALVED)
    project.run(study)
    for name in ("a", "b", "c", "a_seed_1", "a_seed_2", "final"):
        assert epochs_trained(project, name) == ["0-3"]
    longer = project.study(HALVED.replace("epochs: 9", "epochs: 12"))
    for asked in (study, longer):
        printed = project.run(asked, "--dry-run")
        assert "rung 3 of 3" in printed and "nothing to do" in printed, printed


def test_final_is_as_long_as_the_last_rung(halved: Project) -> None:
    assert (steps_of(halved, "a"), steps_of(halved, "a_seed_1"), steps_of(halved, "final")) == (6, 9, 9)


def test_shorter_last_rung_leaves_its_runs_and_makes_final_again(project: Project, halved: Project) -> None:
    project.copy_outputs(halved)
    shorter = project.study(HALVED.replace("epochs: 9", "epochs: 8"))
    printed = project.run(shorter)
    assert begun(printed) == ["final"] and "extra" not in printed
    assert (steps_of(project, "a_seed_1"), steps_of(project, "final")) == (9, 8)


def test_survivor_that_starts_over_changes_no_rung_below(project: Project) -> None:
    # as in a clone, which has no checkpoints: the attempt on the second rung fails before the end of the first
    study = project.study(HALVED)
    project.run(study, "--only", "[abc]")
    for name in "abc":
        project.outputs("mine", name, "done.txt").unlink()
    longer = project.study(HALVED.replace("epochs: 6", "epochs: 7"))
    project.edit("straight.ipynb", "last = steps", "last = steps\nbreaks = steps == 7")
    project.edit(
        "straight.ipynb",
        "    for epoch in range(first + 1, last + 1):",
        "    for epoch in range(first + 1, last + 1):\n        assert not (breaks and epoch == 2), 'asked to fail'",
    )
    printed = project.run(longer, "--accept", status=1)
    assert sorted(begun(printed)) == ["a", "b"]
    printed = project.run(longer, "--dry-run")
    assert "rung 1 of 3, 4 epochs: 2 of 3 candidates go on: a, b" in printed
    assert "rung 2 of 3, 7 epochs: 0 of 2 candidates are complete" in printed


def test_failed_run_that_is_no_candidate_holds_no_rung_up(project: Project) -> None:
    project.edit("straight.ipynb", "last = steps", 'last = steps\nassert level < 9, "asked to fail"')
    study = project.study(HALVED.replace("  c:", "  other: {level: 9.0}\n  c:"))
    printed = project.run(study, status=1)
    assert printed.count("other: started") == 1 and "other: AssertionError: asked to fail" in printed
    assert steps_of(project, "a_seed_2") == 9
    assert "final is made once all others are complete and one of them is chosen" in printed
    assert not project.outputs("mine", "final").exists()


def test_runs_that_are_no_candidates_need_no_metric(project: Project) -> None:
    project.edit("straight.ipynb", '"epoch,val_loss', "f\"epoch,{'loss' if level == 9 else 'val_loss'}")
    project.run(project.study(HALVED.replace("  c:", "  other: {level: 9.0}\n  c:")))
    assert steps_of(project, "final") == 9


def test_rung_on_which_all_diverge_is_said(project: Project) -> None:
    project.edit("straight.ipynb", "last = steps", 'last = steps\nresult["diverged"] = 2')
    printed = project.run(project.study(HALVED))
    assert "rung 1 of 3, 4 epochs: none of 3 candidates goes on, as all have diverged" in printed
    assert "final is made once" in printed


def test_final_that_is_made_of_the_choice_takes_no_part_in_it(project: Project) -> None:
    # as a run with another seed it would be a replicate of the choice
    study = """
    notebooks: {run: straight.ipynb, summary: null}
    configurations:
      a: {level: 1.0, replicates: 2}
      b: {level: 1.01}
    final: {seed: 900}
    """
    project.run(project.study(study))
    assert read_run(project.outputs("mine", "final"))["parameters"]["level"] == 1.0
    assert "nothing to do" in project.run("params/mine.yaml", "--dry-run")


def test_preflight_of_what_is_asked_for_later_imports_modules_beside_the_template(project: Project) -> None:
    (project.root / "notebooks" / "costs.py").write_text("AN_EPOCH = 1000.0\n")
    project.edit("straight.ipynb", "flops = 1000.0 * steps", "import costs\nflops = costs.AN_EPOCH * steps")
    printed = project.run(project.study(HALVED))
    assert re.search(r"^final: 9 epochs", printed, re.MULTILINE)
