"""A project of its own for a test, its runner, and what can be read of its runs.

Helpers only: fixtures live in conftest.py, clusters in clusters.py.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent
SUMMARY = ROOT / "nbstudy" / "report" / "summary.ipynb"
PATIENCE = 300  # seconds that a command may take on a busy machine before a test gives up

# With this in a template no kernel is forked, and the runner says why.
PLAIN = "import contextlib\nwith contextlib.suppress(ImportError):\n    import no_such_library\n"
WHY_PLAIN = "`import no_such_library` fails: ModuleNotFoundError: No module named 'no_such_library'"

# A template without TensorFlow, for what concerns the runner and not the training: source by tag.
TINY = {
    "parameters": """
        steps: int = 3  # rows of the history
        seconds: float = 0.0  # of a step
        text: str = ""  # kept as it is
        flag: bool = False  # of no effect
    """,
    "preflight": """
        if steps < 1:
            raise ValueError(f"steps must be at least 1, not {steps}")
        flops, lengthens = 1e9 * steps, "steps"
    """,
    "": """
        import json, time
        from pathlib import Path

        if text == "fail":
            raise RuntimeError("asked to fail")
        rows = ["epoch,val_loss"]
        for step in range(1, steps + 1):
            time.sleep(seconds)
            rows.append(f"{step},{1 / step}")
            Path("partial.csv").write_text("\\n".join(rows) + "\\n")
            Path("partial.csv").replace("history.csv")
        Path("result.json").write_text(json.dumps({"text": text}))
    """,
}

TINY_STUDY = """
notebooks: {run: tiny.ipynb, summary: null}
configurations:
  short: {steps: 2}
  long: {steps: 4}
"""

# A template whose curves are straight lines, and whose checkpoint says how many epochs it has. Seeds lift them a little, or
# as by chance, another level otherwise.
STRAIGHT = {
    "parameters": """
        steps: int = 6
        seed: int = 0
        level: float = 0.0
        slope: float = 0.0
        jitter: float = 0.0
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
        chance = jitter * ((7 * seed + 3 * round(100 * level)) % 11 - 5)
        with Path("history.csv").open("a") as history:
            if not first:
                history.write("epoch,val_loss\\n")
            for epoch in range(first + 1, last + 1):
                history.write(f"{epoch},{level + slope * epoch + 0.001 * seed + chance}\\n")
        done.write_text(str(last))
        with Path("trained.txt").open("a") as log:
            log.write(f"{first}-{last}\\n")
        Path("result.json").write_text(json.dumps(result))
    """,
}

# by level and slope: c is best after 2 epochs and worst after 6
STRAIGHT_STUDY = """
notebooks: {run: straight.ipynb, summary: null}
configurations:
  a: {level: 1.0, slope: 0.0}
  b: {level: 2.0, slope: -0.1}
  c: {level: 0.5, slope: 0.3}
  d: {level: 9.0}
halving:
  candidates: "*"
  metric: val_loss
  rungs:
    - {epochs: 2, keep: 3}
    - {epochs: 6, keep: 2}
    - {epochs: 6, replicates: 2}
final: {seed: 50}
"""

# d is dropped in the first lap, c in the second, and a and b end in a tie in the third
RACE_STUDY = """
notebooks: {run: straight.ipynb, summary: null}
defaults: {steps: 3, jitter: 0.02}
configurations:
  a: {level: 1.0}
  b: {level: 1.03}
  c: {level: 1.3}
  d: {level: 9.0}
race:
  candidates: "*"
  metric: val_loss
  replicates: [2, 3, 5]
  margin: 0.12
final: {seed: 50}
"""
RACE_PRINTED = [
    "lap 1 of 3, 2 runs each: 3 of 4 candidates are left: a, b, c",
    "lap 2 of 3, 3 runs each: 2 of 3 candidates are left: a, b",
    "lap 3 of 3, 5 runs each: 2 of 2 candidates are left: a, b; the race ends: a tie",
]

# 16 units train an epoch in half a second
NETWORK = "hidden_layers: 2, units: 16"
# what a resumed run could get wrong: whatever changes from epoch to epoch but the weights
CHANGING = "dropout: 0.3, learning_rate: 0.002, learning_rate_decay: 0.9"
REAL_STUDY = f"""
notebooks: {{prepare: dataset.ipynb, run: train.ipynb, test: test.ipynb, summary: summary.ipynb}}
configurations:
  plain: {{{NETWORK}, dropout: 0.0, epochs: 4}}
  dropout: {{{NETWORK}, {CHANGING}, epochs: 4}}
  final: {{{NETWORK}, refit: true, epochs: 2}}
rounds:
  - {{title: With and without dropout, candidates: [plain, dropout], originally_dropped: [dropout]}}
final: final
"""


class Project:
    """A copy of runner, nbstudy, notebooks and studies in a directory of its own, made if it is not there yet.

    They come from this checkout, or from another one.
    """

    def __init__(self, root: Path, checkout: Path = ROOT) -> None:
        self.root = root
        self.checkout = checkout
        self.started: list[Runner] = []
        self.python = Path(sys.executable)
        if not (root / "runner.py").exists():
            self.make()

    def make(self) -> None:
        """Copy what a project consists of, and write the templates of the tests."""
        shutil.copy(self.checkout / "runner.py", self.root)
        half_written = shutil.ignore_patterns("*.pyc.*")  # what is compiled saves each command a moment
        for name in ("nbstudy", "notebooks", "params"):
            shutil.copytree(self.checkout / name, self.root / name, ignore=half_written)
        self.notebook("tiny.ipynb", TINY)
        self.notebook("straight.ipynb", STRAIGHT)

    def notebook(self, file: str, cells: dict[str, str]) -> None:
        """Write a template: the source of its code cells by their tag, "" for a cell without one."""
        notebook = new_notebook(
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        )
        for tag, source in cells.items():
            cell = new_code_cell(textwrap.dedent(source).strip())
            if tag:
                cell.metadata.tags = [tag]
            notebook.cells.append(cell)
        nbformat.write(notebook, self.root / "notebooks" / file)

    def edit(self, notebook: str, old: str, new: str) -> None:
        """Replace code in a notebook."""
        path = self.root / "notebooks" / notebook
        content = nbformat.read(path, as_version=4)
        assert any(old in cell.source for cell in content.cells)
        for cell in content.cells:
            cell.source = cell.source.replace(old, new)
        nbformat.write(content, path)

    def hold_before_step(self, step: int) -> Path:
        """Let every run of tiny.ipynb wait before a step until the file at the returned path is there."""
        gate = self.root / "gate"
        held = f"while step == {step} and not Path({str(gate)!r}).exists():\n        time.sleep(0.05)\n"
        self.edit("tiny.ipynb", "time.sleep(seconds)", f"{held}    time.sleep(seconds)")
        return gate

    def study(self, text: str, name: str = "mine") -> str:
        """Write a study file; return its path as the command line takes it."""
        (self.root / "params" / f"{name}.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
        return f"params/{name}.yaml"

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of the runner."""
        return [str(self.python), str(self.root / "runner.py"), *arguments]

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run the runner; return all that it printed."""
        done = subprocess.run(
            [*ended_with_the_tests(), *self.command(*arguments)],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * PATIENCE,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start(self, *arguments: str) -> Runner:
        """Start the runner and leave it running; it is killed at the end of the test."""
        runner = Runner(self.command(*arguments), self.root, self.root / f"printed-{len(self.started)}")
        self.started.append(runner)
        return runner

    def end(self) -> None:
        """Kill the runners that are still running."""
        for runner in self.started:
            runner.kill()
            runner.wait()

    def outputs(self, *parts: str) -> Path:
        """Return a path in outputs/."""
        return self.root.joinpath("outputs", *parts)

    def copy_outputs(self, other: Project) -> None:
        """Begin with the outputs of another project."""
        shutil.copytree(other.outputs(), self.outputs())

    def printed(self) -> str:
        """Return what was printed when the project was made, if tests share it."""
        return (self.root / "printed.txt").read_text(encoding="utf-8")

    def attempt(self, name: str, number: int = 1) -> Path:
        """Return the directory of an attempt of a configuration of the study `mine`."""
        return self.outputs("mine", "incomplete", name, str(number))


# Makes a project once a test run, whichever worker asks for it first; what its function returns is kept as printed.
Once = Callable[[str, Callable[["Project"], str]], "Project"]


class Runner(subprocess.Popen[str]):
    """A runner that was left running, and what it has printed."""

    def __init__(self, command: list[str], directory: Path, log: Path) -> None:
        self.log = log
        with log.open("w", encoding="utf-8") as file:
            command = [*ended_with_the_tests(), *command]
            super().__init__(command, cwd=directory, text=True, stdout=file, stderr=subprocess.STDOUT)

    def printed(self) -> str:
        """Return all that it has printed until now."""
        return self.log.read_text(encoding="utf-8")

    def finish(self, status: int = 0) -> str:
        """Wait until it ends with this status; return all that it printed."""
        assert self.wait(PATIENCE) == status, self.printed()
        return self.printed()


def ended_with_the_tests(how: str = "TERM") -> list[str]:
    """Return what precedes a command that is to end when the process of the tests does, however that ends."""
    if sys.platform != "linux" or not shutil.which("setpriv"):
        return []
    return ["setpriv", "--pdeathsig", how]


# A command that executes a notebook without a runner; what it is given follows.
PLAIN_PAPERMILL = [sys.executable, str(ROOT / "tests" / "plain_papermill.py")]

STRANGER = 54321  # the id of a user without an account


def as_stranger(number: int = STRANGER) -> list[str]:
    """Return what precedes a command of a user without an account, who reads all but writes only what is its own."""
    command = ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups"]
    for kind in ("inh", "ambient"):
        command.append(f"--{kind}-caps=-all,+dac_read_search")
    try:
        subprocess.run([*command, sys.executable, "-c", ""], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("becoming a user without an account needs root and setpriv")
    return command


def papermill(template: Path, place: Path, **parameters: Any) -> str:
    """Execute a notebook of the checkout in a directory, without the runner, as out.ipynb; return its error, if any."""
    from papermill import PapermillExecutionError, execute_notebook

    try:
        execute_notebook(template, place / "out.ipynb", parameters, cwd=place, progress_bar=False)
    except PapermillExecutionError as error:
        return str(error)
    return ""


# --- waiting and ending ---
def wait_for(
    condition: Callable[[], object],
    seconds: float = PATIENCE,
    told: Callable[[], object] = lambda: "",
) -> None:
    """Wait until a condition holds; where it does not, `told` tells what is there instead."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {told()}"
        time.sleep(0.05)


def kernels_of(process: psutil.Process) -> list[psutil.Process]:
    """Return the kernels that a runner or a worker has running, each the child of its guard."""
    found = []
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):  # of one that is ending
            guard = child.parent()
            is_kernel = is_warm(child) or "ipykernel_launcher" in child.cmdline()
            if is_kernel and guard and guard.name() == "nbstudy-guard":
                found.append(child)
    return found


def is_warm(process: psutil.Process) -> bool:
    """Tell whether a process is a warm process, or a kernel that it forked or the guard of one."""
    return any("warm_process.py" in word for word in process.cmdline())


def warm_processes_of(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes that a runner or a worker has to fork its kernels."""
    found = []
    for child in process.children():
        with contextlib.suppress(psutil.Error):
            if is_warm(child):
                found.append(child)
    return found


def all_end(processes: list[psutil.Process]) -> bool:
    """Wait for processes; tell whether all of them ended."""
    return psutil.wait_procs(processes, timeout=PATIENCE)[1] == []


def kill_together(runner: Runner) -> None:
    """Kill a runner and its kernels at the same instant."""
    family = [*psutil.Process(runner.pid).children(recursive=True), psutil.Process(runner.pid)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.suspend()
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    runner.wait()


def sockets_of(kernel: psutil.Process) -> Path:
    """Return the directory of a kernel's sockets."""
    places = {Path(socket.laddr).parent for socket in kernel.net_connections("unix") if "/" in socket.laddr}
    (place,) = places
    return place


# --- what runs left ---
def read(path: Path) -> dict[str, Any]:
    """Return what a JSON file says."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_run(directory: Path) -> dict[str, Any]:
    """Return what run.json says."""
    return read(directory / "run.json")


def change(path: Path, **values: Any) -> None:
    """Change values in a JSON file."""
    path.write_text(json.dumps(read(path) | values), encoding="utf-8")


def rows(history: Path) -> int:
    """Return the number of epochs in a history, 0 where there is none."""
    return len(history.read_text().splitlines()) - 1 if history.exists() else 0


def begun(printed: str) -> list[str]:
    """Return the configurations that a runner says it started, in order."""
    return re.findall(r"^(\S+): started", printed, re.MULTILINE)


def epochs_trained(project: Project, name: str) -> list[str]:
    """Return from which epoch to which a run of straight.ipynb was trained, attempt by attempt."""
    return project.outputs("mine", name, "trained.txt").read_text().split()


def survivors_of(project: Project, study: str, *options: str) -> list[str]:
    """Return what a dry run says of rungs that are decided."""
    printed = project.run(study, "--dry-run", *options)
    return re.findall(r"rung \d of \d.* go on: .*", printed)


def laps_of(project: Project, study: str, *options: str) -> list[str]:
    """Return what a dry run says of the laps of a race that are decided."""
    printed = project.run(study, "--dry-run", *options)
    return re.findall(r"lap \d of \d.* candidates are left.*", printed)


def kept_by(outputs: Path, file: str) -> dict[str, bytes]:
    """Return the content of a file of every complete run, by the run's name."""
    return {path.parent.name: path.read_bytes() for path in outputs.glob(f"*/{file}")}


def training_state(model: Path) -> bytes:
    """Return what a saved model holds of the training: weights, the optimizer's state, and the raw weights of an average."""
    with zipfile.ZipFile(model) as archive:
        return b"".join(
            archive.read(name) for name in sorted(archive.namelist()) if not name.endswith(".json")
        )


def content_of(directory: Path) -> dict[str, bytes]:
    """Return the content of all files under a directory but locks, by their path in it."""
    files = (path for path in directory.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def names_of_files(directory: Path) -> set[str]:
    """Return the paths of all files under a directory, in it."""
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def executed(directory: Path) -> nbformat.NotebookNode:
    """Return the one notebook of a directory."""
    (path,) = directory.glob("*.ipynb")
    return nbformat.read(path, as_version=4)


def outputs_of(notebook: nbformat.NotebookNode) -> str:
    """Return all text that a notebook's cells gave out."""
    return json.dumps([output for cell in notebook.cells for output in cell.get("outputs", [])])
