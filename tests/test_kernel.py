"""Kernels: what a notebook is given, where they talk, how they fail, when they end."""

from __future__ import annotations

import json
import re
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import pytest

from project import (
    TINY_STUDY,
    Project,
    all_end,
    kernels_of,
    read,
    read_run,
    rows,
    sockets_of,
    wait_for,
)


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory for temporary files, with a short path, as sockets need."""
    with tempfile.TemporaryDirectory() as place:
        monkeypatch.setenv("TMPDIR", place)
        yield Path(place)


# --- what a notebook is given ---
def test_strings_reach_the_notebook_as_they_are(project: Project) -> None:
    text = "quote \" and ' and \\ {brace} # hash\nnew line é 漢 \U0001f600"
    quoted = json.dumps(text, ensure_ascii=False)
    project.run(project.study(f"notebooks: {{run: tiny.ipynb}}\nconfigurations:\n  a: {{text: {quoted}}}\n"))
    assert read(project.outputs("mine", "a", "result.json")) == {"text": text}


def test_paths_with_odd_characters_work(project: Project) -> None:
    odd = project.root / "a {b} 'c' é"
    odd.mkdir()
    moved = Project(odd)
    moved.run(moved.study(TINY_STUDY), "--only", "short")
    assert moved.outputs("mine", "short", "run.json").exists()


# --- where they talk ---
def test_kernels_use_private_sockets_and_leave_none(project: Project, temporary: Path) -> None:
    project.edit(
        "tiny.ipynb",
        "rows = [",
        "from ipykernel import get_connection_file\n"
        "connection = Path(get_connection_file())\n"
        "text = ' '.join([json.loads(connection.read_text())['transport'],"
        " oct(connection.parent.stat().st_mode)[-3:]])\nrows = [",
    )
    project.run(project.study(TINY_STUDY), "--only", "short")
    assert read(project.outputs("mine", "short", "result.json")) == {"text": "ipc 700"}
    assert list(temporary.iterdir()) == []


def test_sockets_and_temporary_files_lie_where_only_the_user_can_enter(
    project: Project, temporary: Path
) -> None:
    project.hold_before_step(3)
    project.edit("tiny.ipynb", "rows = [", "import tempfile\ntempfile.mkstemp()\nrows = [")
    study = project.study(TINY_STUDY)
    runner = project.start(study, "--only", "long")
    wait_for(lambda: rows(project.attempt("long") / "history.csv") == 2)
    (kernel,) = kernels_of(psutil.Process(runner.pid))
    place = sockets_of(kernel)
    assert place.parent == temporary
    assert stat.S_IMODE(place.stat().st_mode) & 0o777 == 0o700
    assert sum(path.is_socket() for path in place.iterdir()) == 5  # all of a kernel's channels
    assert any(path.name.startswith("tmp") for path in place.iterdir())
    runner.send_signal(signal.SIGINT)
    runner.finish(130)
    project.run(study, "--only", "short")
    assert list(temporary.iterdir()) == []


def test_kernels_of_a_killed_runner_end_and_the_next_removes_their_sockets(project: Project) -> None:
    project.hold_before_step(3)
    study = project.study(TINY_STUDY)
    runner = project.start(study, "--only", "long")
    wait_for(lambda: rows(project.attempt("long") / "history.csv") == 2)
    kernels = kernels_of(psutil.Process(runner.pid))
    sockets = {sockets_of(kernel) for kernel in kernels}
    runner.kill()
    runner.wait()
    assert kernels and all_end(kernels)
    assert all(place.exists() for place in sockets)
    project.run(study, "--only", "short")
    assert not any(place.exists() for place in sockets)


# --- how they fail ---
FAULTS = {
    "die": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "DeadKernelError"),
    "leave": ("import os; os._exit(0)", "DeadKernelError"),
    "memory": ("x = bytearray(2**62)", "MemoryError"),
}


def assert_is_kept_and_named(project: Project, name: str, error: str, printed: str) -> None:
    """Check that a failed attempt's log and record are there, and that the runner said so."""
    log = project.attempt(name) / f"{name}.ipynb"
    assert re.search(rf"  {name}: {error}.*\({log.relative_to(project.root)}\)", printed), printed
    nbformat.validate(nbformat.read(log, as_version=4))
    assert error in read_run(log.parent)["error"]


def test_faults_are_kept_and_named_and_the_others_go_on(project: Project) -> None:
    project.edit("tiny.ipynb", 'if text == "fail":\n    raise RuntimeError("asked to fail")', "exec(text)")
    bad = "".join(f"  {name}: {{text: {json.dumps(code)}}}\n" for name, (code, _) in FAULTS.items())
    printed = project.run(project.study(TINY_STUDY + bad), status=1)
    assert "short: 2 epochs" in printed and "long: 4 epochs" in printed
    assert f"{len(FAULTS)} failed" in printed
    for name, (_, error) in FAULTS.items():
        assert_is_kept_and_named(project, name, error, printed)


def test_run_that_takes_too_long_is_ended_and_named_and_the_others_go_on(project: Project) -> None:
    # half a minute is long for two steps, also on a busy machine
    late = "  late: {steps: 1, seconds: 1000}\n"
    printed = project.run(project.study(TINY_STUDY + late), "--timeout", "0.5", status=1)
    assert "short: 2 epochs" in printed and "long: 4 epochs" in printed and "1 failed" in printed
    assert_is_kept_and_named(project, "late", "TimeoutError: took longer than 0.5 minutes", printed)


@pytest.mark.parametrize(("failures", "status"), [(2, 0), (3, 1)])
def test_kernel_that_does_not_start_is_tried_three_times(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, status: int
) -> None:
    spec = tmp_path / "jupyter" / "kernels" / "flaky"
    spec.mkdir(parents=True)
    script = tmp_path / "flaky.sh"
    script.write_text(
        f'echo start >> {tmp_path}/starts\n[ "$(wc -l < {tmp_path}/starts)" -le {failures} ] && exit 1\n'
        f'exec {sys.executable} -m ipykernel_launcher -f "$1"\n'
    )
    kernel = {"argv": ["sh", str(script), "{connection_file}"], "display_name": "x", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(kernel))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    path = project.root / "notebooks" / "tiny.ipynb"
    path.write_text(path.read_text().replace('"name": "python3"', '"name": "flaky"'))
    printed = project.run(project.study(TINY_STUDY), "--only", "short", status=status)
    assert ("short: 2 epochs" in printed) == (status == 0)
    assert (tmp_path / "starts").read_text().count("start") == 3
