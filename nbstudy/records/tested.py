"""The notebook that opens the test set, as a run of its own in outputs/<study>/test/, and what it tests.

It is as complete, unfinished, stale or missing as any run is, by its own code and modules; besides, it is stale where
`final` is another run than the one that it tested.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nbstudy.checks import StudyError
from nbstudy.files import TEST, hash_of
from nbstudy.records.openings import hash_of_checkpoint
from nbstudy.records.record import read_run
from nbstudy.records.runs import Context, Finding, Task, find, is_whole
from nbstudy.records.states import State
from nbstudy.study.study import Study

NO_CHECKPOINT = "."  # which is no file: a test that was cut short starts over, perhaps for other weights


def task_of_test(study: Study, context: Context) -> Task | None:
    """Return the task of executing the notebook that opens the test set; None where the study has none."""
    if study.test is None:
        return None
    own = replace(
        context, template=study.test, lengthens=None, checkpoint=NO_CHECKPOINT, prepare=None, metric=None
    )
    tested = identity_of(read_run(context.lease.outputs / str(study.final)))
    return Task(TEST, study.parameters_of_test, flops=0.0, context=own, tested=tested)


def find_test(task: Task) -> Finding:
    """Find what is there of the test of today's final run."""
    finding = find(task)
    if finding.state.is_done and is_of_another_run(read_run(task.place), task.tested):
        return Finding(State.STALE, why_stale(Path(task.parameters["run"]).name))
    return replace(finding, reason=finding.reason.removesuffix(", starts over"))  # as every test does


def identity_of(run: Mapping[str, Any]) -> str:
    """Return what tells a run, by its run.json, from any other of its configuration."""
    return hash_of(json.dumps([run.get(field) for field in ("started", "seconds", "attempts", "files")]))


def is_of_another_run(test: Mapping[str, Any], tested: str | None) -> bool:
    """Tell whether a test, by its run.json, was not that of this run."""
    return test.get("tested") != tested


def why_stale(final: str) -> str:
    """Say why a test is stale that was that of another run."""
    return f"{final} is another run than the one that was tested"


# --- what is tested ---
def hash_of_tested(place: Path, checkpoint: str, lengthens: str | None) -> str:
    """Return a hash of what is tested in the directory of the final run.

    That is its checkpoint; where its template leaves none, all other files of the run but its log. Raise StudyError
    where the checkpoint is not here, or damaged.
    """
    untestable = why_untestable(place, checkpoint, lengthens)
    if untestable:
        raise StudyError(untestable)
    if (place / checkpoint).exists():
        return hash_of_checkpoint(place / checkpoint)
    hashes: dict[str, str] = read_run(place).get("files", {})
    others = {name: digest for name, digest in hashes.items() if not name.endswith(".ipynb")}
    return hash_of(json.dumps(others, sort_keys=True))


def why_untestable(place: Path, checkpoint: str, lengthens: str | None) -> str:
    """Say that the checkpoint of a complete run is not here or damaged, and the cure; empty where it can be tested.

    A template that does not resume need not leave one.
    """
    file = place / checkpoint
    cure = f"unless git has it, remove {place.as_posix()}/ and run the study again, which trains it anew"
    if file.exists() and not is_whole(file):
        return f"{file.as_posix()}: is damaged; {cure}"
    if lengthens is not None and not file.exists():
        return f"{file.as_posix()}: is not here; {cure}"
    return ""
