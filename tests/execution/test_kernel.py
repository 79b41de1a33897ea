"""Kernels: what a notebook is given, where they talk, how they fail, when they end."""

from __future__ import annotations

import gc
import gzip
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from executed import execute, log_in, notebook_of
from nbstudy.execution import directories, kernel
from nbstudy.execution.environment import kernel_environment
from nbstudy.execution.host import Share
from nbstudy.records.lease import Lease
from project import (
    PATIENCE,
    TINY_STUDY,
    Project,
    all_end,
    as_stranger,
    kernels_of,
    outputs_of,
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


# --- what threads that run notebooks share ---
def test_one_thread_at_a_time_finds_the_classes_that_traits_name(tmp_path: Path) -> None:
    # two that did so at once disturbed each other: "TypeError: import_item accepts strings"
    program = """
        import sys
        from pathlib import Path
        from traitlets import traitlets
        from executed import execute
        from nbstudy.execution.once import known_to_this_process

        lock, _ = known_to_this_process("classes")
        found = {True: set(), False: set()}
        find = traitlets.import_item

        def note(name):
            found[lock.locked()].add(name)
            return find(name)

        traitlets.import_item = note
        assert execute(Path(sys.argv[1]), "1") is None
        print(*sorted(found[True]))
        print(*sorted(found[False]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), tmp_path],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    by_one, by_any = done.stdout.splitlines()
    assert "jupyter_client.session.Session" in by_one and by_any == ""


# --- what a notebook is given ---
def test_strings_reach_the_notebook_as_they_are(project: Project) -> None:
    text = "quote \" and ' and \\ {brace} # hash\nnew line é 漢 \U0001f600"
    quoted = json.dumps(text, ensure_ascii=False)
    project.run(
        project.study(
            f"notebooks: {{run: tiny.ipynb, summary: null}}\nconfigurations:\n  a: {{text: {quoted}}}\n"
        )
    )
    assert read(project.outputs("mine", "a", "result.json")) == {"text": text}


def test_paths_with_odd_characters_work(project: Project) -> None:
    odd = project.root / "a {b} 'c' é"
    odd.mkdir()
    moved = Project(odd)
    moved.run(moved.study(TINY_STUDY), "--only", "short")
    assert moved.outputs("mine", "short", "run.json").exists()


# what a run sees of the machine it is on
REPORT = """
import json, os, sys, tempfile
from pathlib import Path
import matplotlib.pyplot as plt

plt.plot([1, 2])
plt.show()
home = Path(os.environ["KERAS_HOME"])
report = {
    "python": sys.executable,
    "asserts": __debug__,
    "matplotlib": [plt.get_backend(), plt.rcParams["text.usetex"]],
    "keras": [os.environ["KERAS_BACKEND"], os.environ.get("KERAS_MAX_EPOCHS"), (home / "keras.json").exists()],
    "data": str((home / "datasets").resolve()),
    "oneDNN": os.environ.get("TF_ENABLE_ONEDNN_OPTS"),
    "threads": [os.environ.get(name) for name in ("OPENBLAS_NUM_THREADS", "OMP_THREAD_LIMIT", "NPROC")],
    "temporary": tempfile.gettempdir(),
}
Path("report.json").write_text(json.dumps(report))
"""


def make_hostile(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this the machine of somebody who has set for other work all that a run must not have."""
    profile = home / ".ipython" / "profile_default"
    files = {
        profile / "startup" / "greet.py": "print('PLANTED')",
        profile / "ipython_config.py": "c = get_config()\nc.InteractiveShell.ast_node_interactivity = 'all'",
        home / "startup.py": "print('PLANTED')",
        home / "matplotlibrc": "text.usetex: True",
        home / ".keras" / "keras.json": '{"floatx": "float64", "backend": "jax"}',
        home
        / "kernels"
        / "python3"
        / "kernel.json": '{"argv": ["false"], "display_name": "", "language": "python"}',
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    variables = {
        "HOME": str(home),
        "MPLBACKEND": "Agg",
        "MATPLOTLIBRC": str(home / "matplotlibrc"),
        "MPLCONFIGDIR": matplotlib.get_cachedir(),  # whose list of fonts saves seconds
        "KERAS_BACKEND": "jax",
        "KERAS_MAX_EPOCHS": "1",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "OPENBLAS_NUM_THREADS": "7",
        "PYTHONSTARTUP": str(home / "startup.py"),
        "PYTHONOPTIMIZE": "1",
        "JUPYTER_PATH": str(home),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KERAS_HOME", raising=False)


def test_run_is_the_same_on_everybodys_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    make_hostile(home, monkeypatch)
    temporary = tmp_path / ("long" * 25)  # a socket's path may have some hundred bytes
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    # no kernel is named, and no language
    assert execute(tmp_path, REPORT, "print('seed', seed)", "'unseen'\nseed", seed=3) is None
    report = read(tmp_path / "report.json")
    assert Path(report.pop("temporary")).parent.parent == temporary
    assert report == {
        "python": sys.executable,
        "asserts": True,
        "matplotlib": ["module://matplotlib_inline.backend_inline", False],
        "keras": ["tensorflow", None, False],
        "data": str(home / ".keras" / "datasets"),
        "oneDNN": None,
        "threads": ["1", None, "1"],
    }
    log = log_in(tmp_path)
    shown = outputs_of(log)
    assert "image/png" in shown and "seed 3" in shown
    (injected,) = [cell for cell in log.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    assert injected.source.strip() == "# 1 thread\n# Parameters\nseed = 3"
    assert "PLANTED" not in shown and "unseen" not in shown
    assert list(temporary.iterdir()) == []
    assert left_by_this_process() == []


def left_by_this_process() -> list[Path]:
    """Return the directories of kernels that this process has left."""
    left = []
    for place in directories.places():
        left += place.glob(f"kernel-*-{os.getpid()}-*")
    return left


def test_sets_of_texts_have_one_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "5")
    environment = kernel_environment(tmp_path, {}, {})
    ask = [sys.executable, "-c", "print(hash('a text'))"]
    hashes = {subprocess.check_output(ask, env=environment) for _ in range(2)}
    hashes.add(subprocess.check_output(ask, env=os.environ | {"PYTHONHASHSEED": "0"}))
    assert len(hashes) == 1


def test_stranger_without_a_home_can_run(
    project: Project, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user is unknown, and HOME is not set."""
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME")  # the tests' own
    project.edit("tiny.ipynb", "rows = [", "import matplotlib.font_manager\nrows = [")
    study = project.study(TINY_STUDY)
    for path in (temporary, project.root, project.root / "notebooks"):
        path.chmod(0o777)
    done = subprocess.run(
        [*as_stranger(), *project.command(study, "--only", "short")],
        cwd=project.root,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stderr" not in outputs_of(
        nbformat.read(project.outputs("mine", "short", "short.ipynb"), as_version=4)
    )


def test_all_outputs_of_a_cell_are_kept_however_slowly_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from papermill.clientwrap import PapermillNotebookClient

    number, length = 2400, 4000  # more than a channel holds at both ends, and its socket between them
    process_message = PapermillNotebookClient.process_message

    def process_when_all_is_sent(self: Any, message: Any, *rest: Any) -> Any:
        if message["msg_type"] == "display_data":
            wait_for((tmp_path / "sent").exists)
        return process_message(self, message, *rest)

    monkeypatch.setattr(PapermillNotebookClient, "process_message", process_when_all_is_sent)
    show = (
        "publish = get_ipython().display_pub.publish\n"
        "for i in range(number): publish({'text/plain': f'{i:{length}}'})"
    )
    sent = "from pathlib import Path\nPath('sent').touch()"
    assert execute(tmp_path, f"{show}\n{sent}", "print('the end')", number=number, length=length) is None
    cells = log_in(tmp_path).cells
    assert [int(output.data["text/plain"]) for output in cells[1].outputs] == list(range(number))
    assert "the end" in outputs_of(log_in(tmp_path))


def test_library_that_is_not_needed_is_missing_for_a_moment() -> None:
    with kernel.without("this"), pytest.raises(ModuleNotFoundError):
        import this  # noqa: F401 - a library that nobody has imported
    assert "this" not in sys.modules
    with kernel.without("json"):
        assert sys.modules["json"] is json


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
    temporary.chmod(0o1777)  # anybody's, as /tmp
    umask = os.umask(0)
    runner = project.start(study, "--only", "long")
    os.umask(umask)
    wait_for(lambda: rows(project.attempt("long") / "history.csv") == 2)
    (kernel,) = kernels_of(psutil.Process(runner.pid))
    place = sockets_of(kernel)
    assert place.parent == temporary
    assert stat.S_IMODE(place.stat().st_mode) & 0o777 == 0o700
    channels = [path.name for path in place.iterdir() if path.is_socket()]
    assert len(channels) == 5 and "children" in channels
    assert list(temporary.glob("kernel-*/tmp/tmp*"))
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in temporary.iterdir() if path != place)
    runner.send_signal(signal.SIGINT)
    runner.finish(130)
    project.run(study, "--only", "short")
    assert list(temporary.iterdir()) == []


@pytest.mark.usefixtures("temporary")  # from which no other runner sweeps
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


def test_directories_of_dead_runners_are_removed_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / "temporary", tmp_path / "short", tmp_path / "missing"]
    monkeypatch.setattr(directories, "places", lambda: places)
    dead = subprocess.Popen(["true"])
    dead.wait()
    for place in places[:2]:
        for name in (
            f"{directories.directory_prefix()}{dead.pid}-a",
            f"kernel-other-host-{dead.pid}-a",
            "kernel-x-y",
        ):
            (place / name).mkdir(parents=True)
    with directories.temporary_directory(places[0]) as alive:
        directories.remove_what_is_left()
        left = {path.name for place in places[:2] for path in place.iterdir()}
        assert left == {alive.name, f"kernel-other-host-{dead.pid}-a", "kernel-x-y"}


def test_only_own_directories_of_dead_runners_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directories, "places", lambda: [tmp_path])
    dead = subprocess.Popen(["true"])
    dead.wait()
    another = tmp_path / f"{directories.directory_prefix()}{dead.pid}-a"
    another.mkdir()
    with monkeypatch.context() as other:
        user = os.getuid() + 1
        other.setattr(os, "getuid", lambda: user)
        directories.remove_what_is_left()
    assert another.exists()
    link = another.with_name(f"{directories.directory_prefix()}{dead.pid}-b")
    link.symlink_to(another)
    ended: list[Path] = []
    monkeypatch.setattr(directories, "end_what_is_left", lambda *left: ended.extend(left))
    directories.remove_what_is_left()
    assert ended == [another] and link.is_symlink()


def test_directories_are_those_of_the_processes_of_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    here = directories.directory_prefix()
    assert directories.directory_prefix() == here
    monkeypatch.setattr(os, "readlink", lambda _: "pid:[1]")  # as in a container with the host's name
    assert directories.directory_prefix() != here


def test_no_place_for_sockets_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / ("long" * 25)
    place.mkdir()
    monkeypatch.setattr(directories, "places", lambda: [place])
    error = execute(tmp_path, "1")
    assert error == f"OSError: no socket can be made in any of {place}: set TMPDIR to a short path"


# --- how they fail ---
HANDLER = "get_ipython().set_custom_exc((Exception,), lambda *_, **__: print('handled'))"
FAULTS = {
    "die": (
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "DeadKernelError: .* Segmentation fault",
    ),
    "kill": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "DeadKernelError: .* memory"),
    "words": (
        "import os; os.write(2, b'error: no GPU\\n'); os._exit(3)",
        "DeadKernelError: .* 3: error: no GPU",
    ),
    "flush": (
        "import sys, os; print('I cannot go on', file=sys.stderr); os._exit(1)",
        "DeadKernelError: .* go on",
    ),
    "memory": ("x = bytearray(2**62)", "MemoryError"),
    "leave": ("import sys; sys.exit(0)", "SystemExit: the notebook ended in code cell 5 of 6 by an exit"),
    "magic": ("%nonesuch", "UsageError: Line magic function `%nonesuch` not found"),
    "handler": (f"{HANDLER}\n1 / 0", "ZeroDivisionError: division by zero"),
    "bare": ("x = 2\nassert x == 1", "AssertionError: assert x == 1"),
    "unprintable": (
        "class Strange(Exception):\n    def __str__(self): raise TypeError('no text')\nraise Strange",
        r"Strange: <exception str\(\) failed>",
    ),
    "blank": ("raise ValueError('\\n\\n  second line')", "ValueError: second line"),
}


def assert_is_kept_and_named(project: Project, name: str, error: str, printed: str) -> None:
    """Check that a failed attempt's log and record are there, and that the runner said so."""
    log = project.attempt(name) / f"{name}.ipynb"
    assert re.search(rf"  {name}: {error}.*\({log.relative_to(project.root)}\)", printed), printed
    assert re.match(error, read_run(log.parent)["error"])
    assert_is_marked(nbformat.read(log, as_version=4), read_run(log.parent)["error"])


def assert_is_marked(log: nbformat.NotebookNode, error: str) -> None:
    """Check that a log says at its top and in one cell, which failed, what ended it, and that no other came after."""
    nbformat.validate(log)
    top = next(cell for cell in log.cells if cell.id != "head")  # of what papermill leaves
    assert "An Exception was encountered" in top.source
    states = [cell.metadata.papermill.status for cell in log.cells if cell.cell_type == "code"]
    failed = states.index("failed")
    assert states == ["completed"] * failed + ["failed"] + ["pending"] * (len(states) - failed - 1)
    (cell,) = (cell for cell in log.cells if cell.metadata.get("papermill", {}).get("exception"))
    assert log.metadata.papermill.exception
    shown = outputs_of(new_notebook(cells=[cell]))
    assert error.partition(":")[0] in shown or "handled" in shown


def test_faults_are_kept_and_named_and_the_others_go_on(project: Project) -> None:
    path = project.root / "notebooks" / "tiny.ipynb"
    tiny = nbformat.read(path, as_version=4)
    tiny.cells += [
        new_code_cell("get_ipython().run_cell(text).raise_error()"),
        new_code_cell("print('the end')"),
    ]
    nbformat.write(tiny, path)
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


# in front of the kernels that it lets fail, as PYTHONPATH
FLAKY = """
import os, sys
if any("warm_process.py" in word for word in sys.orig_argv):
    os._exit(1)  # so that kernels are not forked
if "ipykernel_launcher" in sys.orig_argv:
    with open({starts!r}, "a") as file:
        file.write("start ")
    if open({starts!r}).read().count("start") <= {failures}:
        print("no library here", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)
"""


@pytest.mark.parametrize(("failures", "status"), [(2, 0), (3, 1)])
def test_kernel_that_does_not_start_is_tried_three_times(
    project: Project,
    tmp_path: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
    status: int,
) -> None:
    starts = tmp_path / "starts"
    (tmp_path / "path").mkdir()
    source = FLAKY.format(starts=str(starts), failures=failures)
    (tmp_path / "path" / "sitecustomize.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    printed = project.run(project.study(TINY_STUDY), "--only", "short", status=status)
    assert ("short: 2 epochs" in printed) == (status == 0)
    assert ("short: DeadKernelError: the kernel ended with status 1: no library here" in printed) == (
        status == 1
    )
    assert starts.read_text().count("start") == 3
    assert list(temporary.iterdir()) == []


def test_failed_start_leaves_nothing_and_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process runs, but its sockets cannot be had: their paths are too long."""
    place = tmp_path / ("long" * 25)
    place.mkdir()
    monkeypatch.setattr(kernel, "socket_place", lambda: place)
    before = set(psutil.Process().children())
    error = execute(tmp_path, "1")
    assert error and error.startswith("ZMQError: File name too long")
    gc.collect()  # waits for the sockets of what it removes
    assert set(psutil.Process().children()) <= before
    assert list(place.iterdir()) == []


def test_exit_is_an_error_in_the_last_cell_too(tmp_path: Path) -> None:
    error = "SystemExit: the notebook ended in code cell 2 of 2 by an exit"
    assert execute(tmp_path, "import sys", "sys.exit(0)") == error
    assert_is_marked(log_in(tmp_path), error)


# --- how they end ---
# what a run still has in its hands when its last cell ends
UNFINISHED = """
import atexit, gzip, multiprocessing, os, subprocess, sys, threading, time, types, weakref
from pathlib import Path

def write(name):
    time.sleep(1)
    Path(name).write_text(name)

rows = open("rows", "w")
print(*range(600), sep="\\n", file=rows)
packed = gzip.open("packed", "wt")
packed.write("packed")
sys.modules["own"] = types.ModuleType("own")  # a module holds a file that the notebook does not
sys.modules["own"].file = open("of a module", "w")
sys.modules["own"].file.write("of a module")
atexit.register(write, "at exit")
atexit.register(print, "printed at exit")
weakref.finalize(write, write, "finalized")
threading.Thread(target=write, args=["by a thread"]).start()
multiprocessing.get_context("fork").Process(target=write, args=["by a process"]).start()
ended = subprocess.Popen(["true"])  # and nobody asks for its status
left = subprocess.Popen(["sleep", "1000"])
Path("left").write_text(str(left.pid))
"""


@pytest.mark.parametrize("is_forked", [False, True])
def test_nothing_is_lost_that_a_run_has_unfinished(tmp_path: Path, is_forked: bool) -> None:
    log = tmp_path / "log.ipynb"
    nbformat.write(notebook_of(UNFINISHED, "'the last'"), log)
    share = Share(jobs=1)
    lease = Lease(tmp_path, "the runner")
    lease.lock.write_text("the runner")
    warm = kernel.warm_up(log.read_text(), set(), share, lease) if is_forked else None
    outcome = kernel.execute(log, tmp_path, {}, share, lambda: True, warm=warm)
    lease.lock.unlink()
    assert outcome == kernel.Outcome()
    assert (tmp_path / "rows").read_text().split() == [str(row) for row in range(600)]
    assert gzip.decompress((tmp_path / "packed").read_bytes()) == b"packed"
    for name in ("of a module", "at exit", "finalized", "by a thread", "by a process"):
        assert (tmp_path / name).read_text() == name
    assert "printed at exit" in outputs_of(log_in(tmp_path))
    left = int((tmp_path / "left").read_text())
    wait_for(lambda: not psutil.pid_exists(left))


def test_kernel_that_does_not_end_is_killed_and_that_is_said(project: Project) -> None:
    hang = "import threading\nthreading.Thread(target=time.sleep, args=[10**6]).start()"
    project.edit("tiny.ipynb", "rows = [", f"{hang}\nrows = [")
    printed = project.run(project.study(TINY_STUDY), "--only", "short")
    ending = "its kernel did not end within 10 seconds of its last cell, and was killed"
    assert re.search(f"^short: 2 epochs, .*, {ending}$", printed, re.MULTILINE), printed
    assert read_run(project.outputs("mine", "short"))["ending"] == ending


def test_kernel_that_ends_and_that_nobody_wants_any_more_is_killed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "END", PATIENCE)
    cells = [
        "import atexit, time\nfrom pathlib import Path",
        "atexit.register(time.sleep, 10**6); atexit.register(Path('ending').touch)",
    ]
    log = tmp_path / "log.ipynb"
    nbformat.write(notebook_of(*cells), log)
    began = time.monotonic()
    outcome = kernel.execute(log, tmp_path, {}, Share(jobs=1), lambda: not (tmp_path / "ending").exists())
    assert outcome.error == "interrupted: nobody waits for this run any more"
    assert time.monotonic() - began < PATIENCE


# --- what comes late ---
LATE = """
import asyncio, atexit
from IPython.display import clear_output, display

async def count():
    for number in range(3):
        await asyncio.sleep(0.2)
        print("late", number)
    clear_output(wait=True)
    display("shown late")

task = asyncio.create_task(count())
asyncio.get_running_loop().call_later(0.2, print, "called late")
"""


def test_output_of_a_task_is_of_the_cell_that_started_it(tmp_path: Path) -> None:
    wait = "print('before')\nwhile not task.done(): await asyncio.sleep(0.1)\nprint('after')"
    assert execute(tmp_path, LATE.replace("clear_output(wait=True)", ""), "'between'", wait) is None
    first, second, third = (json.dumps(cell.outputs) for cell in log_in(tmp_path).cells)
    for text in ("late 0", "late 1", "late 2", "called late", "shown late"):
        assert text in first and text not in second + third
    assert "before" in third and "after" in third


def test_task_clears_the_output_of_its_own_cell_alone(tmp_path: Path) -> None:
    wait = "print('before')\nwhile not task.done(): await asyncio.sleep(0.1)\nprint('after')"
    assert execute(tmp_path, LATE, wait) is None
    first, second = (json.dumps(cell.outputs) for cell in log_in(tmp_path).cells)
    assert "shown late" in first and "late 2" not in first
    assert "before" in second and "after" in second
