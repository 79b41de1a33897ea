"""Warm processes: what they import beforehand, what the kernels they fork are like, and what ends them."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from clusters import Cluster
from nbstudy.execution.early import early_statements
from nbstudy.execution.guarded import ForkedKernel
from nbstudy.execution.host import Share
from nbstudy.execution.kernel import warm_up
from nbstudy.execution.warm import PROGRAMS, WarmProcess
from nbstudy.execution.warm_process import why_not_to_fork
from nbstudy.records.lease import Lease
from project import (
    PLAIN,
    REAL_STUDY,
    TINY_STUDY,
    WHY_PLAIN,
    Project,
    all_end,
    executed,
    kernels_of,
    outputs_of,
    read,
    rows,
    training_state,
    wait_for,
    warm_processes_of,
)


# --- what is imported beforehand ---
@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        # those that every run does, in the order of the text
        (
            [
                "import a\nwith b:\n    try:\n        import c.d as e\n    finally:\n        pass",
                "from f import g",
            ],
            ["import a", "import c.d as e", "from f import g"],
        ),
        (["def late():\n    import a", "if fast:\n    import b", "for c in d:\n    import c"], []),
        # not the modules that travel with a template, nor what belongs to a file
        (["import a, own\nimport own.part\nfrom own import b\nfrom . import c"], ["import a"]),
        (["from __future__ import annotations"], []),
        # variables that are set to what stands there, for imports may read them
        (
            ["import os\nos.environ.setdefault('A', '1')\nos.environ['B'] = '2'\nimport c"],
            ["import os", "os.environ.setdefault('A', '1')", "os.environ['B'] = '2'", "import c"],
        ),
        (["print(os.environ.get('A'), os.environ['B'])\nimport a"], ["import a"]),
        # nothing after what depends on a run
        (["import a\nos.environ['KERAS_BACKEND'] = backend\nimport keras"], ["import a"]),
        (["import a\nos.environ.update(threads)", "import b"], ["import a"]),
        (["import a\nos.putenv('A', '1')\nimport b"], ["import a"]),
        (["import os as system\nsystem.environ['A'] = '1'\nimport b"], ["import os as system"]),
        (["import a\nsys.path.insert(0, '..')\nimport b"], ["import a"]),
        (["import a\n%env A=1\nimport b"], ["import a"]),
        (["import a\nif fast:\n    os.environ['A'] = '1'\nimport b"], ["import a"]),
        (["import a\ndef f():\n    os.environ['A'] = '1'\nf()\nimport b"], ["import a"]),
        (["import a\nenv = os.environ\nenv['A'] = '1'\nimport b"], ["import a"]),
        (["import a\nchange(os.environ)\nimport b"], ["import a"]),
        (["import a\nfrom os import environ as env\nenv['A'] = '1'\nimport b"], ["import a"]),
        (["import a\nfrom dotenv import load_dotenv\nload_dotenv()\nimport b"], ["import a"]),
        # magics and mistakes, which the run will say
        (["%matplotlib inline\nimport a", "import b ?? c", "!ls\nimport d"], ["import a", "import d"]),
        (["%%bash\nimport a", "await b()\nimport c"], ["import c"]),
    ],
)
def test_imports_of_a_template_are_found_up_to_where_they_depend_on_a_run(
    cells: list[str], expected: list[str]
) -> None:
    found = [ast.unparse(early.statement) for early in early_statements(cells, {"own"})]
    assert found == expected


@pytest.mark.parametrize(
    ("handler", "may_fail"),
    [
        ("except ImportError:\n    pass", True),
        ("except (ValueError, ModuleNotFoundError):\n    pass", True),
        ("except:\n    pass", True),
        ("except ValueError:\n    pass", False),
        ("finally:\n    pass", False),
    ],
)
def test_library_that_a_template_can_do_without_may_be_missing(handler: str, may_fail: bool) -> None:
    (early,) = early_statements([f"try:\n    import a\n{handler}"], set())
    assert early.may_fail == may_fail


def test_module_of_a_template_is_not_mistaken_for_another_of_its_name() -> None:
    assert why_not_to_fork({"json", "no_such_module"}) == (
        "what the template imports has imported another json than its own"
    )


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the source of a module `library` that everything started by the test can import."""
    place = tmp_path / "libraries"
    place.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(place))
    return place / "library.py"


def import_library(project: Project) -> None:
    """Let tiny.ipynb import the library."""
    project.edit("tiny.ipynb", "import json, time", "import json, time\nimport library")


FACTS = """
import os, tempfile
import numpy as np
facts = {
    "process": os.getpid(),
    "group": os.getpgid(0),
    "directory": os.getcwd(),
    "temporary": tempfile.gettempdir(),
    "TMPDIR": os.environ["TMPDIR"],
    "chance": int(np.random.randint(2**31)),
    "imported by": library.process,
    "set by an import": os.environ["SET_BY_LIBRARY"],
    "open": [name for name in os.listdir("/proc/self/fd") if "warm" in os.path.realpath(f"/proc/self/fd/{name}")],
}
Path("facts.json").write_text(json.dumps(facts))
rows = [
"""


def test_kernels_share_what_was_imported_once_and_nothing_else(project: Project, library: Path) -> None:
    library.write_text(
        "import os\nprocess = os.getpid()\nos.environ['SET_BY_LIBRARY'] = 'yes'\nprint('noise')\n"
    )
    import_library(project)
    project.edit("tiny.ipynb", "rows = [", FACTS.strip())
    printed = project.run(project.study(TINY_STUDY), "--jobs", "2")
    assert "noise" not in printed and "libraries anew" not in printed
    facts = {name: read(project.outputs("mine", name, "facts.json")) for name in ("short", "long")}
    for name, each in facts.items():
        assert each["group"] == each["process"] != each["imported by"]
        assert each["directory"].endswith(f"incomplete/{name}/1")
        assert each["temporary"] == each["TMPDIR"]
        assert each["set by an import"] == "yes"
        assert not each["open"]
    for own in ("process", "TMPDIR", "chance"):
        assert facts["short"][own] != facts["long"][own]
    assert facts["short"]["imported by"] == facts["long"]["imported by"]


def test_what_a_library_does_at_the_end_is_done_by_the_process_that_imported_it_alone(
    project: Project, library: Path
) -> None:
    library.write_text(
        "import atexit, os, pathlib, weakref\n"
        "process, ended = os.getpid(), pathlib.Path(__file__).with_name('ended')\n"
        "def end():\n    with ended.open('a') as file: file.write(f'{process} by {os.getpid()}\\n')\n"
        "atexit.register(end)\n"
        "weakref.finalize(end, end.__call__)\n"
    )
    import_library(project)
    project.run(project.study(TINY_STUDY), "--jobs", "1")
    lines = library.with_name("ended").read_text().splitlines()
    process = lines[0].split()[0]
    assert lines == [f"{process} by {process}"] * 2


# --- what is not forked ---
class Start:
    """Starts warm processes for a lease and a directory of their own, and kernels as a kernel manager would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lease = Lease(root, "the runner")
        self.lease.lock.write_text("the runner")
        self.started: list[WarmProcess] = []

    def __call__(self, source: str = "") -> WarmProcess:
        """Start a warm process for a notebook of one cell."""
        private = self.root / f"warm-{len(self.started)}"
        private.mkdir()
        notebook = json.dumps({"cells": [{"cell_type": "code", "source": source}]})
        self.started.append(WarmProcess(notebook, set(), self.lease, private, os.environ))
        return self.started[-1]

    def kernel(self, warm: WarmProcess) -> ForkedKernel | None:
        """Fork a kernel, if that can be done."""
        options = {"env": dict(os.environ), "cwd": str(self.root)}
        return warm.fork([f"--f={self.root / 'connection'}", "--transport=ipc"], options, lambda: True)

    def guarded(self, warm: WarmProcess) -> tuple[ForkedKernel, psutil.Process]:
        """Fork a kernel; return it and its guard."""
        kernel = self.kernel(warm)
        assert kernel is not None
        guard = psutil.Process(kernel.pid).parent()
        assert guard is not None
        return kernel, guard


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts warm processes; they are ended at the end of the test."""
    start = Start(tmp_path)
    yield start
    for warm in start.started:
        warm.end()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import no_such_library", WHY_PLAIN),
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=[1000], daemon=True).start()",
            "what the template imports starts 1 threads",
        ),
        (
            "from IPython import get_ipython\nget_ipython().events.register('pre_run_cell', print)",
            "`import library` asks a kernel for events that is not there yet",
        ),
        ("import os\nos._exit(3)", "the process that does it once for all has ended"),
        (
            "import signal\nsignal.signal(signal.SIGCHLD, lambda *_: None)",
            "what the template imports catches SIGCHLD, the signal that a child has ended",
        ),
    ],
)
def test_nothing_is_forked_where_that_cannot_be_trusted(
    start: Start, library: Path, source: str, why: str
) -> None:
    library.write_text(source)
    imported = "import no_such_library" if "no_such" in source else "import library"
    warm = start(imported)
    assert start.kernel(warm) is None
    assert warm.why_not == why
    assert warm.process.wait() is not None


def test_kernels_that_cannot_be_forked_are_started_as_ever_and_that_is_said_once(project: Project) -> None:
    project.edit("tiny.ipynb", "import json, time", f"{PLAIN}import json, time")
    printed = project.run(project.study(TINY_STUDY), "--jobs", "1")
    assert "short: 2 epochs" in printed and "long: 4 epochs" in printed
    assert printed.count(WHY_PLAIN) == 1


def test_kernels_of_other_systems_than_linux_are_started_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert warm_up("{}", set(), Share(jobs=1), Lease(tmp_path, "")) is None


# --- what ends what ---
def test_end_of_a_forked_kernel_is_known_with_its_status(start: Start) -> None:
    warm = start()
    kernels = [start.kernel(warm) for _ in range(3)]
    assert None not in kernels
    first, second, third = kernels
    assert first.poll() is None
    first.send_signal(signal.SIGSEGV)
    assert first.wait() == -signal.SIGSEGV
    second.send_signal(signal.SIGKILL)
    assert second.wait() == second.poll() == -signal.SIGKILL
    warm.process.kill()
    warm.process.wait()
    assert third.poll() is None  # it lives on
    third.send_signal(signal.SIGKILL)
    assert third.wait() == -signal.SIGKILL  # its guard knows


def test_kernels_that_follow_one_another_have_one_guard_and_are_as_the_first(start: Start) -> None:
    warm = start()
    first, guard = start.guarded(warm)
    assert guard.name() == "nbstudy-guard"
    end(first)

    second, its_guard = start.guarded(warm)
    beside, another_guard = start.guarded(warm)
    assert its_guard == guard != another_guard
    wait_for(lambda: described_for_others(second) == described_for_others(beside))  # once both have begun


def described_for_others(kernel: ForkedKernel) -> list[str]:
    """Return a kernel's name, what it does with which signals, and its open files but those that ZeroMQ opens later."""
    status = Path(f"/proc/{kernel.pid}/status").read_text().splitlines()
    signals = [line for line in status if line.startswith(("SigBlk", "SigIgn", "SigCgt"))]
    files = set()
    for file in Path(f"/proc/{kernel.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            files.add(re.sub(r":\[.*", "", str(file.readlink())))
    return [psutil.Process(kernel.pid).name(), *signals, *sorted(files - {"socket", "anon_inode"})]


def end(kernel: ForkedKernel) -> None:
    """Kill a kernel; its guard is free again."""
    kernel.send_signal(signal.SIGKILL)
    assert kernel.wait() == -signal.SIGKILL


# Ignore the ends of children, and become another program.
IGNORE = """
import os, signal, sys

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_ends_of_kernels_are_known_where_they_are_ignored_by_whoever_started_all(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def popen(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", IGNORE, *command], **options)

    monkeypatch.setattr(
        "nbstudy.execution.warm.subprocess", SimpleNamespace(**vars(subprocess) | {"Popen": popen})
    )
    warm = start()
    for _ in range(2):
        kernel, guard = start.guarded(warm)
        _, ignored = Path(f"/proc/{kernel.pid}/status").read_text().split("SigIgn:")
        assert int(ignored.split()[0], 16) >> (signal.SIGCHLD - 1) & 1
        end(kernel)
    guard.kill()
    assert all_end([guard])
    end(start.guarded(warm)[0])


def test_request_that_nobody_waits_for_any_more_is_not_fulfilled(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbstudy.execution.warm.PATIENCE", 1)
    warm = start()
    kernel, guard = start.guarded(warm)
    end(kernel)
    guard.suspend()
    assert start.kernel(warm) is None
    assert warm.why_not == "no kernel was forked within 1 seconds"
    guard.resume()
    assert all_end([guard])  # with a kernel it would not


def test_guard_that_is_lost_between_two_kernels_is_replaced(start: Start) -> None:
    warm = start()
    kernel, guard = start.guarded(warm)
    end(kernel)
    guard.kill()
    assert all_end([guard])
    second, _ = start.guarded(warm)
    assert second.poll() is None
    assert warm.why_not is None


def test_warm_process_ends_with_the_study_and_leaves_nothing(start: Start) -> None:
    warm = start()
    kernel, guard = start.guarded(warm)
    end(kernel)
    guard.suspend()
    start.lease.lock.write_text("another runner")
    assert warm.process.wait(60) == 0
    assert all_end([guard])
    assert not (start.root / "warm-0").exists()


def test_warm_process_that_was_never_asked_ends_with_who_started_it(start: Start) -> None:
    warm = start()
    wait_for(lambda: warm.channel.poll())  # it is ready, and nobody reads that
    warm.end()
    assert warm.process.wait(60) == 0


def test_warm_process_ends_when_it_has_had_nothing_to_do(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = PROGRAMS["warm_process.py"].replace("IDLE = 60", "IDLE = 1")
    monkeypatch.setitem(PROGRAMS, "warm_process.py", hasty)
    warm = start()
    kernel = start.kernel(warm)
    assert kernel is not None
    with pytest.raises(subprocess.TimeoutExpired):
        warm.process.wait(3)
    kernel.send_signal(signal.SIGKILL)
    assert warm.process.wait(60) == 0


def test_killed_warm_process_costs_no_run(project: Project) -> None:
    gate = project.hold_before_step(2)
    study = project.study(TINY_STUDY + "  last: {steps: 3}\n")
    runner = project.start(study, "--jobs", "2")
    wait_for(lambda: all(rows(project.attempt(name) / "history.csv") == 1 for name in ("long", "last")))
    here = psutil.Process(runner.pid)
    kernels = kernels_of(here)
    (warm,) = warm_processes_of(here)
    warm.kill()
    assert all_end([warm])
    gate.touch()
    printed = runner.finish()
    assert len(kernels) == 2
    assert "the process that does it once for all has ended" in printed
    for name in ("short", "long", "last"):
        assert read(project.outputs("mine", name, "run.json"))["attempts"] == 1


@pytest.mark.parametrize("when", ["importing", "running"])
def test_nothing_is_left_of_a_killed_runner(project: Project, library: Path, when: str) -> None:
    forever = "import time, pathlib\npathlib.Path(__file__).with_name('begun').touch()\n"
    if when == "importing":
        forever += "time.sleep(10**6)\n"
    library.write_text(forever)
    import_library(project)
    project.hold_before_step(1)
    runner = project.start(project.study(TINY_STUDY))
    here = psutil.Process(runner.pid)
    wait_for(library.with_name("begun").exists)
    if when == "running":
        wait_for(lambda: len(kernels_of(here)) == 2)
    family = here.children(recursive=True)
    assert len(warm_processes_of(here)) == 1
    runner.kill()
    runner.wait()
    assert all_end(family)


def test_workers_fork_too_and_keep_nothing_of_a_study(
    project: Project, cluster: Cluster, tmp_path: Path
) -> None:
    project.hold_before_step(3)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    worker = cluster.worker(2, TMPDIR=str(temporary))
    runner = project.start(project.study(TINY_STUDY), "--scheduler", cluster.address)
    wait_for(lambda: rows(project.attempt("long") / "history.csv") == 2)
    (warm,) = warm_processes_of(worker)
    guards = {kernel.parent() for kernel in kernels_of(worker)}
    assert {guard.ppid() for guard in guards} == {warm.pid}
    (project.root / "gate").touch()
    runner.finish()
    assert all_end([warm])
    wait_for(lambda: not list(temporary.glob("kernel-*")))


# --- what the kernels give ---
LOGGING = """
import logging, sys

class Handler(logging.StreamHandler):  # as that of absl, which TensorFlow logs with
    def close(self):
        self.stream.close()


log = logging.getLogger("library")
log.addHandler(Handler(sys.stdout))
"""
SHOW = """
import warnings
import library
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display

library.log.warning("said by a library")
display(pd.DataFrame(np.arange(60).reshape(2, 30)))
print("printed", plt.get_backend())
warnings.warn("old", DeprecationWarning)
plt.plot([0, 1])
plt.show()
rows = [
"""


def test_logs_of_forked_and_plain_kernels_are_equal(project: Project, library: Path) -> None:
    library.write_text(LOGGING)
    project.edit("tiny.ipynb", "rows = [", SHOW.strip())
    study = project.study(TINY_STUDY)
    assert WHY_PLAIN not in project.run(study, "--only", "short")
    forked = outputs_of(executed(project.outputs("mine", "short")))
    for part in ("image/png", "DeprecationWarning", "said by a library"):
        assert part in forked
    project.edit("tiny.ipynb", "import warnings", f"{PLAIN}import warnings")
    assert WHY_PLAIN in project.run(study, "--only", "short")
    assert without_places(outputs_of(executed(project.outputs("mine", "short")))) == without_places(forked)


def without_places(outputs: str) -> str:
    """Return outputs without the names of a kernel's own files and the numbers of their lines."""
    return re.sub(r"[^ \"]*/\d+\.py:\d+", "", outputs)


def test_histories_of_forked_and_plain_kernels_are_equal(project: Project, trained: Project) -> None:
    project.edit("train.ipynb", "import json\n", f"{PLAIN}import json\n")
    study = project.study(REAL_STUDY)
    assert WHY_PLAIN in project.run(study, "--only", "plain", "--only", "dropout")
    for name in ("plain", "dropout"):
        plain, forked = project.outputs("mine", name), trained.outputs("mine", name)
        assert (plain / "history.csv").read_bytes() == (forked / "history.csv").read_bytes()
        assert training_state(plain / "model.keras") == training_state(forked / "model.keras")
