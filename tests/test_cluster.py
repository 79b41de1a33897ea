"""The same study on a Dask cluster: a real scheduler and real workers on the loopback device."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import nbformat
import psutil
import pytest
from conftest import ROOT, Project
from nbformat.v4 import new_code_cell, new_notebook
from test_runner import STUDY, read_run, rows, wait_for
from test_training import NETWORK

FOUR = """
notebooks: {run: tiny.ipynb}
defaults: {steps: 4, seconds: 0.1}
configurations: {a: , b: , c: , d: }
"""
LONG = STUDY.replace("steps: 4", "steps: 500, seconds: 0.2")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """A scheduler and workers, each in an empty directory and without this project."""

    def __init__(self, root: Path, **settings: str) -> None:
        self.root = root
        self.scheme = "tls" if "COMM__TLS__CA_FILE" in settings else "tcp"
        given = {f"DASK_DISTRIBUTED__{name}": value for name, value in settings.items()}
        self.environment = os.environ | {"PYTHONPATH": "", **given}
        self.address = f"{self.scheme}://127.0.0.1:{free_port()}"
        self.started: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start("scheduler", "--host", self.address, "--no-dashboard")

    def start(
        self, kind: str, *options: str, prefix: tuple[str, ...] = (), **environment: str
    ) -> psutil.Process:
        """Start a scheduler or a worker."""
        place = self.root / f"{kind}{len(self.started)}"
        place.mkdir(parents=True)
        command = [*prefix, sys.executable, "-m", "dask", kind, *options]
        environment = self.environment | environment
        with (place / "log").open("w") as log:
            process = subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=log)
        self.started.append(process)
        return psutil.Process(process.pid)

    def worker(
        self, threads: int = 1, *options: str, nanny: bool = False, host: str = "127.0.0.1", **more
    ) -> psutil.Process:
        """Start a worker and wait until it is there."""
        options = (
            *options,
            "--nthreads",
            str(threads),
            "--host",
            f"{self.scheme}://{host}",
            "--no-dashboard",
        )
        options = (self.address, *options, "--nanny" if nanny else "--no-nanny")
        process = self.start("worker", *options, **more)
        log = self.root / f"worker{len(self.started) - 1}" / "log"
        wait_for(lambda: "Starting established connection" in log.read_text() or not process.is_running())
        return process

    def end(self) -> None:
        """Kill all that was started, and what that has started."""
        for process in self.started:
            family = [psutil.Process(process.pid)] if process.poll() is None else []
            for member in [*(each for one in family for each in one.children(recursive=True)), *family]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster without workers."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.end()


@pytest.fixture
def project(project: Project) -> Project:
    """A project on a cluster: its requirements decide which workers fit."""
    shutil.copy(ROOT / "requirements.txt", project.root)
    return project


def kernels_of(process: psutil.Process) -> list[psutil.Process]:
    """Return the kernels of a worker that are running."""
    found = []
    for each in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):  # of one that is ending
            found += [each] if "ipykernel_launcher" in each.cmdline() else []
    return found


def test_study_runs_over_two_workers(project: Project, cluster: Cluster) -> None:
    workers = [cluster.worker(), cluster.worker()]
    project.edit(
        "tiny.ipynb", 'json.dumps({"text": text})', 'json.dumps({"text": __import__("os").getppid()})'
    )
    printed = project.run(project.study(FOUR), "--scheduler", cluster.address)
    assert "0 of 4 complete" in printed and "a: 4 epochs, val_loss 0.25" in printed
    used = {(project.outputs("mine", name, "result.json")).read_text() for name in "abcd"}
    assert used == {f'{{"text": {worker.pid}}}' for worker in workers}
    for path in project.outputs("mine").glob("*/*"):
        assert str(project.root) not in path.read_text()
    assert list(project.outputs("mine", "incomplete").iterdir()) == []
    for number in (1, 2):  # nothing is left in the workers' directories
        assert {path.name for path in (cluster.root / f"worker{number}").iterdir()} <= {
            "log",
            "dask-scratch-space",
        }


def test_worker_of_two_threads_runs_two_at_once(project: Project, cluster: Cluster) -> None:
    cluster.worker(2)
    meeting = project.root / "meeting"
    meeting.mkdir()
    project.edit(
        "tiny.ipynb", "rows = [",
        f"meeting = Path({str(meeting)!r})\n(meeting / text).touch()\n"
        "while len(list(meeting.iterdir())) < 2:\n    time.sleep(0.05)\nrows = [",
    )  # fmt: skip
    study = project.study("notebooks: {run: tiny.ipynb}\nconfigurations: {a: {text: a}, b: {text: b}}")
    project.run(study, "--scheduler", cluster.address)
    assert read_run(project.outputs("mine", "a"))["cores"] == max(1, len(os.sched_getaffinity(0)) // 2)


def test_runs_of_a_killed_worker_resume_on_another(project: Project, cluster: Cluster) -> None:
    project.edit(
        "tiny.ipynb", 'rows = ["epoch,val_loss"]',
        'history = Path("history.csv")\nrows = history.read_text().split() if history.exists() else ["epoch,val_loss"]',
    )  # fmt: skip
    project.edit(
        "tiny.ipynb",
        "for step in range(1, steps + 1)",
        "start = len(rows)\nfor step in range(start, steps + 1)",
    )
    project.edit("tiny.ipynb", '{"text": text}', '{"start": start}')
    first = cluster.worker(2)
    study = project.study(
        "notebooks: {run: tiny.ipynb}\ndefaults: {steps: 30, seconds: 0.2}\nconfigurations: {a: , b: }"
    )
    runner = project.start(study, "--scheduler", cluster.address)
    attempts = {name: project.outputs("mine", "incomplete", name, "1", "history.csv") for name in "ab"}
    wait_for(lambda: all(rows(path) >= 3 for path in attempts.values()))
    second = cluster.worker(2, host="127.0.0.2")  # another host, which the runs were not given to
    trained = {name: rows(path) for name, path in attempts.items()}
    first.kill()
    printed, _ = runner.communicate(timeout=60)
    assert runner.returncode == 0 and "127.0.0.1 is gone" in printed, printed
    for name in "ab":
        place = project.outputs("mine", name)
        assert read_run(place)["attempts"] == 2
        assert rows(place / "history.csv") == 30
        # the epoch it went on with: none of those that were in the history was trained again
        assert trained[name] < json.loads((place / "result.json").read_text())["start"] <= 30
    assert second.is_running()


def test_worker_that_joins_late_is_used(project: Project, cluster: Cluster) -> None:
    runner = project.start(project.study(FOUR.replace("0.1", "0.5")), "--scheduler", cluster.address)
    wait_for(lambda: project.outputs("mine", "study.json").exists())
    cluster.worker()
    wait_for(lambda: any(project.outputs("mine", "incomplete").glob("*/1/history.csv")))
    late = cluster.worker(1, "--host", "127.0.0.1")
    wait_for(lambda: kernels_of(late))
    printed, _ = runner.communicate(timeout=60)
    assert runner.returncode == 0 and printed.count("waiting for workers") == 1, printed


def test_two_studies_share_a_cluster(project: Project, cluster: Cluster) -> None:
    for _ in range(2):
        cluster.worker()
    names = ("one", "two")
    runners = [project.start(project.study(FOUR, name), "--scheduler", cluster.address) for name in names]
    for name, runner in zip(names, runners, strict=True):
        printed, _ = runner.communicate(timeout=120)
        assert runner.returncode == 0 and "d: 4 epochs" in printed, printed
        assert all(read_run(project.outputs(name, run))["attempts"] == 1 for run in "abcd")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{}", "tls://127.0.0.1:{}", "nonsense", "http://x:1"])
def test_unreachable_scheduler_is_said(project: Project, address: str) -> None:
    address = address.format(free_port())
    printed = project.run(project.study(STUDY), "--scheduler", address, status=2)
    assert f"--scheduler {address}: cannot be reached" in printed and "Traceback" not in printed, printed
    assert len(printed.splitlines()) == 1


def test_jobs_are_refused_with_a_scheduler(project: Project) -> None:
    printed = project.run(project.study(STUDY), "--scheduler", "tcp://x:1", "--jobs", "2", status=2)
    assert "--jobs" in printed


def blind(cluster: Cluster, project: Project, **more: str) -> psutil.Process:
    """Start a worker that sees an empty directory instead of the outputs'."""
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("hiding a directory from a process needs root and unshare")
    project.outputs().mkdir(exist_ok=True)
    hide = f'mount -t tmpfs tmpfs {project.outputs()} && exec "$@"'
    return cluster.worker(prefix=("unshare", "-m", "sh", "-c", hide, "sh"), **more)


def test_outputs_that_workers_do_not_see_are_said(project: Project, cluster: Cluster) -> None:
    cluster.worker()
    worker = blind(cluster, project, host="127.0.0.2")
    printed = project.run(project.study(STUDY), "--scheduler", cluster.address, status=2)
    assert f"127.0.0.2 does not see {project.outputs('mine')}" in printed and "started" not in printed, (
        printed
    )
    assert list(Path(f"/proc/{worker.pid}/root{project.outputs()}").iterdir()) == []


def test_late_worker_that_sees_no_outputs_is_not_used(project: Project, cluster: Cluster) -> None:
    cluster.worker()
    study = project.study(FOUR.replace("0.1", "0.6"))
    runner = project.start(study, "--scheduler", cluster.address)
    wait_for(lambda: any(project.outputs("mine", "incomplete").glob("*/1/history.csv")))
    worker = blind(cluster, project, host="127.0.0.2")
    printed, _ = runner.communicate(timeout=120)
    assert runner.returncode == 0, printed
    assert printed.count("127.0.0.2 does not see") == 1, printed
    assert list(Path(f"/proc/{worker.pid}/root{project.outputs()}").iterdir()) == []


@pytest.mark.parametrize("library", ["keras", "distributed"])
def test_other_libraries_on_workers_are_said(
    project: Project, cluster: Cluster, tmp_path: Path, library: str
) -> None:
    metadata = tmp_path / "site" / f"{library}-0.1.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    real = distribution(library).read_text("entry_points.txt")  # Dask's commands, for one
    (metadata.parent / "entry_points.txt").write_text(real or "")
    metadata.write_text(f"Metadata-Version: 2.1\nName: {library}\nVersion: 0.1\n")
    cluster.worker(PYTHONPATH=str(tmp_path / "site"))
    printed = project.run(project.study(STUDY), "--scheduler", cluster.address, status=2)
    assert f"{library} 0.1" in printed and "127.0.0.1" in printed and len(printed.splitlines()) == 1, printed


def certificate(place: Path) -> dict[str, str]:
    """Make a certificate that signs itself; return Dask's settings for it."""
    key, cert = str(place / "key.pem"), str(place / "cert.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
         "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    settings = {"COMM__TLS__CA_FILE": cert, "COMM__REQUIRE_ENCRYPTION": "True"}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        settings |= {f"COMM__TLS__{role}__KEY": key, f"COMM__TLS__{role}__CERT": cert}
    return settings


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a certificate")
def test_tls_with_the_settings_of_dask(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = certificate(tmp_path)
    cluster = Cluster(tmp_path / "cluster", **settings)
    try:
        cluster.worker()
        study = project.study(STUDY)
        assert "cannot be reached" in project.run(study, "--scheduler", cluster.address, status=2)
        for name, value in settings.items():
            monkeypatch.setenv(f"DASK_DISTRIBUTED__{name}", value)
        assert "long: 4 epochs" in project.run(study, "--scheduler", cluster.address)
    finally:
        cluster.end()


def test_histories_equal_those_of_one_machine(project: Project, cluster: Cluster) -> None:
    # a small network and two epochs: every value counts, not how good it is
    study = project.study(
        "notebooks: {run: train.ipynb}\n"
        f"configurations: {{plain: {{{NETWORK}, epochs: 2}}, dropout: {{{NETWORK}, epochs: 2, dropout: 0.3}}}}"
    )
    cluster.worker(2)
    project.run(study, "--scheduler", cluster.address)
    project.run(study, "--outputs", "here")
    for name in ("plain", "dropout"):
        history = project.outputs("mine", name, "history.csv")
        assert history.read_bytes() == (project.root / "here" / name / "history.csv").read_bytes()


def test_interrupt_ends_kernels_and_leaves_the_cluster(project: Project, cluster: Cluster) -> None:
    worker = cluster.worker()
    runs = project.start(project.study(LONG, "other"), "--scheduler", cluster.address)
    wait_for(lambda: rows(project.outputs("other", "incomplete", "long", "1", "history.csv")))
    queued = project.start(project.study(LONG), "--scheduler", cluster.address)
    wait_for(lambda: project.outputs("mine", "study.json").exists())
    time.sleep(1)  # its run waits behind the other study's
    for runner, sent, left in ((queued, signal.SIGTERM, 1), (runs, signal.SIGINT, 0)):
        runner.send_signal(sent)
        printed, _ = runner.communicate(timeout=10)
        assert runner.returncode == 128 + sent and "Traceback" not in printed, printed
        assert "The same command goes on from here" in printed
        wait_for(lambda left=left: len(kernels_of(worker)) == left, 10)
    killed = project.start("params/other.yaml", "--scheduler", cluster.address)
    wait_for(lambda: kernels_of(worker))
    killed.kill()
    wait_for(lambda: not kernels_of(worker), 15)
    assert worker.is_running() and cluster.scheduler.is_running()
    assert "interrupted at epoch" in project.run("params/other.yaml", "--dry-run")
    assert "short: 2 epochs" in project.run(
        "params/other.yaml", "--only", "short", "--scheduler", cluster.address
    )


def test_run_that_keeps_killing_its_workers_is_failed(project: Project, tmp_path: Path) -> None:
    # one death more than allowed instead of Dask's four, since a worker takes seconds to start
    cluster = Cluster(tmp_path / "cluster", SCHEDULER__ALLOWED_FAILURES="1")
    try:
        cluster.worker(nanny=True)
        project.edit(
            "tiny.ipynb", 'raise RuntimeError("asked to fail")', "import os; os.kill(os.getppid(), 9)"
        )
        study = project.study(STUDY + "  bad: {steps: 9, text: fail}\n")
        printed = project.run(study, "--scheduler", cluster.address, status=1)
        log = project.outputs("mine", "incomplete", "bad", "2", "bad.ipynb")
        assert "bad: KilledWorker: " in printed and f"({log.relative_to(project.root)})" in printed, printed
        assert "1 failed" in printed and "long: 4 epochs" in printed and "short: 2 epochs" in printed
        assert "KilledWorker" in project.run(study, "--dry-run")
    finally:
        cluster.end()


def test_worker_that_lives_on_unseen_disturbs_nothing(project: Project, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "cluster", SCHEDULER__WORKER_TTL="4s")
    try:
        first = cluster.worker()
        study = project.study(LONG.replace("steps: 500", "steps: 30"))
        runner = project.start(study, "--only", "long", "--scheduler", cluster.address)
        wait_for(lambda: rows(project.outputs("mine", "incomplete", "long", "1", "history.csv")) >= 2)
        frozen = [first, *kernels_of(first)]
        for process in frozen:
            process.suspend()
        cluster.worker()
        wait_for(lambda: rows(project.outputs("mine", "incomplete", "long", "2", "history.csv")) >= 2)
        for process in frozen:
            process.resume()
        psutil.wait_procs(frozen[1:], timeout=15)
        assert not any(process.is_running() for process in frozen[1:])
        assert rows(project.outputs("mine", "incomplete", "long", "1", "history.csv")) < 29
        printed, _ = runner.communicate(timeout=60)
        assert runner.returncode == 0, printed
        assert read_run(project.outputs("mine", "long"))["attempts"] == 2
        assert rows(project.outputs("mine", "long", "history.csv")) == 30
    finally:
        cluster.end()


def test_lost_scheduler_is_said_and_nothing_is_lost(project: Project, cluster: Cluster) -> None:
    cluster.worker()
    runner = project.start(project.study(LONG), "--scheduler", cluster.address)
    wait_for(lambda: rows(project.outputs("mine", "incomplete", "long", "1", "history.csv")) >= 2)
    cluster.scheduler.kill()
    printed, _ = runner.communicate(timeout=60)
    assert runner.returncode == 1 and "Traceback" not in printed, printed
    assert f"--scheduler {cluster.address}: is lost" in printed
    project.run("params/mine.yaml", "-p", "seconds", "0.0", "--outputs", "elsewhere")
    assert "interrupted at epoch" in project.run("params/mine.yaml", "--dry-run")


PREPARE = """
notebooks: {prepare: ready.ipynb, run: tiny.ipynb}
defaults: {steps: 2, seconds: 0.1}
configurations: {a: , b: , c: , d: }
"""


def test_each_host_prepares_once_before_its_first_run(project: Project, cluster: Cluster) -> None:
    marks = project.root / "marks"
    write_prepare(
        project,
        f"import os, time\ntime.sleep(1)\nwith open({str(marks)!r}, 'a') as file:\n    file.write('x')",
    )
    for host in ("127.0.0.1", "127.0.0.2"):
        cluster.worker(2, host=host)
    project.edit("tiny.ipynb", "rows = [", f"assert Path({str(marks)!r}).exists()\nrows = [")
    project.run(project.study(PREPARE), "--scheduler", cluster.address)
    assert marks.read_text() == "xx"
    assert project.outputs("mine", "ready.ipynb").exists()


def write_prepare(project: Project, source: str) -> None:
    """Write the notebook that prepares a host."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(
        new_notebook(cells=[new_code_cell(source)], metadata=kernel),
        project.root / "notebooks" / "ready.ipynb",
    )


@pytest.mark.parametrize("scheduler", [False, True])
def test_failing_preparation_is_one_message(project: Project, cluster: Cluster, scheduler: bool) -> None:
    write_prepare(project, 'raise FileNotFoundError("no source has it")')
    if scheduler:
        cluster.worker(2)
    options = ("--scheduler", cluster.address) if scheduler else ()
    printed = project.run(project.study(PREPARE), *options, status=1)
    assert printed.count("no source has it") == 1, printed


def test_host_whose_preparation_fails_is_not_used(project: Project, cluster: Cluster) -> None:
    write_prepare(
        project, 'import os\nif "BAD" in os.environ:\n    raise FileNotFoundError("no source has it")'
    )
    cluster.worker()
    cluster.worker(host="127.0.0.2", BAD="yes")
    printed = project.run(project.study(PREPARE), "--scheduler", cluster.address)
    assert printed.count("127.0.0.2 ready.ipynb: FileNotFoundError: no source has it") == 1, printed
