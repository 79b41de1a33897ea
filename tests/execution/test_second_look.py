"""A command that looks again at what runs left: it reads what is new, and finds what a first look would find."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from nbstudy.execution import unfolding
from nbstudy.execution.unfolding import Unfolded, unfold
from nbstudy.records import outputs as outputs_module
from nbstudy.records import seen
from nbstudy.records.attempts import finish_promotion
from nbstudy.records.lease import Lease
from nbstudy.records.runs import Context
from nbstudy.study.study import Study, load_study
from project import STRAIGHT_STUDY, Project, change


@pytest.fixture
def study(project: Project, unfolded: Project, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study with rungs whose runs are complete; its files count as written long ago."""
    monkeypatch.setattr(seen, "SETTLED", -1.0)
    project.copy_outputs(unfolded)
    return load_study(project.root / project.study(STRAIGHT_STUDY))


def context_of(study: Study) -> Context:
    """Return the context of a command that has not looked yet."""
    lease = Lease(study.project.outputs / study.directory, "nobody")
    return Context(
        study.template, study.lengthens, None, lease, checkpoint=study.checkpoint, files=study.files
    )


def what_is_there(unfolded: Unfolded) -> Any:
    """Return what a look found."""
    return unfolded.study.configurations, unfolded.findings, unfolded.stages


def test_second_look_reads_nothing_that_has_not_changed(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(study)
    first = unfold(study, context, finish_promotion)

    def read(*_: object) -> NoReturn:
        raise AssertionError("is read again")

    monkeypatch.setattr(unfolding, "find", read)
    monkeypatch.setattr(outputs_module, "find_run", read)
    assert what_is_there(unfold(study, context, read)) == what_is_there(first)


def damage(outputs: Path) -> None:
    """Change a byte of the history of a run."""
    history = outputs / "a" / "history.csv"
    history.write_text(history.read_text().replace("1.0", "1.1", 1))


def remove(outputs: Path) -> None:
    """Remove a run that went on."""
    shutil.rmtree(outputs / "b")


def interrupt(outputs: Path) -> None:
    """Turn a complete run into an attempt that was interrupted."""
    attempt = outputs / "incomplete" / "b" / "1"
    attempt.parent.mkdir(parents=True)
    (outputs / "b").rename(attempt)
    change(attempt / "run.json", finished=False, files={})


def cut_short(outputs: Path) -> None:
    """Leave a promotion in the middle: the old run is aside, and the new one not yet in its place."""
    aside = outputs / "incomplete" / "c" / "replaced"
    aside.parent.mkdir(parents=True)
    (outputs / "c").rename(aside)


def edit_template(outputs: Path) -> None:
    """Let all runs be those of other code."""
    for run in outputs.glob("*/run.json"):
        change(run, code="0123456789abcdef")


@pytest.mark.parametrize("happen", [damage, remove, interrupt, cut_short, edit_template])
def test_second_look_sees_what_has_happened(study: Study, happen: Callable[[Path], None]) -> None:
    context = context_of(study)
    before = what_is_there(unfold(study, context))
    happen(context.lease.outputs)
    after = what_is_there(unfold(study, context))
    assert after == what_is_there(unfold(study, context_of(study))) and after != before


def test_what_is_left_of_a_promotion_is_put_in_order_at_a_second_look(study: Study) -> None:
    context = context_of(study)
    before = what_is_there(unfold(study, context, finish_promotion))
    cut_short(context.lease.outputs)
    assert what_is_there(unfold(study, context, finish_promotion)) == before
    assert (context.lease.outputs / "c" / "run.json").exists()


def test_what_may_still_change_is_read_again(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "SETTLED", 3600.0)
    context = context_of(study)
    unfold(study, context)
    assert context.seen.sights == {}
