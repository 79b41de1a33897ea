"""One runner at a time, also on file systems that have no flock."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from nbstudy.checks import StudyError
from nbstudy.records.lease import Lease, hold, holder_of, marker_in
from project import TINY_STUDY, Project, begun, rows, wait_for

WITHOUT_FLOCK = """
import errno
import fcntl


def flock(*_):
    raise OSError(errno.ENOSYS, "Function not implemented")


fcntl.flock = flock
"""


@pytest.fixture(params=["ENOSYS", "ENOTSUP", "ENOLCK"])
def without_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """File systems without flock, which say so in their several ways."""

    def flock(*_: Any) -> None:
        raise OSError(getattr(errno, request.param), "no flock")

    monkeypatch.setattr(fcntl, "flock", flock)


def lease_on(outputs: Path) -> Lease:
    """Return the lease that a runner in this process would take."""
    return Lease(outputs, holder=f"{os.getpid()} 1")


@pytest.mark.usefixtures("without_flock")
def test_study_is_held_by_one_without_flock(tmp_path: Path) -> None:
    lease = lease_on(tmp_path / "mine")
    with hold(lease, nullcontext()):
        assert lease.is_held() and holder_of(lease.outputs) == str(os.getpid())
        told = f"process {os.getpid()} is running this study; wait or stop it"
        with pytest.raises(StudyError, match=told), hold(lease, nullcontext()):
            pass
        assert lease.is_held()
    assert holder_of(lease.outputs) == ""
    assert not marker_in(lease.outputs).exists()


@pytest.mark.parametrize("text", ["", "1 2", "{own} 3"])
@pytest.mark.usefixtures("without_flock")
def test_lock_that_was_copied_holds_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / ".lock").write_text(text.format(own=os.getpid()))
    assert holder_of(tmp_path) == ""
    with hold(lease_on(tmp_path), nullcontext()):
        assert lease_on(tmp_path).is_held()


@pytest.mark.usefixtures("without_flock")
def test_holder_on_another_host_is_told_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("99 1")
    marker_in(tmp_path).write_text("99\nanother-host\n1\n")
    with pytest.raises(StudyError) as refused, hold(lease_on(tmp_path), nullcontext()):
        pass
    assert "process 99 is running this study" in refused.value.message
    assert f"if it is no longer alive, remove {marker_in(tmp_path)}" in refused.value.message
    marker_in(tmp_path).unlink()
    with hold(lease_on(tmp_path), nullcontext()):
        pass


def test_killed_runner_holds_nobody_without_flock(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    site = project.root / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(WITHOUT_FLOCK)
    monkeypatch.setenv("PYTHONPATH", str(site))
    project.hold_before_step(3)
    study = project.study(TINY_STUDY)
    runner = project.start(study, "--only", "long")
    wait_for(lambda: rows(project.attempt("long") / "history.csv") == 2)
    printed = project.run(study, "--only", "short", status=2)
    assert f"process {runner.pid} is running this study" in printed and len(printed.splitlines()) == 1
    runner.kill()
    runner.wait()
    assert begun(project.run(study, "--only", "short")) == ["short"]
