"""Guards: nobody else reaches a kernel, and nothing that it has started is left of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from nbstudy.execution import environment, kernel
from nbstudy.execution.guarded import end_what_is_left
from nbstudy.execution.host import Share
from nbstudy.records.lease import Lease
from project import (
    PATIENCE,
    PLAIN,
    TINY_STUDY,
    Project,
    all_end,
    as_stranger,
    kernels_of,
    outputs_of,
    read_run,
    wait_for,
)

FORKED_AND_PLAIN = pytest.mark.parametrize("is_forked", [True, False], ids=["forked", "plain"])


def execute(directory: Path, is_forked: bool, *cells: str) -> kernel.Outcome:
    """Execute code cells in a directory, which keeps the log; return what became of them."""
    log = directory / "log.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in cells]), log)
    share = Share(jobs=1)
    lease = Lease(directory, "the runner")
    lease.lock.write_text("the runner")
    warm = kernel.warm_up(log.read_text(), set(), share, lease) if is_forked else None
    try:
        outcome = kernel.execute(log, directory, {}, share, lambda: True, PATIENCE / 60, warm=warm)
        assert warm is None or warm.why_not is None
        return outcome
    finally:
        lease.lock.unlink()


# --- who can reach a kernel ---
@FORKED_AND_PLAIN
def test_nothing_listens_at_a_port_while_runs_are_under_way(project: Project, is_forked: bool) -> None:
    gate = project.hold_before_step(1)
    project.edit("tiny.ipynb", "rows = [", "Path('begun').touch()\nrows = [")
    if not is_forked:
        project.edit("tiny.ipynb", "import json, time", f"{PLAIN}import json, time")
    names = "abcdefgh"
    study = "notebooks: {run: tiny.ipynb}\nconfigurations:\n"
    study += "".join(f"  {name}: {{steps: 1}}\n" for name in names)
    runner = project.start(project.study(study), "--jobs", str(len(names)))
    here = psutil.Process(runner.pid)
    wait_for(lambda: all((project.attempt(name) / "begun").exists() for name in names))
    assert len(kernels_of(here)) == len(names)
    family = {here.pid, *(process.pid for process in here.children(recursive=True))}
    assert [each for each in psutil.net_connections("inet") if each.pid in family] == []
    gate.touch()
    runner.finish()


CHILDREN = """
import multiprocessing, os, subprocess, sys

number = os.fork()
if number == 0:
    print("by os.fork")
    sys.stdout.flush()
    os._exit(0)
os.waitpid(number, 0)
for way in ("fork", "spawn", "forkserver"):
    child = multiprocessing.get_context(way).Process(target=print, args=[f"by {way}"])
    child.start()
    child.join()
subprocess.run(["echo", "by subprocess"])
subprocess.run("echo by stderr >&2", shell=True)
"""


@FORKED_AND_PLAIN
def test_output_of_children_arrives_however_they_are_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_forked: bool
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # by which ipykernel knows that file descriptors are pytest's
    assert execute(tmp_path, is_forked, CHILDREN) == kernel.Outcome()
    shown = outputs_of(nbformat.read(tmp_path / "log.ipynb", as_version=4))
    for way in ("os.fork", "fork", "spawn", "forkserver", "subprocess", "stderr"):
        assert f"by {way}" in shown


# --- who hears of a kernel ---
TAKE_ALL_FILES = """
import os, resource

resource.setrlimit(resource.RLIMIT_NOFILE, (300, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
taken = []
while True:
    taken.append(os.open(os.devnull, os.O_RDONLY))
"""
# As on a machine with much else to do.
LATE_THREAD = """
def begin_late():
    import time
    from ipykernel.control import ControlThread

    run = ControlThread.run

    def run_late(thread):
        time.sleep(1)
        run(thread)

    ControlThread.run = run_late


begin_late()
"""


@FORKED_AND_PLAIN
def test_notebook_that_takes_all_open_files_fails_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_forked: bool
) -> None:
    monkeypatch.setattr(environment, "CONFIG", environment.CONFIG + LATE_THREAD)
    outcome = execute(tmp_path, is_forked, TAKE_ALL_FILES)
    assert outcome.error is not None and "Too many open files" in outcome.error
    assert outcome.ending is None


# --- what is left of a kernel ---
# Three processes that go on for ever: in a session of its own, without the kernel's environment, and a daemon.
LEAVE = """
import os, subprocess, sys, time
from pathlib import Path

forever = "import os, sys, time; open(sys.argv[1] + '.part', 'w').write(str(os.getpid()));"
forever += "os.rename(sys.argv[1] + '.part', sys.argv[1]); time.sleep(10**6)"
command = [sys.executable, "-c", forever]
subprocess.Popen([*command, "session"], start_new_session=True)
subprocess.Popen([*command, "erased"], start_new_session=True, env={})
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [*command, "daemon"], {})
    os._exit(0)
while not all(Path(name).exists() for name in ("session", "erased", "daemon")):
    time.sleep(0.01)
"""
LEFT = ("session", "erased", "daemon")


def left_in(directory: Path) -> list[psutil.Process]:
    """Return those of the three that are alive."""
    alive = []
    for name in LEFT:
        pid = int((directory / name).read_text())
        if psutil.pid_exists(pid):
            alive.append(psutil.Process(pid))
    return alive


ENDS: dict[str, tuple[str, str | None]] = {
    "asked": ("'the last'", None),
    "exit": ("os._exit(3)", "DeadKernelError: the kernel ended with status 3"),
    "kill": (
        "os.kill(os.getpid(), 9)",
        "DeadKernelError: the kernel was killed, as systems do when memory runs out",
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="what has no guard can hide")
@FORKED_AND_PLAIN
@pytest.mark.parametrize("end", ENDS)
def test_what_a_kernel_has_started_ends_with_it(tmp_path: Path, is_forked: bool, end: str) -> None:
    code, error = ENDS[end]
    assert execute(tmp_path, is_forked, LEAVE, code) == kernel.Outcome(error)
    assert left_in(tmp_path) == []


@pytest.fixture
def leaving(project: Project) -> Iterator[Project]:
    """A project whose template leaves processes, and then waits."""
    project.hold_before_step(1)
    project.edit("tiny.ipynb", "rows = [", f"{LEAVE.strip()}\nrows = [")
    yield project
    attempt = project.attempt("long")
    for process in left_in(attempt) if (attempt / "daemon").exists() else []:
        process.kill()


def start_leaving(project: Project, is_forked: bool) -> tuple[Any, psutil.Process]:
    """Start a run; return its runner and its kernel once what it leaves is there."""
    if not is_forked:
        project.edit("tiny.ipynb", "import json, time", f"{PLAIN}import json, time")
    runner = project.start(project.study(TINY_STUDY), "--only", "long")
    wait_for(lambda: all((project.attempt("long") / name).exists() for name in LEFT))
    (found,) = kernels_of(psutil.Process(runner.pid))
    return runner, found


@FORKED_AND_PLAIN
def test_what_kernels_have_started_ends_with_a_killed_runner(leaving: Project, is_forked: bool) -> None:
    runner, found = start_leaving(leaving, is_forked)
    left = left_in(leaving.attempt("long"))
    assert len(left) == 3
    runner.kill()
    runner.wait()
    assert all_end([found, *left])


@FORKED_AND_PLAIN
def test_kernel_ends_with_its_guard_and_what_is_known_to_be_its_own_does_too(
    leaving: Project, is_forked: bool
) -> None:
    runner, found = start_leaving(leaving, is_forked)
    session, *_ = left_in(leaving.attempt("long"))
    guard = found.parent()
    assert guard is not None
    guard.kill()
    assert all_end([found, session])
    assert "long: DeadKernelError" in runner.finish(1)


def test_what_is_left_is_known_by_its_environment_where_there_is_no_guard(tmp_path: Path) -> None:
    environment = os.environ | {"IPYTHONDIR": str(tmp_path / "own" / "ipython")}
    own = subprocess.Popen(["sleep", "1000"], env=environment, start_new_session=True)
    other = subprocess.Popen(["sleep", "1000"])
    assert end_what_is_left(tmp_path / "own") == []
    assert own.poll() is not None
    assert other.poll() is None
    other.kill()
    other.wait()


def test_what_cannot_be_ended_is_said(project: Project) -> None:
    """It has become another user's, as what `sudo` starts."""
    become_root = project.root / "become-root"
    shutil.copy(str(shutil.which("setpriv")), become_root)
    become_root.chmod(0o4755)
    command = [str(become_root), "--reuid=0", "sleep", "1000"]
    code = f"import subprocess\nPath('left').write_text(str(subprocess.Popen({json.dumps(command)}).pid))\n"
    project.edit("tiny.ipynb", "rows = [", f"{code}rows = [")
    study = project.study(TINY_STUDY)
    for path in (project.root, project.root / "notebooks"):
        path.chmod(0o777)
    stranger = [*as_stranger(), *project.command(study, "--only", "short")]
    done = subprocess.run(
        stranger, cwd=project.root, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    run = project.outputs("mine", "short")
    left = psutil.Process(int((run / "left").read_text()))
    name = left.name()
    left.kill()
    assert done.returncode == 0, done.stdout + done.stderr
    ending = f"what it has started is still alive: process {left.pid} ({name})"
    assert ending in done.stdout and read_run(run)["ending"] == ending
