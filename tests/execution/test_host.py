"""This machine: its cores, GPUs and memory, each run's share of them, and what runs on it depend on."""

from __future__ import annotations

import json
import math
import os
import platform
import pwd
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from nbstudy.execution import host
from nbstudy.execution.environment import PERSONAL
from nbstudy.execution.host import (
    Share,
    available_memory,
    claim,
    core_quota,
    cores,
    cores_of_run,
    data_home,
    default_jobs,
    describe_environment,
    gpus,
)
from nbstudy.study.template import read_template
from project import PLAIN, ROOT, TINY_STUDY, Project, read, read_run

TOGETHER = """
notebooks: {run: tiny.ipynb, summary: null}
defaults: {steps: 1}
configurations: {a: , b: , c: }
"""


GPUS = [f"GPU-{os.getpid()}-{letter}" for letter in "abc"]  # which nobody else on this machine has


@pytest.fixture
def three_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that tells of three GPUs, as NVIDIA's does."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + "".join(f"echo {gpu}\n" for gpu in GPUS))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose GPUs, if it has any, are hidden."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def have_memory(monkeypatch: pytest.MonkeyPatch, available: float) -> None:
    """Let this machine have so many bytes of memory."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=available))


@pytest.fixture
def no_cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without control groups."""
    monkeypatch.setattr(host, "OWN_CGROUPS", tmp_path / "none")


# --- what is there ---
@pytest.mark.usefixtures("three_gpus")
def test_gpus_are_those_of_the_driver() -> None:
    assert gpus() == GPUS


@pytest.mark.usefixtures("three_gpus")
@pytest.mark.parametrize(("visible", "expected"), [("1,0", ["1", "0"]), ("", []), ("-1", [])])
def test_gpus_are_those_that_are_visible(
    monkeypatch: pytest.MonkeyPatch, visible: str, expected: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus() == expected


@pytest.mark.usefixtures("no_gpu", "no_cgroups")
def test_runs_at_a_time_are_as_many_as_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    have_memory(monkeypatch, 1e15)
    assert default_jobs(threads=1) == len(cores())
    monkeypatch.setattr(host, "cores", lambda: list(range(8)))
    assert [default_jobs(threads) for threads in (1, 2, 3, 8, 9)] == [8, 4, 2, 1, 1]


@pytest.mark.usefixtures("no_gpu", "no_cgroups")
@pytest.mark.parametrize("available", [1.5e9, 1e8])
def test_runs_at_a_time_are_fewer_where_memory_is_short(
    monkeypatch: pytest.MonkeyPatch, available: float
) -> None:
    have_memory(monkeypatch, available)  # one run fits, or not even one
    assert default_jobs(threads=1) == 1


@pytest.mark.usefixtures("three_gpus")
def test_runs_at_a_time_are_as_many_as_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_jobs(threads=1) == 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert default_jobs(threads=1) == 2


@pytest.mark.usefixtures("three_gpus")
def test_command_takes_the_runs_at_a_time_that_fit_or_are_asked_for(project: Project) -> None:
    study = project.study(TINY_STUDY)
    assert " 3 at a time" in project.run(study, "--dry-run")
    assert " 5 at a time" in project.run(study, "--dry-run", "--jobs", "5")


# --- control groups ---
def have_cgroups(root: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str]) -> None:
    """Let this machine have control groups with these files, this process being in those that `own` names."""
    (root / "own").write_text(own)
    monkeypatch.setattr(host, "OWN_CGROUPS", root / "own")
    monkeypatch.setattr(host, "CGROUPS", root)
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


VERSION_1 = "9:name=systemd:/\n5:cpuacct,cpu:/box\n4:memory:/box\n"
QUOTAS = [
    ("0::/\n", {"cpu.max": "100000 100000\n"}, 1.0),  # in a container, version 2
    ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n"}, 1.5),
    ("0::/a\n", {"a/cpu.max": "max 100000\n"}, math.inf),
    (VERSION_1, {"cpu/box/cpu.cfs_quota_us": "50000\n", "cpu/box/cpu.cfs_period_us": "100000\n"}, 0.5),
    # a container of version 1 names the group as the host sees it
    (VERSION_1, {"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3.0),
    (VERSION_1, {"cpu/box/cpu.cfs_quota_us": "-1\n", "cpu/box/cpu.cfs_period_us": "100000\n"}, math.inf),
    ("", {}, math.inf),
]


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(("own", "files", "quota"), QUOTAS)
def test_quota_of_cores_limits_runs_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str], quota: float
) -> None:
    have_cgroups(tmp_path, monkeypatch, own, files)
    have_memory(monkeypatch, 1e15)
    monkeypatch.setattr(host, "cores", lambda: [0, 1, 2, 3])
    assert core_quota() == quota
    jobs = max(1, min(4, math.floor(min(quota, 4))))
    assert default_jobs(threads=1) == jobs
    assert cores_of_run(1) == jobs


V2 = {"a/memory.max": "3000000000\n", "a/memory.current": "2000000000\n"}
V1 = {
    "memory/box/memory.limit_in_bytes": "3000000000\n",
    "memory/box/memory.usage_in_bytes": "2000000000\n",
    "memory/box/memory.stat": "inactive_file 1\ntotal_inactive_file 500000000\n",
}
MEMORIES = [
    ("0::/a/b\n", V2 | {"a/memory.stat": "anon 1\ninactive_file 500000000\n"}, 1.5e9),
    ("0::/a\n", {"a/memory.max": "max\n", "a/memory.current": "1\n", "a/memory.stat": ""}, 9e9),
    (VERSION_1, V1, 1.5e9),
    (VERSION_1, V1 | {"memory/box/memory.limit_in_bytes": "9223372036854771712\n"}, 9e9),
]


@pytest.mark.parametrize(("own", "files", "available"), MEMORIES)
def test_limit_of_memory_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str], available: float
) -> None:
    have_cgroups(tmp_path, monkeypatch, own, files)
    have_memory(monkeypatch, 9e9)
    assert available_memory() == available


@pytest.fixture
def quota_of_one_core() -> Iterator[Path]:
    """A control group whose processes together have the time of one core."""
    group = Path(f"/sys/fs/cgroup/nbstudy-{os.getpid()}")
    quota = {"cpu.max": "100000 100000"}
    if Path("/sys/fs/cgroup/cpu").exists():  # version 1
        group = Path(f"/sys/fs/cgroup/cpu/nbstudy-{os.getpid()}")
        quota = {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "100000"}
    try:
        group.mkdir()
        for file, value in quota.items():
            (group / file).write_text(value)
    except OSError:
        pytest.skip("making a control group needs root")
    yield group
    group.rmdir()


@pytest.mark.usefixtures("no_gpu")
def test_command_in_a_container_takes_the_runs_that_its_quota_allows(
    project: Project, quota_of_one_core: Path
) -> None:
    command = project.command(project.study(TINY_STUDY), "--dry-run")
    enter = f'echo $$ >{quota_of_one_core}/cgroup.procs && exec "$@"'
    done = subprocess.run(["sh", "-c", enter, "sh", *command], capture_output=True, text=True, check=False)
    assert " 1 at a time" in done.stdout, done.stderr


# --- open files ---
def with_open_files(options: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Execute a command that may open few files, as many as ulimit is told."""
    limited = ["bash", "-c", f'ulimit {options}; exec "$@"', "bash", *command]
    return subprocess.run(limited, capture_output=True, text=True, check=False)


def test_runs_that_need_more_open_files_than_allowed_are_refused(project: Project) -> None:
    done = with_open_files("-n 64", project.command(project.study(TINY_STUDY), "--jobs", "8"))
    assert done.returncode == 2
    assert "--jobs 8: this machine allows 64 open files, and 8 runs at a time can need 184: " in done.stderr
    assert "raise the limit (`ulimit -n 184`), or run fewer at a time" in done.stderr
    assert not project.outputs("mine", "incomplete").exists()


def test_limit_of_open_files_is_raised_as_far_as_runs_need(project: Project) -> None:
    meet_and_tell(project, "0", runs=3)  # three kernels at once, which 40 files do not suffice for
    done = with_open_files("-Sn 40", project.command(project.study(TOGETHER), "--jobs", "3"))
    assert done.returncode == 0, done.stdout + done.stderr


# --- shares ---
def meet_and_tell(project: Project, expression: str, runs: int) -> None:
    """Let runs wait for each other, then write what an expression gives in them into result.json, as `told`."""
    meeting = project.root / "meeting"
    meeting.mkdir()
    project.edit(
        "tiny.ipynb",
        'Path("result.json").write_text(json.dumps({"text": text}))',
        f"import os\nmeeting = Path({str(meeting)!r})\n"
        "(meeting / Path.cwd().parent.name).touch()\n"
        f"while len(list(meeting.iterdir())) < {runs}:\n    time.sleep(0.05)\n"
        f'Path("result.json").write_text(json.dumps({{"told": {expression}}}))',
    )


def results(project: Project, names: str) -> list[Any]:
    """Return what runs with names of one letter told."""
    return [read(project.outputs("mine", name, "result.json"))["told"] for name in names]


@pytest.mark.usefixtures("three_gpus")
def test_each_run_has_a_gpu_of_its_own(project: Project) -> None:
    told = "[os.environ['CUDA_VISIBLE_DEVICES'], os.environ['TF_FORCE_GPU_ALLOW_GROWTH']]"
    meet_and_tell(project, told, runs=3)
    project.run(project.study(TOGETHER))
    assert sorted(results(project, "abc")) == [[gpu, "true"] for gpu in GPUS]


@pytest.fixture
def among_free_cores() -> list[str]:
    """What precedes a command that finds two or more cores or no test, none of them claimed by another study."""
    if len(cores()) < 2:
        pytest.skip("needs two cores")
    alone = ["unshare", "--net"]  # claims are abstract sockets, which a network has of its own
    if shutil.which("unshare") and not subprocess.run([*alone, "true"], check=False).returncode:
        return alone
    with ExitStack() as claims:
        names = [f"core {core}" for core in cores()]
        if claim(names, len(names), claims) != names:
            pytest.skip("another study is running on this machine's cores")
    return []


def test_each_run_has_cores_of_its_own(project: Project, among_free_cores: list[str]) -> None:
    meet_and_tell(project, "sorted(os.sched_getaffinity(0))", runs=2)
    study = project.study(TOGETHER)
    for options in [("--only", "[ab]", "--jobs", "2"), ("--only", "c", "--jobs", "1")]:
        command = [*among_free_cores, *project.command(study, *options)]
        subprocess.run(command, cwd=project.root, check=True, capture_output=True)
    one, other = results(project, "ab")
    assert len(one) == len(other) == len(cores()) // 2 == cores_of_run(2)
    assert not set(one) & set(other)
    assert results(project, "c") == [cores()]


POOLS = """
import os
import numpy, scipy.linalg, sklearn.cluster
from threadpoolctl import threadpool_info
told = [os.environ["TF_NUM_INTRAOP_THREADS"], *sorted(pool["num_threads"] for pool in threadpool_info())]
"""


@pytest.mark.parametrize("plain", ["", PLAIN])
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_those_of_the_study_on_any_number_of_cores(
    project: Project, threads: int, plain: str
) -> None:
    project.edit("tiny.ipynb", "import json, time", f"import json, time\n{plain}{POOLS}")
    project.edit("tiny.ipynb", '{"text": text}', '{"told": told}')
    study = project.study(f"{TOGETHER}\nthreads: {threads}\n")
    project.run(study, "--jobs", "1", "--only", "a")
    one_core = ["taskset", "--cpu-list", str(cores()[0])]
    subprocess.run([*one_core, *project.command(study)], cwd=project.root, check=True, capture_output=True)
    # OpenBLAS of NumPy and of SciPy, and OpenMP of scikit-learn
    assert results(project, "abc") == 3 * [[str(threads), threads, threads, threads]]
    run = read_run(project.outputs("mine", "b"))
    assert (run["threads"], run["cores"]) == (threads, 1)


OWN_POOLS = """
import numpy
from threadpoolctl import threadpool_info, threadpool_limits
threadpool_limits(2)
import scipy.linalg
told = [pool["num_threads"] for pool in threadpool_info() if "numpy" in pool["filepath"]]
"""


def test_number_of_threads_that_a_template_sets_itself_counts(project: Project) -> None:
    project.edit("tiny.ipynb", "import json, time", f"import json, time\n{PLAIN}{OWN_POOLS}")
    project.edit("tiny.ipynb", '{"text": text}', '{"told": told}')
    project.run(project.study(f"{TOGETHER}\nthreads: 3\n"), "--only", "a")
    assert results(project, "a") == [[2]]  # also after SciPy, which comes with a pool of its own


@pytest.mark.usefixtures("three_gpus")
def test_threads_beside_a_gpu_are_those_of_the_study() -> None:
    assert Share(jobs=1, threads=3).environment()["OMP_NUM_THREADS"] == "3"


@pytest.mark.usefixtures("no_gpu")
def test_dry_run_says_which_cores_will_have_nothing_to_do(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    if len(cores()) < 2:
        pytest.skip("needs two cores")
    idle = (
        f"{len(cores()) - 1} of {len(cores())} cores will have nothing to do, since a run has 1 thread; raise"
    )
    study = project.study(TOGETHER)
    assert idle in project.run(study, "--dry-run", "--jobs", "1")
    assert idle in project.run(study, "--dry-run", "--only", "a")
    assert "nothing to do" not in project.run(study, "--dry-run", "--jobs", str(len(cores())), "--only", "*")


def test_names_that_others_have_claimed_cost_no_open_file() -> None:
    names = [f"test {os.getpid()} {number}" for number in range(64)]
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("needs Linux")
    with ExitStack() as claims:
        before = len(list(descriptors.iterdir()))
        for name in names:
            assert claim(names, 1, claims) == [name]
        assert claim(names, 1, claims) == []
        assert len(list(descriptors.iterdir())) == before + len(names)
    assert len(list(descriptors.iterdir())) == before


# --- what numbers depend on ---
def test_processors_of_one_name_are_told_apart_by_their_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "model name\t: Abacus 1\nflags\t\t: fpu avx2 fma sse2"
    monkeypatch.setattr(host, "cpuinfo", lambda: f"{said}\n\n{said}\n")
    few = describe_environment([])
    monkeypatch.setattr(host, "cpuinfo", lambda: f"{said} avx512f\n\n{said} avx512f\n")
    many = describe_environment([])
    assert few["processor"] == many["processor"] == "Abacus 1"
    assert (few["instructions"], many["instructions"]) == ("fma avx2", "fma avx2 avx512f")
    monkeypatch.setattr(host, "cpuinfo", lambda: "")
    assert "instructions" not in describe_environment([])


def test_environment_says_what_can_change_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true --xla_dump_to=/somewhere/secret")
    monkeypatch.setenv("CUDNN_PATH", "/somewhere/secret")
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    monkeypatch.setenv("KMP_INIT_AT_FORK", "secret")  # as scikit-learn sets it, of no effect on numbers
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "secret")  # which no kernel inherits
    monkeypatch.setenv("OMP_NUM_THREADS", "secret")  # of which each kernel gets its own
    monkeypatch.setenv("OMP_THREAD_LIMIT", "secret")
    monkeypatch.setenv("MKL_DYNAMIC", "secret")
    environment = describe_environment(["keras", "sklearn", "nothing_like_it"])
    name, _, _ = environment["processor"].partition(", family ")
    assert name and name in Path("/proc/cpuinfo").read_text() + platform.machine()
    assert environment["python"] == platform.python_version()
    assert environment["keras"] == version("keras")
    assert environment["scikit-learn"] == version("scikit-learn")
    assert environment["numpy"] == version("numpy")
    assert "nothing_like_it" not in environment
    assert environment["XLA_FLAGS"] == "--xla_cpu_enable_fast_math=true"
    assert "secret" not in str(environment)
    assert "CUDNN_PATH" not in environment
    assert not [name for name in environment if PERSONAL.fullmatch(name)]
    assert "click" not in environment  # which computes nothing here


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of installed libraries, which this process has not looked at yet."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "nbstudy_providers", (threading.Lock(), {}), raising=False)
    return tmp_path


def install(site: Path, library: str, release: str, package: str) -> None:
    """Leave what pip leaves of a library that provides a package."""
    place = site / f"{library}-{release}.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {library}\nVersion: {release}\n")
    (place / "top_level.txt").write_text(f"{package}\n")


def test_libraries_are_recorded_by_their_names_whatever_they_are_imported_by(site: Path) -> None:
    install(site, "xgboost_cpu", "3.1.0", "xgboost")
    install(site, "Under_Score", "1.0", "under_score")
    (site / "damaged-1.0.dist-info").mkdir()  # as pip leaves it where it was interrupted
    environment = describe_environment(["xgboost", "yaml", "dateutil", "under_score", "IPython", "nothing"])
    expected = {
        "IPython": version("ipython"),
        "numpy": version("numpy"),
        "python-dateutil": version("python-dateutil"),
        "pyyaml": version("pyyaml"),
        "scipy": version("scipy"),
        "under_score": "1.0",
        "xgboost-cpu": "3.1.0",
    }
    assert {name: environment.get(name) for name in expected} == expected
    assert not environment.keys() & {"xgboost", "yaml", "dateutil", "nothing", "ipython", "PyYAML"}


def test_library_that_lists_no_packages_is_recorded_as_it_is_imported(site: Path) -> None:
    install(site, "my_lib", "0.1", "__editable___my_lib_finder")  # as `pip install -e` leaves it
    assert describe_environment(["my_lib"])["my_lib"] == "0.1"


def test_libraries_are_recorded_by_the_names_that_published_runs_have() -> None:
    recorded = set()
    for file in (ROOT / "outputs").glob("*/*/run.json"):
        recorded |= json.loads(file.read_text()).get("environment", {}).keys()
    imports = []
    for notebook in ("train.ipynb", "test.ipynb"):
        imports += read_template(ROOT / "notebooks" / notebook).imports
    assert recorded and recorded <= describe_environment(imports).keys()


def test_libraries_are_looked_for_once_a_process(site: Path) -> None:
    install(site, "first", "1.0", "package")
    assert describe_environment(["package"])["first"] == "1.0"
    install(site, "second", "1.0", "package")
    assert "second" not in describe_environment(["package"])


# --- data ---
@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of temporary files, empty; no variable says where data are."""
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_data_are_where_keras_keeps_them(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(temporary))
    assert data_home() == temporary / ".keras"
    monkeypatch.chdir(temporary)
    monkeypatch.setenv("KERAS_HOME", "elsewhere")
    assert data_home() == temporary / "elsewhere"


def test_data_of_a_user_without_a_home_are_private(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = temporary / f"keras-{os.getuid()}"
    monkeypatch.setenv("HOME", "/dev/null")
    assert data_home() == private
    assert private.stat().st_mode & 0o777 == 0o700
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # which knows nobody
    assert data_home() == private


def test_data_that_others_could_plant_are_not_taken(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = temporary / "anybody" / ".keras" / "datasets" / "fashion-mnist"
    planted.mkdir(parents=True)
    (temporary / "anybody").chmod(0o1777)  # as /tmp
    monkeypatch.setenv("HOME", str(temporary / "anybody"))
    private = temporary / f"keras-{os.getuid()}"
    assert data_home() == private
    private.chmod(0o777)
    with pytest.raises(PermissionError, match="set TMPDIR"):
        data_home()
    private.rmdir()
    private.symlink_to(planted)
    with pytest.raises(PermissionError, match="set TMPDIR"):
        data_home()
