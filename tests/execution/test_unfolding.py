"""Studies whose runs decide which others there are, where runs end early, fail, start over, or are asked for less."""

from __future__ import annotations

import re

import pytest

from project import Project, begun, read_run

CURVES = {
    "parameters": """
        steps: int = 6
        seed: int = 0
        level: float = 0.0
        slope: float = 0.0
        """,
    "preflight": """
        flops = 1000.0 * steps
        lengthens = "steps"
        checkpoint = "done.txt"
        """,
    "": """
        import json
        from pathlib import Path

        result = {"weights": 100 + int(10 * level)}
        done = Path("done.txt")
        first = int(done.read_text()) if done.exists() else 0
        last = steps
        with Path("history.csv").open("a") as history:
            if not first:
                history.write("epoch,val_loss\\n")
            for epoch in range(first + 1, last + 1):
                history.write(f"{epoch},{level + slope * epoch + 0.001 * seed}\\n")
        done.write_text(str(last))
        Path("result.json").write_text(json.dumps(result))
        """,
}
HALVED = """
notebooks: {run: curves.ipynb}
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


@pytest.fixture
def curves(project: Project) -> Project:
    """A project with a template whose curves are straight lines."""
    project.notebook("curves.ipynb", CURVES)
    return project


def steps_of(project: Project, name: str) -> int:
    """Return how many epochs a complete run was asked for."""
    return int(read_run(project.outputs("mine", name))["parameters"]["steps"])


def test_run_that_ends_early_climbs_and_stays_where_it_is(curves: Project) -> None:
    curves.edit(
        "curves.ipynb", "last = steps", 'last = min(steps, 3)\nresult["ended"] = "nothing more to learn"'
    )
    study = curves.study(HALVED)
    curves.run(study)
    assert (steps_of(curves, "a"), steps_of(curves, "b"), steps_of(curves, "c")) == (6, 6, 4)
    assert "nothing to do" in curves.run(study, "--dry-run")


def test_final_is_as_long_as_the_last_rung(curves: Project) -> None:
    curves.run(curves.study(HALVED))
    assert (steps_of(curves, "a"), steps_of(curves, "a_seed_1"), steps_of(curves, "final")) == (6, 9, 9)


def test_shorter_last_rung_leaves_its_runs_and_makes_final_again(curves: Project) -> None:
    curves.run(curves.study(HALVED))
    shorter = curves.study(HALVED.replace("epochs: 9", "epochs: 8"))
    printed = curves.run(shorter)
    assert begun(printed) == ["final"] and "extra" not in printed
    assert (steps_of(curves, "a_seed_1"), steps_of(curves, "final")) == (9, 8)


def test_survivor_that_starts_over_changes_no_rung_below(curves: Project) -> None:
    # as in a clone, which has no checkpoints: the attempt on the second rung fails before the end of the first
    study = curves.study(HALVED)
    curves.run(study, "--only", "[abc]")
    for name in "abc":
        curves.outputs("mine", name, "done.txt").unlink()
    longer = curves.study(HALVED.replace("epochs: 6", "epochs: 7"))
    curves.edit("curves.ipynb", "last = steps", "last = steps\nbreaks = steps == 7")
    curves.edit(
        "curves.ipynb",
        "    for epoch in range(first + 1, last + 1):",
        "    for epoch in range(first + 1, last + 1):\n        assert not (breaks and epoch == 2), 'asked to fail'",
    )
    printed = curves.run(longer, "--accept", status=1)
    assert sorted(begun(printed)) == ["a", "b"]
    printed = curves.run(longer, "--dry-run")
    assert "rung 1 of 3, 4 epochs: 2 of 3 candidates go on: a, b" in printed
    assert "rung 2 of 3, 7 epochs: 0 of 2 candidates are complete" in printed


def test_failed_run_that_is_no_candidate_holds_no_rung_up(curves: Project) -> None:
    curves.edit("curves.ipynb", "last = steps", 'last = steps\nassert level < 9, "asked to fail"')
    study = curves.study(HALVED.replace("  c:", "  other: {level: 9.0}\n  c:"))
    printed = curves.run(study, status=1)
    assert printed.count("other: started") == 1 and "other: AssertionError: asked to fail" in printed
    assert steps_of(curves, "a_seed_2") == 9
    assert "final is made once all others are complete and one of them is chosen" in printed
    assert not curves.outputs("mine", "final").exists()


def test_runs_that_are_no_candidates_need_no_metric(curves: Project) -> None:
    curves.edit("curves.ipynb", '"epoch,val_loss', "f\"epoch,{'loss' if level == 9 else 'val_loss'}")
    curves.run(curves.study(HALVED.replace("  c:", "  other: {level: 9.0}\n  c:")))
    assert steps_of(curves, "final") == 9


def test_rung_on_which_all_diverge_is_said(curves: Project) -> None:
    curves.edit("curves.ipynb", "last = steps", 'last = steps\nresult["diverged"] = 2')
    printed = curves.run(curves.study(HALVED))
    assert "rung 1 of 3, 4 epochs: none of 3 candidates goes on, as all have diverged" in printed
    assert "final is made once" in printed


def test_final_that_is_made_of_the_choice_takes_no_part_in_it(curves: Project) -> None:
    # as a run with another seed it would be a replicate of the choice
    study = """
    notebooks: {run: curves.ipynb}
    configurations:
      a: {level: 1.0, replicates: 2}
      b: {level: 1.01}
    final: {seed: 900}
    """
    curves.run(curves.study(study))
    assert read_run(curves.outputs("mine", "final"))["parameters"]["level"] == 1.0
    assert "nothing to do" in curves.run("params/mine.yaml", "--dry-run")


def test_preflight_of_what_is_asked_for_later_imports_modules_beside_the_template(curves: Project) -> None:
    (curves.root / "notebooks" / "costs.py").write_text("AN_EPOCH = 1000.0\n")
    curves.edit("curves.ipynb", "flops = 1000.0 * steps", "import costs\nflops = costs.AN_EPOCH * steps")
    printed = curves.run(curves.study(HALVED))
    assert re.search(r"^final: 9 epochs", printed, re.MULTILINE)
