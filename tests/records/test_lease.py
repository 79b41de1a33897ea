"""One runner at a time, also where flock is missing or excludes nobody, and outputs that go away meanwhile."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import psutil
import pytest

from nbstudy.checks import StudyError
from nbstudy.records import lease as leases
from nbstudy.records.lease import Lease, hold, holder_of, marker_in
from project import TINY_STUDY, Project, Runner, begun, rows, wait_for

WITHOUT_FLOCK = """
import errno
import fcntl


def flock(*_):
    raise OSError(errno.ENOSYS, "Function not implemented")


fcntl.flock = flock
"""
WITH_FLOCK_A_HOST = """
import fcntl

fcntl.flock = lambda *_: None  # as on another host, where it is another lock
"""
# the marker of a runner on another host
MARKER = "filelock/2\npid=99\nhost=another-host\nmode=lease\ntoken=a0\nduration={}\nstart=1\n"


@pytest.fixture(params=["ENOSYS", "ENOTSUP", "ENOLCK"])
def without_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """File systems without flock, which say so in their several ways."""

    def flock(*_: Any) -> None:
        raise OSError(getattr(errno, request.param), "no flock")

    monkeypatch.setattr(fcntl, "flock", flock)


def lease_on(outputs: Path) -> Lease:
    """Return the lease that a runner in this process would take."""
    return Lease(outputs, f"{os.getpid()} 1")


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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that are over after three seconds, so that a test need not wait for half a minute."""
    monkeypatch.setattr(leases, "RENEWED", 1.5)
    monkeypatch.setattr(leases, "EXPIRED", 3.0)


@pytest.mark.usefixtures("impatient")
def test_holder_on_another_host_that_renews_nothing_is_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".lock").write_text("99 1 another-host")
    marker_in(tmp_path).write_text(MARKER.format(leases.EXPIRED))
    lease = lease_on(tmp_path)
    with hold(lease, nullcontext()):
        assert lease.is_held()
    assert "process 99 on another-host has not given this study back; waiting" in capsys.readouterr().out


@pytest.mark.usefixtures("impatient")
def test_holder_on_another_host_that_renews_its_marker_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("99 1 another-host")
    marker = marker_in(tmp_path)
    marker.write_text(MARKER.format(leases.EXPIRED))
    code = "import os, sys, time\nwhile True:\n    os.utime(sys.argv[1])\n    time.sleep(0.05)\n"
    with subprocess.Popen([sys.executable, "-c", code, str(marker)]) as renewing:
        try:
            first = marker.stat().st_mtime_ns
            wait_for(lambda: marker.stat().st_mtime_ns > first)
            with pytest.raises(StudyError) as refused, hold(lease_on(tmp_path), nullcontext()):
                pass
        finally:
            renewing.kill()
    assert "process 99 on another-host is running this study; wait or stop it" in refused.value.message


@pytest.mark.usefixtures("impatient")
def test_holder_that_was_stopped_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as stopped:
        try:
            stopped.send_signal(signal.SIGSTOP)
            wait_for(lambda: psutil.Process(stopped.pid).status() == psutil.STATUS_STOPPED)
            (tmp_path / ".lock").write_text(f"{stopped.pid} 1 {platform.node()}")
            marker_in(tmp_path).write_text(MARKER.format(leases.EXPIRED))
            refusal = f"process {stopped.pid} is running this study"
            with pytest.raises(StudyError, match=refusal), hold(lease_on(tmp_path), nullcontext()):
                pass
        finally:
            stopped.kill()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("length", [0, 30])
def test_marker_that_a_power_loss_cut_holds_nobody(tmp_path: Path, length: int) -> None:
    marker_in(tmp_path).write_text(MARKER.format(leases.EXPIRED)[:length])
    with hold(lease_on(tmp_path), nullcontext()):
        pass
    assert not marker_in(tmp_path).exists()


# --- who is ousted ---
def test_runner_that_was_ousted_leaves_the_lock_of_the_other(tmp_path: Path) -> None:
    lease = lease_on(tmp_path)
    with hold(lease, nullcontext()):
        lease.lock.write_text("99 1 another-host")
        with pytest.raises(click.ClickException) as ousted:
            lease.check()
    assert "process 99 on another-host has taken this study over" in ousted.value.message
    assert lease.lock.read_text() == "99 1 another-host"


def test_lock_that_is_empty_for_a_moment_ends_nothing(tmp_path: Path) -> None:
    lease = lease_on(tmp_path)
    with hold(lease, nullcontext()):
        lease.lock.write_text("")
        assert lease.is_held()
        lease.check()
        assert lease.lock.read_text() == lease.holder
        elsewhere = Lease(tmp_path, lease.holder)
    assert not lease.is_held() and not elsewhere.is_held()


def begin_long(project: Project, study: str) -> Runner:
    """Start the study, whose runs wait after their second epoch, one at a time; return its runner once one does."""
    runner = project.start(study, "--jobs", "1")
    wait_for(lambda: rows(project.attempt("long") / "history.csv") == 2)
    return runner


def test_second_runner_is_refused_where_flock_excludes_nobody(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = project.root / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(WITH_FLOCK_A_HOST)
    monkeypatch.setenv("PYTHONPATH", str(site))
    gate = project.hold_before_step(3)
    study = project.study(TINY_STUDY)
    runner = begin_long(project, study)
    assert f"process {runner.pid} is running this study" in project.run(study, status=2)
    gate.touch()
    assert "short: 2 epochs" in runner.finish()


def test_second_runner_is_refused_where_the_lock_was_removed(project: Project) -> None:
    gate = project.hold_before_step(3)
    study = project.study(TINY_STUDY)
    runner = begin_long(project, study)
    project.outputs("mine", ".lock").unlink()
    assert "is running this study" in project.run(study, status=2)
    gate.touch()
    assert "short: 2 epochs" in runner.finish()


def test_runner_all_of_whose_locks_were_removed_says_who_ousted_it(project: Project) -> None:
    gate = project.hold_before_step(3)
    study = project.study(TINY_STUDY)
    first = begin_long(project, study)
    for lock in project.outputs("mine").glob(".lock*"):
        lock.unlink()
    second = project.start(study, "--jobs", "1")
    printed = first.finish(1)
    assert f"process {second.pid} has taken this study over" in printed
    assert "long: interrupted" not in printed and "short: started" not in printed, printed
    gate.touch()
    assert "2 runs took" in second.finish()
    assert "2 complete" in project.run(study, "--dry-run")


# --- outputs that go away ---
@pytest.mark.parametrize("is_moved", [True, False])
def test_runs_that_wait_do_not_begin_where_the_outputs_are_gone(project: Project, is_moved: bool) -> None:
    gate = project.hold_before_step(3)
    study = project.study(TINY_STUDY)
    runner = begin_long(project, study)
    outputs, elsewhere = project.outputs("mine"), project.outputs("elsewhere")
    outputs.rename(elsewhere)
    if not is_moved:
        shutil.rmtree(elsewhere)
    printed = runner.finish(1)
    assert "outputs/mine: was moved or removed while its runs were under way; put it back" in printed
    assert "short: started" not in printed and "Traceback" not in printed, printed
    assert not outputs.exists()
    if is_moved:
        gate.touch()
        elsewhere.rename(outputs)
        assert "short: started" in project.run(study) and "2 complete" in project.run(study, "--dry-run")


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
