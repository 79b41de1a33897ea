"""Where runs go: a Dask cluster, with a real scheduler and real workers on the loopback device."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import distribution, version
from pathlib import Path

import nbformat
import psutil
import pytest

from clusters import Cluster
from project import (
    RACE_PRINTED,
    RACE_STUDY,
    REAL_STUDY,
    STRAIGHT_STUDY,
    TINY_STUDY,
    Project,
    all_end,
    content_of,
    executed,
    kept_by,
    kernels_of,
    laps_of,
    outputs_of,
    read,
    read_run,
    rows,
    survivors_of,
    wait_for,
)

FOUR = """
notebooks: {run: tiny.ipynb, summary: null}
defaults: {steps: 4, seconds: 0.1}
configurations: {a: , b: , c: , d: }
"""
PREPARED = FOUR.replace("run:", "prepare: ready.ipynb, run:")


def standing_cluster(root: Path, workers: int) -> Iterator[Cluster]:
    """Yield a cluster of workers with a thread each, which studies leave as they found it."""
    cluster = Cluster(root)
    for _ in range(workers):
        cluster.worker()
    yield cluster
    cluster.end()


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of one worker, which many tests share."""
    yield from standing_cluster(tmp_path_factory.mktemp("one_worker"), 1)


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two workers on one host, which many tests share."""
    yield from standing_cluster(tmp_path_factory.mktemp("two_workers"), 2)


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Return a function that makes a cluster with settings of Dask's."""
    made: list[Cluster] = []

    def make(**settings: str) -> Cluster:
        made.append(Cluster(tmp_path / f"cluster{len(made)}", **settings))
        return made[-1]

    yield make
    for cluster in made:
        cluster.end()


# --- runs over workers ---
def test_study_runs_over_two_workers(project: Project, two_workers: Cluster) -> None:
    helper = 'import os\n\nworker = int(os.environ["JPY_PARENT_PID"])\n'
    (project.root / "notebooks" / "helper.py").write_text(helper)
    project.edit("tiny.ipynb", "import json, time", "import helper, json, time")
    project.edit("tiny.ipynb", '{"text": text}', '{"text": helper.worker}')
    printed = project.run(project.study(FOUR), "--scheduler", two_workers.address)
    assert "0 of 4 complete" in printed and "a: 4 epochs, val_loss 0.25" in printed
    used = {read(project.outputs("mine", name, "result.json"))["text"] for name in "abcd"}
    assert used == {worker.pid for worker in two_workers.workers}
    environment = read_run(project.outputs("mine", "a"))["environment"]
    assert environment["python"] == platform.python_version() and environment["numpy"] == version("numpy")
    for content in content_of(project.outputs("mine")).values():
        assert str(project.root).encode() not in content
    assert list(project.outputs("mine", "incomplete").iterdir()) == []
    for number in (1, 2):  # nothing is left in the workers' directories
        left = {path.name for path in (two_workers.root / f"worker{number}").iterdir()}
        assert left <= {"log", "dask-scratch-space"}


def test_worker_of_two_threads_runs_two_at_once(project: Project, cluster: Cluster) -> None:
    cluster.worker(2)
    meeting = project.root / "meeting"
    meeting.mkdir()
    project.edit(
        "tiny.ipynb",
        "rows = [",
        f"meeting = Path({str(meeting)!r})\n(meeting / text).touch()\n"
        "while len(list(meeting.iterdir())) < 2:\n    time.sleep(0.05)\nrows = [",
    )
    study = project.study(
        "notebooks: {run: tiny.ipynb, summary: null}\nconfigurations: {a: {text: a}, b: {text: b}}"
    )
    project.run(study, "--scheduler", cluster.address)
    assert read_run(project.outputs("mine", "a"))["cores"] == max(1, len(os.sched_getaffinity(0)) // 2)


def test_two_studies_share_a_cluster(project: Project, two_workers: Cluster) -> None:
    names = ("one", "two")
    options = ("--scheduler", two_workers.address)
    runners = [project.start(project.study(FOUR, name), *options) for name in names]
    for name, runner in zip(names, runners, strict=True):
        assert "d: 4 epochs" in runner.finish()
        assert all(read_run(project.outputs(name, run))["attempts"] == 1 for run in "abcd")


def test_real_networks_and_their_summary_are_those_of_one_machine(
    project: Project, two_workers: Cluster, trained: Project
) -> None:
    study = project.study(REAL_STUDY)
    project.run(study, "--scheduler", two_workers.address)
    for name in ("plain", "dropout"):
        history, expected = (each.outputs("mine", name, "history.csv") for each in (project, trained))
        assert history.read_bytes() == expected.read_bytes()
    summary = nbformat.read(project.outputs("mine", "summary.ipynb"), as_version=4)
    assert "3 of 3 runs are complete" in outputs_of(summary)
    assert "3 of 3 complete" in project.run(study)


# the first run waits until the other worker has one too
MEET = """
meeting = Path({meeting!r})
(meeting / os.environ["JPY_PARENT_PID"]).touch()
while len(list(meeting.iterdir())) < 2:
    time.sleep(0.05)
done ="""


def test_halving_on_two_workers_comes_to_the_same_as_one_machine(
    project: Project, two_workers: Cluster, unfolded: Project
) -> None:
    meeting = project.root / "meeting"
    meeting.mkdir()
    project.edit("straight.ipynb", "done =", MEET.format(meeting=str(meeting)).strip())
    project.edit("straight.ipynb", "import json", "import json, os, time")
    study = project.study(STRAIGHT_STUDY)
    project.run(study, "--scheduler", two_workers.address)
    assert {path.name for path in meeting.iterdir()} == {str(worker.pid) for worker in two_workers.workers}
    survivors = survivors_of(project, study)
    assert survivors == survivors_of(unfolded, study) and len(survivors) == 2
    for file in ("history.csv", "trained.txt"):
        kept = kept_by(project.outputs("mine"), file)
        assert kept == kept_by(unfolded.outputs("mine"), file) and len(kept) == 9


def test_race_on_two_workers_leaves_the_same_as_on_one_machine(
    project: Project, two_workers: Cluster, raced: Project
) -> None:
    study = project.study(RACE_STUDY)
    project.run(study, "--scheduler", two_workers.address)
    assert laps_of(project, study) == RACE_PRINTED
    for file in ("history.csv", "trained.txt"):
        kept = kept_by(project.outputs("mine"), file)
        assert kept == kept_by(raced.outputs("mine"), file) and len(kept) == 16


# --- workers need nothing of this project ---
TELL = {
    "parameters": 'outputs: str = "."  # the directory of the study',
    "": """
        import nbstudy
        import psutil

        print(nbstudy.__file__)
        print(nbstudy.MARK)
        print("guard of", psutil.Process().parent().ppid())
    """,
}


def told_by_the_summary(project: Project) -> list[str]:
    """Return the lines that the summary TELL printed."""
    summary = nbformat.read(project.outputs("mine", "tell.ipynb"), as_version=4)
    (output,) = [output for cell in summary.cells for output in cell.get("outputs", [])]
    return output.text.splitlines()


def with_marked_nbstudy(project: Project) -> str:
    """Mark the project's copy of nbstudy, write a study whose summary tells of it; return the study's path."""
    with (project.root / "nbstudy" / "__init__.py").open("a") as file:
        file.write("\nMARK = 'of this runner'\n")
    project.notebook("tell.ipynb", TELL)
    return project.study(FOUR.replace("summary: null", "summary: tell.ipynb"))


def test_workers_of_the_tests_have_no_nbstudy(one_worker: Cluster, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import nbstudy"]
    done = subprocess.run(
        command, cwd=tmp_path, env=one_worker.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode and "ModuleNotFoundError: No module named 'nbstudy'" in done.stderr


def test_workers_without_nbstudy_run_a_study_and_its_summary(project: Project, two_workers: Cluster) -> None:
    printed = project.run(with_marked_nbstudy(project), "--scheduler", two_workers.address)
    assert all(f"{name}: 4 epochs" in printed for name in "abcd")
    file, mark, guard = told_by_the_summary(project)
    assert "/kernel-" in file and not Path(file).exists()  # in the kernel's private directory
    assert mark == "of this runner"
    head = executed(project.outputs("mine", "a")).cells[0].source
    assert head.startswith("# `a` of the study `mine`\n") and "| `val_loss` | **0.2500** |" in head
    assert guard in {f"guard of {worker.pid}" for worker in two_workers.workers}


def test_summary_here_gets_the_nbstudy_of_its_runner(project: Project) -> None:
    project.run(with_marked_nbstudy(project))
    file, mark, _ = told_by_the_summary(project)
    assert "/kernel-" in file and mark == "of this runner"


# --- workers that come and go ---
def test_runs_of_a_killed_worker_resume_on_another(project: Project, cluster: Cluster) -> None:
    gate = project.hold_before_step(6)
    project.edit(
        "tiny.ipynb",
        'rows = ["epoch,val_loss"]',
        'rows = ["epoch,val_loss"]\nhistory = Path("history.csv")\n'
        "if history.exists():\n    rows = history.read_text().split()",
    )
    project.edit(
        "tiny.ipynb",
        "for step in range(1, steps + 1)",
        "start = len(rows)\nfor step in range(start, steps + 1)",
    )
    project.edit("tiny.ipynb", '{"text": text}', '{"start": start}')
    replaced = 'Path("partial.csv").replace("history.csv")'
    project.edit("tiny.ipynb", replaced, f'{replaced}\n    Path("state").write_text("whole")')
    project.edit("tiny.ipynb", "flops, lengthens =", 'checkpoint = "state"\nflops, lengthens =')
    first = cluster.worker(2)
    study = project.study(
        "notebooks: {run: tiny.ipynb, summary: null}\ndefaults: {steps: 9, seconds: 0.1}\nconfigurations: {a: , b: }"
    )
    runner = project.start(study, "--scheduler", cluster.address)
    wait_for(lambda: all(rows(project.attempt(name) / "history.csv") == 5 for name in "ab"))
    cluster.worker(2, host="127.0.0.2")  # another host, which the runs were not given to
    kernels = kernels_of(first)
    first.kill()
    assert len(kernels) == 2 and all_end(kernels)
    gate.touch()
    assert "127.0.0.1 is gone" in runner.finish()
    for name in "ab":
        place = project.outputs("mine", name)
        assert read_run(place)["attempts"] == 2
        assert rows(place / "history.csv") == 9
        assert read(place / "result.json") == {"start": 6}  # no epoch was trained again


def test_worker_that_joins_late_is_used(project: Project, cluster: Cluster) -> None:
    gate = project.hold_before_step(4)
    runner = project.start(project.study(FOUR), "--scheduler", cluster.address)
    wait_for(lambda: project.outputs("mine", "study.json").exists())
    cluster.worker()
    wait_for(lambda: any(project.outputs("mine", "incomplete").glob("*/1/history.csv")))
    late = cluster.worker()
    wait_for(lambda: kernels_of(late))
    gate.touch()
    assert runner.finish().count("waiting for workers") == 1


def test_run_that_keeps_killing_its_workers_is_failed(
    project: Project, make_cluster: Callable[..., Cluster]
) -> None:
    # one death more than allowed instead of Dask's four, since a worker takes seconds to start
    cluster = make_cluster(SCHEDULER__ALLOWED_FAILURES="1")
    cluster.worker(nanny=True)
    kill = 'import os; os.kill(int(os.environ["JPY_PARENT_PID"]), 9)'
    project.edit("tiny.ipynb", 'raise RuntimeError("asked to fail")', kill)
    study = project.study(TINY_STUDY + "  bad: {steps: 9, text: fail}\n")
    printed = project.run(study, "--scheduler", cluster.address, status=1)
    log = project.attempt("bad", 2) / "bad.ipynb"
    assert "bad: KilledWorker: " in printed and f"({log.relative_to(project.root)})" in printed, printed
    assert "1 failed" in printed and "long: 4 epochs" in printed and "short: 2 epochs" in printed
    assert "KilledWorker" in project.run(study, "--dry-run")


def test_worker_that_lives_on_unseen_disturbs_nothing(
    project: Project, make_cluster: Callable[..., Cluster]
) -> None:
    gate = project.hold_before_step(3)
    # a worker is given up after ten seconds instead of Dask's five minutes; a busy one shows up sooner
    cluster = make_cluster(SCHEDULER__WORKER_TTL="10s")
    first = cluster.worker()
    runner = project.start(project.study(TINY_STUDY), "--only", "long", "--scheduler", cluster.address)
    wait_for(lambda: rows(project.attempt("long") / "history.csv") == 2)
    kernels = kernels_of(first)
    for process in (first, *kernels):
        process.suspend()
    cluster.worker()
    wait_for(lambda: rows(project.attempt("long", 2) / "history.csv") == 2)
    for process in (first, *kernels):
        with contextlib.suppress(psutil.NoSuchProcess):  # the worker is quick to kill its kernels
            process.resume()
    assert kernels and all_end(kernels)
    gate.touch()
    runner.finish()
    assert read_run(project.outputs("mine", "long"))["attempts"] == 2
    assert rows(project.outputs("mine", "long", "history.csv")) == 4


# --- interrupts and a lost scheduler ---
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_kernels_and_leaves_the_cluster(
    project: Project, one_worker: Cluster, sent: signal.Signals
) -> None:
    project.hold_before_step(3)
    (worker,) = one_worker.workers
    study = project.study(TINY_STUDY)
    runner = project.start(study, "--scheduler", one_worker.address)
    wait_for(lambda: rows(project.attempt("long") / "history.csv") == 2)
    kernels = kernels_of(worker)
    runner.send_signal(sent)
    printed = runner.finish(128 + sent)
    assert "Run the same command to resume" in printed and "Traceback" not in printed
    assert kernels and all_end(kernels)
    assert worker.is_running() and one_worker.scheduler.is_running()
    assert "interrupted at epoch 2" in project.run(study, "--dry-run")
    assert "short: 2 epochs" in project.run(study, "--only", "short", "--scheduler", one_worker.address)


def test_interrupt_of_a_queued_study_leaves_the_one_that_runs(project: Project, one_worker: Cluster) -> None:
    gate = project.hold_before_step(3)
    (worker,) = one_worker.workers
    runs = project.start(project.study(TINY_STUDY, "other"), "--scheduler", one_worker.address)
    wait_for(lambda: rows(project.outputs("other", "incomplete", "long", "1", "history.csv")) == 2)
    kernels, tasks = kernels_of(worker), one_worker.tasks()
    queued = project.start(project.study(TINY_STUDY), "--scheduler", one_worker.address)
    one_worker.tasks(at_least=tasks + 1)  # what it asked for waits behind the other's run
    queued.send_signal(signal.SIGTERM)
    printed = queued.finish(143)
    assert "Run the same command to resume" in printed and "Traceback" not in printed
    assert kernels_of(worker) == kernels
    gate.touch()
    assert "short: 2 epochs" in runs.finish()


def test_kernels_of_a_killed_runner_end_on_workers(project: Project, one_worker: Cluster) -> None:
    project.hold_before_step(3)
    (worker,) = one_worker.workers
    study = project.study(TINY_STUDY)
    runner = project.start(study, "--scheduler", one_worker.address)
    wait_for(lambda: rows(project.attempt("long") / "history.csv") == 2)
    kernels = kernels_of(worker)
    runner.kill()
    runner.wait()
    assert kernels and all_end(kernels)
    assert worker.is_running()
    assert "short: 2 epochs" in project.run(study, "--only", "short", "--scheduler", one_worker.address)


def test_lost_scheduler_is_said_and_nothing_is_lost(project: Project, cluster: Cluster) -> None:
    project.hold_before_step(3)
    cluster.worker()
    study = project.study(TINY_STUDY)
    runner = project.start(study, "--scheduler", cluster.address)
    wait_for(lambda: rows(project.attempt("long") / "history.csv") == 2)
    cluster.scheduler.kill()
    printed = runner.finish(1)
    assert "Traceback" not in printed and f"--scheduler {cluster.address}: is lost" in printed
    assert "interrupted at epoch 2" in project.run(study, "--dry-run")
    assert "short: 2 epochs" in project.run(study, "--only", "short")  # the study is free again


# --- what is refused ---
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{}", "tls://127.0.0.1:{}", "nonsense", "http://x:1"])
def test_unreachable_scheduler_is_said(project: Project, address: str) -> None:
    with socket.socket() as silent:  # holds a port and does not listen
        silent.bind(("127.0.0.1", 0))
        address = address.format(silent.getsockname()[1])
        printed = project.run(project.study(TINY_STUDY), "--scheduler", address, status=2)
    assert f"--scheduler {address}: cannot be reached" in printed and "Traceback" not in printed, printed
    assert len(printed.splitlines()) == 1


def test_other_libraries_on_workers_are_said(project: Project, cluster: Cluster, tmp_path: Path) -> None:
    for library in ("keras", "distributed"):
        metadata = tmp_path / "site" / f"{library}-0.1.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True)
        real = distribution(library).read_text("entry_points.txt")  # Dask's commands, for one
        (metadata.parent / "entry_points.txt").write_text(real or "")
        metadata.write_text(f"Metadata-Version: 2.1\nName: {library}\nVersion: 0.1\n")
    cluster.worker(PYTHONPATH=f"{tmp_path / 'site'}{os.pathsep}{cluster.site}")
    project.edit("tiny.ipynb", "import json, time", "import json, keras, time")
    printed = project.run(project.study(TINY_STUDY), "--scheduler", cluster.address, status=2)
    assert "keras 0.1" in printed and "distributed 0.1" in printed, printed
    assert f"pip install distributed=={version('distributed')} keras=={version('keras')}" in printed
    assert "127.0.0.1" in printed and len(printed.splitlines()) == 1, printed


# --- outputs that a worker does not see ---
def blind_worker(cluster: Cluster, project: Project, host: str) -> psutil.Process:
    """Start a worker that sees an empty directory instead of the outputs'."""
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("hiding a directory from a process needs root and unshare")
    project.outputs().mkdir(exist_ok=True)
    hide = f'mount -t tmpfs tmpfs {project.outputs()} && exec "$@"'
    return cluster.worker(host=host, prefix=("unshare", "-m", "sh", "-c", hide, "sh"))


def seen_by(worker: psutil.Process, project: Project) -> list[Path]:
    """Return what a worker sees in the outputs."""
    return list(Path(f"/proc/{worker.pid}/root{project.outputs()}").iterdir())


def test_outputs_that_workers_do_not_see_are_said(project: Project, cluster: Cluster) -> None:
    cluster.worker()
    worker = blind_worker(cluster, project, host="127.0.0.2")
    printed = project.run(project.study(TINY_STUDY), "--scheduler", cluster.address, status=2)
    assert f"127.0.0.2 does not see {project.outputs('mine')}" in printed, printed
    assert "started" not in printed
    assert seen_by(worker, project) == []


def test_late_worker_that_sees_no_outputs_is_not_used(project: Project, cluster: Cluster) -> None:
    gate = project.hold_before_step(4)
    cluster.worker()
    runner = project.start(project.study(FOUR), "--scheduler", cluster.address)
    wait_for(lambda: any(project.outputs("mine", "incomplete").glob("*/1/history.csv")))
    worker = blind_worker(cluster, project, host="127.0.0.2")
    wait_for(lambda: "127.0.0.2 does not see" in runner.printed())
    gate.touch()
    assert runner.finish().count("127.0.0.2 does not see") == 1
    assert seen_by(worker, project) == []


# --- preparation ---
def test_each_host_prepares_once_before_its_first_run(project: Project, cluster: Cluster) -> None:
    marks = project.root / "marks"
    # a second, so that runs which did not wait for it would be caught
    mark = f"import time\ntime.sleep(1)\nwith open({str(marks)!r}, 'a') as file:\n    file.write('x')"
    project.notebook("ready.ipynb", {"": mark})
    for host in ("127.0.0.1", "127.0.0.2"):
        cluster.worker(2, host=host)
    project.edit("tiny.ipynb", "rows = [", f"assert Path({str(marks)!r}).exists()\nrows = [")
    gate = project.hold_before_step(4)
    runner = project.start(project.study(PREPARED), "--scheduler", cluster.address)
    wait_for(lambda: marks.exists() and marks.read_text() == "xx")
    gate.touch()
    runner.finish()
    assert marks.read_text() == "xx"
    assert project.outputs("mine", "ready.ipynb").exists()


def test_failing_preparation_is_one_message(project: Project, two_workers: Cluster) -> None:
    project.notebook("ready.ipynb", {"": 'raise FileNotFoundError("no source has it")'})
    study = project.study(PREPARED)
    for options in [(), ("--scheduler", two_workers.address)]:
        printed = project.run(study, *options, status=1)
        assert printed.count("no source has it") == 1, printed


def test_host_whose_preparation_fails_is_not_used(project: Project, cluster: Cluster) -> None:
    fails = 'import os\nif "BAD" in os.environ:\n    raise FileNotFoundError("no source has it")'
    project.notebook("ready.ipynb", {"": fails})
    gate = project.hold_before_step(4)
    cluster.worker()
    cluster.worker(host="127.0.0.2", BAD="yes")
    runner = project.start(project.study(PREPARED), "--scheduler", cluster.address)
    why = "127.0.0.2 ready.ipynb: FileNotFoundError: no source has it"
    wait_for(lambda: why in runner.printed())
    gate.touch()
    printed = runner.finish()
    assert printed.count(why) == 1 and "d: 4 epochs" in printed, printed


# --- TLS ---
def certificate(place: Path) -> dict[str, str]:
    """Make a certificate that signs itself; return Dask's settings for it."""
    key, cert = str(place / "key.pem"), str(place / "cert.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True)
    settings = {"COMM__TLS__CA_FILE": cert, "COMM__REQUIRE_ENCRYPTION": "True"}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        settings |= {f"COMM__TLS__{role}__KEY": key, f"COMM__TLS__{role}__CERT": cert}
    return settings


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a certificate")
def test_tls_with_the_settings_of_dask(
    project: Project,
    make_cluster: Callable[..., Cluster],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = certificate(tmp_path)
    cluster = make_cluster(**settings)
    cluster.worker()
    study = project.study(TINY_STUDY)
    assert "cannot be reached" in project.run(study, "--scheduler", cluster.address, status=2)
    for name, value in settings.items():
        monkeypatch.setenv(f"DASK_DISTRIBUTED__{name}", value)
    assert "long: 4 epochs" in project.run(study, "--scheduler", cluster.address)
