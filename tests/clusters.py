"""A real Dask cluster on the loopback device, whose workers have nothing of this project."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil

from project import PATIENCE, ROOT, ended_with_the_tests, read, wait_for

# Hides the nbstudy of the checkout, however it is installed, as where `-e .` was left out of requirements.txt.
# A copy of nbstudy elsewhere, as the one that travels with a task, is found.
SITECUSTOMIZE = f"""
import sys
from pathlib import Path


class WithoutCheckout:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] != "nbstudy":
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec and not Path(spec.origin).resolve().is_relative_to({str(ROOT)!r}):
                return spec
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, WithoutCheckout())
"""

COUNT_TASKS = """
import sys, time
from distributed import Client

with Client(sys.argv[1]) as client:
    tasks = -1
    while tasks < int(sys.argv[2]):
        time.sleep(0.05)
        tasks = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
print(tasks)
"""


class Cluster:
    """A scheduler and workers, each in an empty directory and without nbstudy.

    Settings are Dask's, as in its environment variables: `SCHEDULER__ALLOWED_FAILURES="1"`.
    """

    def __init__(self, root: Path, **settings: str) -> None:
        self.root = root
        self.scheme = "tls" if "COMM__TLS__CA_FILE" in settings else "tcp"
        self.site = root / "site"
        self.site.mkdir(parents=True)
        (self.site / "sitecustomize.py").write_text(SITECUSTOMIZE)
        self.environment = os.environ | {"PYTHONPATH": str(self.site)}
        for name, value in settings.items():
            self.environment[f"DASK_DISTRIBUTED__{name}"] = value
        self.started: list[subprocess.Popen[bytes]] = []
        self.workers: list[psutil.Process] = []
        where = root / "scheduler.json"
        host = f"{self.scheme}://127.0.0.1"
        self.scheduler = self.start(
            "scheduler", "--host", host, "--port", "0", "--scheduler-file", str(where), "--no-dashboard"
        )
        wait_for(lambda: is_written(where))
        self.address: str = read(where)["address"]

    def start(
        self, kind: str, *options: str, prefix: tuple[str, ...] = (), **environment: str
    ) -> psutil.Process:
        """Start a scheduler or a worker."""
        place = self.root / f"{kind}{len(self.started)}"
        place.mkdir()
        command = [*prefix, *ended_with_the_tests("KILL"), sys.executable, "-m", "dask", kind, *options]
        with (place / "log").open("w") as log:
            process = subprocess.Popen(
                command, cwd=place, env=self.environment | environment, stdout=log, stderr=log
            )
        self.started.append(process)
        return psutil.Process(process.pid)

    def worker(
        self,
        threads: int = 1,
        *,
        nanny: bool = False,
        host: str = "127.0.0.1",
        prefix: tuple[str, ...] = (),
        **environment: str,
    ) -> psutil.Process:
        """Start a worker and wait until it is there; `prefix` is a command that runs it."""
        options = [self.address, "--nthreads", str(threads), "--host", f"{self.scheme}://{host}"]
        options += ["--no-dashboard", "--nanny" if nanny else "--no-nanny"]
        process = self.start("worker", *options, prefix=prefix, **environment)
        self.workers.append(process)
        log = self.root / f"worker{len(self.started) - 1}" / "log"
        wait_for(lambda: "Starting established connection" in log.read_text() or not process.is_running())
        return process

    def tasks(self, at_least: int = 0) -> int:
        """Return the number of tasks that the scheduler knows, those that wait included, once it is large enough."""
        done = subprocess.run(
            [sys.executable, "-c", COUNT_TASKS, self.address, str(at_least)],
            env=self.environment,
            capture_output=True,
            check=True,
            timeout=PATIENCE,
        )
        return int(done.stdout)

    def end(self) -> None:
        """Kill all that was started, and what that has started."""
        for process in self.started:
            family = []
            if process.poll() is None:
                started = psutil.Process(process.pid)
                family = [*started.children(recursive=True), started]
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            process.wait()


def is_written(path: Path) -> bool:
    """Tell whether a JSON file is there and whole."""
    try:
        return bool(read(path))
    except (OSError, ValueError):
        return False
