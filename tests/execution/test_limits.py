"""Limits of a user, a container, a process: fewer runs at a time, and said so, or none."""

from __future__ import annotations

import math
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbstudy.execution import host, limits
from nbstudy.execution.limits import ADDRESSES, FILES, TASKS, TASKS_OF_A_THREAD, allow, possible_jobs
from project import STRANGER, TINY_STUDY, Project, as_stranger

ONE_RUN = TASKS[0] + TASKS[1]


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which two runs at a time are the default."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")


def run_limited(
    project: Project, *prefix: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run the tiny study, with a command before that limits it."""
    for path in (project.root, project.root / "notebooks"):
        path.chmod(0o777)
    command = [*prefix, *project.command(project.study(TINY_STUDY), *options)]
    return subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=False)


def ulimit(option: str) -> list[str]:
    """Return what precedes a command that has a limit of the shell's."""
    return ["bash", "-c", f'ulimit {option}; exec "$@"', "bash"]


@pytest.fixture
def container() -> Iterator[Path]:
    """A control group with processes and threads for one run at a time."""
    group = Path("/sys/fs/cgroup/pids")  # version 1
    if not group.exists():
        group = Path("/sys/fs/cgroup")
    group /= f"nbstudy-{os.getpid()}"
    try:
        group.mkdir()
        (group / "pids.max").write_text(str(ONE_RUN + 4))
    except OSError:
        pytest.skip("making a control group needs root")
    yield group
    group.rmdir()


def assert_refused(done: subprocess.CompletedProcess[str], jobs: int, limit: str, cure: str) -> None:
    """Check that nothing was run, and that cause and cure were said."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"Error: --jobs {jobs}: this machine allows " in done.stderr
    assert limit in done.stderr and f"raise the limit (`{cure}" in done.stderr


@pytest.mark.usefixtures("two_gpus")
def test_container_of_few_processes_has_fewer_runs_at_a_time(project: Project, container: Path) -> None:
    enter = ["sh", "-c", f'echo $$ >{container}/cgroup.procs && exec "$@"', "sh"]
    limit = "more processes and threads in this container"
    assert_refused(run_limited(project, *enter, options=("--jobs", "2")), 2, limit, "pids.max`) by ")
    done = run_limited(project, *enter)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 run at a time: this machine allows " in done.stdout and limit in done.stdout


@pytest.mark.usefixtures("two_gpus")
def test_user_of_few_processes_has_fewer_runs_at_a_time(project: Project) -> None:
    """Root has no such limit."""
    limited = [*as_stranger(STRANGER + 1), *ulimit(f"-u {ONE_RUN + 4}")]
    limit = "more processes and threads of this user"
    assert_refused(run_limited(project, *limited, options=("--jobs", "2")), 2, limit, "ulimit -u`) by ")
    done = run_limited(project, *limited)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 run at a time: this machine allows " in done.stdout and limit in done.stdout


def test_process_of_few_addresses_is_refused(project: Project) -> None:
    done = run_limited(project, *ulimit("-v 500000"), options=("--jobs", "1"))
    assert_refused(done, 1, "500000 kilobytes of virtual memory", f"ulimit -v {sum(ADDRESSES)}`)")
    assert "fewer" not in done.stderr


# --- what is possible ---
@pytest.fixture
def unlimited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """Limits by their number, which a test fills in: all others are infinite, and there are no control groups."""
    allowed: dict[int, int] = {}

    def getrlimit(kind: int) -> tuple[int, int]:
        found = allowed.get(kind, resource.RLIM_INFINITY)
        return found, found

    monkeypatch.setattr(resource, "getrlimit", getrlimit)
    monkeypatch.setattr(host, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(host, "CGROUPS", tmp_path)
    return allowed


@pytest.mark.usefixtures("unlimited")
def test_all_runs_are_possible_where_nothing_is_limited() -> None:
    assert possible_jobs(1000, threads=1) == (1000, None)
    assert allow(1000, threads=1) is None


@pytest.mark.parametrize(
    ("kind", "few"),
    [(resource.RLIMIT_NOFILE, sum(FILES)), (resource.RLIMIT_AS, 1024 * sum(ADDRESSES))],
)
def test_least_limit_counts(unlimited: dict[int, int], kind: int, few: int) -> None:
    unlimited[kind] = few
    jobs, why = possible_jobs(2, threads=1)
    assert jobs == 1 and why is not None and why.startswith("1 run at a time: this machine allows ")
    assert allow(1, threads=1) is None
    unlimited[kind] = few - 1024
    assert possible_jobs(2, threads=1) == (1, None)
    refused = allow(1, threads=1)
    assert refused is not None and "1 run at a time can need" in refused


@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize(
    ("own", "place"), [("0::/a/b\n", "a"), ("0::/\n", "."), ("8:pids:/box\n", "pids/box")]
)
def test_processes_of_all_outer_control_groups_count(tmp_path: Path, own: str, place: str) -> None:
    (tmp_path / "own").write_text(own)
    group = tmp_path / place
    group.mkdir(parents=True, exist_ok=True)
    (group / "pids.current").write_text("10\n")
    (group / "pids.max").write_text("max\n")
    assert limits.tasks_of_container() == math.inf
    (group / "pids.max").write_text(f"{10 + ONE_RUN}\n")
    assert limits.tasks_of_container() == ONE_RUN
    assert possible_jobs(1, threads=1) == (1, None)
    assert allow(1, threads=1) is None
    refused = allow(1, threads=2)
    assert refused is not None and f"(`pids.max`) by {TASKS_OF_A_THREAD}" in refused
