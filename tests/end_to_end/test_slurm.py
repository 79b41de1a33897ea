"""Where runs go: jobs of a real Slurm on this host, which the command submits and ends."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest

from project import PATIENCE, Project, Runner, content_of, kept_by, read_run, rows, wait_for
from slurm_node import SlurmNode

# resumes from the step that `state.txt` stands for; `gate` holds all runs before their third step
SLOW = {
    "parameters": "steps: int = 5\nlevel: float = 1.0",
    "preflight": 'flops = 1000.0 * steps\nlengthens = "steps"\ncheckpoint = "state.txt"',
    "": """
        import json
        import os
        import time
        from pathlib import Path

        gate = Path(os.environ["NBSTUDY_PROJECT"]) / "gate"
        rows = ["epoch,val_loss"]
        if Path("state.txt").exists():
            rows = Path("history.csv").read_text().split()
        first = len(rows)
        for step in range(first, steps + 1):
            while step == 3 and not gate.exists():
                time.sleep(0.05)
            rows.append(f"{step},{level / step}")
            Path("partial.csv").write_text("\\n".join(rows) + "\\n")
            Path("partial.csv").replace("history.csv")
            Path("state.txt").write_text(str(step))
        Path("result.json").write_text(json.dumps({"first": first}))
    """,
}
STUDY = """
notebooks: {run: slow.ipynb, summary: null}
grid: [{name: "l_{level}", level: [%s]}]
"""
CLUSTER = """
slurm: {queue: short, cores: 1, memory: 100 MB, walltime: "30", interface: lo}
jobs: 2
"""


@pytest.fixture
def walltime(request: pytest.FixtureRequest) -> None:
    """Skip what may wait for Slurm for two minutes, unless that is asked for."""
    if not request.config.getoption("--walltime"):
        pytest.skip("may wait for two minutes; asked for by --walltime")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmNode]:
    """A Slurm that many tests share."""
    node = SlurmNode(tmp_path_factory.mktemp("slurm"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", node.environment["SLURM_CONF"])
        yield node
    node.end()


def slow_study(project: Project, runs: int, cluster: str = CLUSTER) -> tuple[str, str, str]:
    """Write a study of so many slow runs and a cluster's file; return the command's arguments."""
    project.notebook("slow.ipynb", SLOW)
    (project.root / "cluster.yaml").write_text(cluster)
    levels = ", ".join(str(number / 7) for number in range(1, runs + 1))
    return project.study(STUDY % levels), "--cluster", "cluster.yaml"


def held(project: Project, number: int) -> bool:
    """Tell whether so many runs are held before their third step, by their newest attempts."""
    attempts = project.outputs("mine", "incomplete").glob("*/*/history.csv")
    return len({path.parent.parent for path in attempts if rows(path) == 2}) >= number


def running(node: SlurmNode) -> list[str]:
    """Return the jobs that run, the first one first."""
    return sorted(node.jobs("RUNNING"), key=int)


def nothing_is_left(node: SlurmNode, project: Project) -> bool:
    """Tell whether no job waits or runs, no process of one is there, and no key."""
    wait_for(lambda: not node.left(), told=node.left)
    return not list(project.outputs("mine").glob(".cluster/*.pem"))


def same_as_on_one_machine(project: Project, make: Project) -> bool:
    """Tell whether all histories are those that the same study leaves here, byte for byte."""
    study, *_ = slow_study(make, 10)
    (make.root / "gate").touch()
    make.run(study, "--jobs", "2")
    here = kept_by(make.outputs("mine"), "history.csv")
    return kept_by(project.outputs("mine"), "history.csv").items() <= here.items()


@pytest.mark.usefixtures("walltime")  # Slurm may hold a job that is put back
def test_a_job_that_is_cancelled_and_one_that_is_put_back_are_said(
    project: Project,
    slurm: SlurmNode,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    runner = project.start(*slow_study(project, 3))
    wait_for(lambda: held(project, 2))
    cancelled, put_back = running(slurm)
    key = project.outputs("mine", ".cluster", "key.pem")
    assert key.stat().st_mode & 0o777 == 0o600 and key.parent.stat().st_mode & 0o777 == 0o700
    assert refused_to_strangers(runner, project)
    slurm.told("scancel", cancelled)
    wait_for(lambda: f"job {cancelled} on one was cancelled: " in runner.printed())
    slurm.told("scontrol", "requeue", put_back)
    wait_for(lambda: f"job {put_back} on one was put back into the queue: " in runner.printed())
    (project.root / "gate").touch()
    printed = runner.finish()
    assert len(re.findall(r"on one was .*: l_\S+ resumes elsewhere", printed)) == 2, printed
    assert len(re.findall(r"^l_\S+: resumes \(", printed, re.MULTILINE)) == 2, printed
    assert re.search(r"^cluster: 3 jobs, 0\.\d\d core hours$", printed, re.MULTILINE), printed
    attempts = sorted(
        read_run(place.parent)["attempts"] for place in project.outputs("mine").glob("*/run.json")
    )
    assert attempts == [1, 2, 2]
    assert nothing_is_left(slurm, project)
    assert same_as_on_one_machine(project, Project(tmp_path_factory.mktemp("here")))
    assert not list(project.root.glob("slurm-*"))


CONNECT = """
import asyncio, sys, urllib.error, urllib.request
from distributed import Security
from distributed.comm import connect

async def reach(address):
    own = Security.temporary().get_connection_args("client")
    comm = await connect(address, timeout=20, **own)
    await comm.write({"op": "identity", "reply": True})
    print(await comm.read())

scheduler, *others = sys.argv[1:]
for scheme in ("tcp", "tls"):
    try:
        asyncio.run(reach(f"{scheme}://127.0.0.1:{scheduler}"))
    except Exception as error:
        print(type(error).__name__, error)
    else:
        sys.exit("connected")
for port in others:
    for page in ("", "info/main/workers.html", "json/counts.json", "health", "metrics"):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=20)
        except urllib.error.HTTPError as error:
            print(error)
        else:
            sys.exit(f"served {page}")
"""


def refused_to_strangers(runner: Runner, project: Project) -> bool:
    """Tell whether another user gets no word from any port at which a command listens."""
    ports = {
        str(each.laddr.port)
        for each in psutil.Process(runner.pid).net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    }
    log = next(iter(project.outputs("mine").glob(".cluster/*.err"))).read_text()
    scheduler = re.findall(r"Registered to: +tls://127\.0\.0\.1:(\d+)", log)[0]
    assert scheduler in ports
    stranger = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", CONNECT]
    done = subprocess.run(
        [*stranger, scheduler, *(ports - {scheduler})],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    print(done.stdout)  # for whoever asks pytest to show it
    assert done.returncode == 0, done.stdout + done.stderr
    return True


def test_a_job_that_never_starts_is_said_and_taken_back(project: Project, slurm: SlurmNode) -> None:
    runner = project.start(*slow_study(project, 2, CLUSTER.replace("short", "closed")))
    wait_for(lambda: "the queue; its reason: PartitionDown" in runner.printed())
    runner.send_signal(signal.SIGTERM)
    printed = runner.finish(143)
    assert "cluster: 2 jobs, 0.00 core hours" in printed and "Traceback" not in printed, printed
    assert nothing_is_left(slurm, project)


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        (CLUSTER.replace("short", "nowhere"), "no job could be submitted: .*invalid partition"),
        (CLUSTER.replace("queue", "queu"), "cluster.yaml, slurm: unknown name 'queu'; did you mean 'queue'"),
        (CLUSTER.replace("jobs: 2", ""), "jobs is missing"),
        (CLUSTER.replace("memory: 100 MB,", ""), "slurm: memory is missing"),
        (CLUSTER + "ssh: {hosts: [x], cores: 1}", "must say one of"),
        ("slurm: [", "is no YAML"),
    ],
    ids=["partition", "word", "jobs", "memory", "kinds", "YAML"],
)
def test_a_wrong_file_is_said_before_anything_runs(
    project: Project, slurm: SlurmNode, cluster: str, said: str
) -> None:
    printed = project.run(*slow_study(project, 2, cluster), status=2)
    assert re.search(said, printed) and "Traceback" not in printed and "started" not in printed, printed
    assert nothing_is_left(slurm, project)


def test_python_that_is_not_on_the_nodes_is_said(project: Project, slurm: SlurmNode) -> None:
    cluster = CLUSTER.replace("queue:", "python: /nowhere/bin/python, queue:").replace("jobs: 2", "jobs: 3")
    printed = project.run(*slow_study(project, 3, cluster), status=1)
    assert re.search(r"job \d+ on one failed before its worker was there: .*/nowhere/bin/python", printed), (
        printed
    )
    assert "3 jobs in a row brought no worker" in printed and "Traceback" not in printed, printed


def test_machine_without_slurm_is_said(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = slow_study(project, 2)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    printed = project.run(*arguments, status=2)
    assert "there is no squeue here" in printed and "Traceback" not in printed, printed


def test_other_libraries_on_a_node_are_said(project: Project, slurm: SlurmNode, tmp_path: Path) -> None:
    metadata = tmp_path / "site" / "psutil-0.1.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: psutil\nVersion: 0.1\n")
    prologue = f"job_script_prologue: ['export PYTHONPATH={metadata.parent.parent}'], queue:"
    arguments = slow_study(project, 2, CLUSTER.replace("queue:", prologue))
    printed = project.run(*arguments, status=1)
    cure = f"run `pip install psutil=={version('psutil')}` there"
    assert re.search(r"job-\d+ has psutil 0.1, not .*", printed) and cure in printed, printed
    assert "started" not in printed and nothing_is_left(slurm, project)


def test_kernel_that_dies_by_itself_is_a_failed_run(project: Project, slurm: SlurmNode) -> None:
    arguments = slow_study(project, 1)
    project.edit("slow.ipynb", "gate = ", "os._exit(1)\ngate = ")
    printed = project.run(*arguments, status=1)
    assert "DeadKernelError" in printed and "1 failed" in printed and "elsewhere" not in printed, printed
    assert nothing_is_left(slurm, project)


def test_jobs_of_a_killed_command_end_by_themselves(project: Project, slurm: SlurmNode) -> None:
    runner = project.start(*slow_study(project, 2))
    wait_for(lambda: held(project, 2))
    assert len(slurm.steps()) > 2
    runner.kill()
    runner.wait()
    wait_for(lambda: not slurm.left(), told=slurm.left)


def test_a_runs_threads_are_cores_of_its_job(project: Project, slurm: SlurmNode) -> None:
    (project.root / "gate").touch()
    study, *options = slow_study(project, 2, CLUSTER.replace("cores: 1", "cores: 2"))
    with (project.root / study).open("a") as file:
        file.write("threads: 2\n")
    printed = project.run(study, *options)
    assert "submitted 2 jobs of 2 cores" in printed, printed
    (project.root / study).write_text((project.root / study).read_text().replace("threads: 2", "threads: 3"))
    assert "cores: must be 3 at least" in project.run(study, *options, status=2)


def test_nothing_is_started_where_nothing_is_left(project: Project, slurm: SlurmNode) -> None:
    (project.root / "gate").touch()
    study, *options = slow_study(project, 2)
    project.run(study)
    before = content_of(project.outputs("mine"))
    jobs = slurm.jobs("all")
    assert project.run(study, *options) == "2 of 2 complete\n"
    assert slurm.jobs("all") == jobs and content_of(project.outputs("mine")) == before


@pytest.mark.usefixtures("walltime")
def test_ten_runs_through_a_kill_a_time_limit_and_a_restart(
    project: Project,
    slurm: SlurmNode,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # one job more than there are cores, so that one waits when the command is killed
    arguments = slow_study(project, 10, CLUSTER.replace('"30"', '"1"').replace("jobs: 2", "jobs: 3"))
    runner = project.start(*arguments)
    wait_for(lambda: held(project, 2))
    slurm.told("scancel", running(slurm)[0])
    wait_for(lambda: "was cancelled: " in runner.printed())
    wait_for(lambda: "ended at its time limit: " in runner.printed(), 4 * PATIENCE)
    wait_for(lambda: running(slurm) and slurm.jobs("PENDING"))
    runner.kill()
    runner.wait()
    (project.root / "gate").touch()
    printed = project.run(*arguments)
    assert "of an earlier command" in printed and "cluster: " in printed, printed
    assert nothing_is_left(slurm, project)
    assert len(kept_by(project.outputs("mine"), "history.csv")) == 10
    assert same_as_on_one_machine(project, Project(tmp_path_factory.mktemp("here")))
    print(runner.printed(), printed)  # for whoever asks pytest to show it
