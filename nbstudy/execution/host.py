"""This machine: its cores, GPUs and memory, shares of them for runs, and its libraries."""

from __future__ import annotations

import math
import os
import platform
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nbstudy.execution.once import known_to_this_process

Slots = dict[str, int]  # the runs at a time of each host, by name
THIS_MACHINE = ""  # its name among hosts
MEMORY_OF_A_RUN = 1.2e9  # bytes at most, as tests/benchmark measures it
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def cores() -> list[int]:
    """Return the cores that this process may use."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def number_of_cores() -> int:
    """Return how many cores this process can keep busy: those that it may use, or the quota of a container."""
    return max(1, int(min(len(cores()), core_quota())))


def cores_of_run(jobs: int) -> int:
    """Return the number of cores that each of so many runs at a time has."""
    return max(1, number_of_cores() // jobs)


def gpus() -> list[str]:
    """Return the GPUs that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu for gpu in visible.split(",") if gpu not in ("", "-1")]
    import subprocess  # which a command with nothing to do can spare

    query = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    return []


def default_jobs(threads: int) -> int:
    """Return the number of runs of so many threads at a time: one a GPU, else as many as the cores can keep busy.

    They are fewer where memory is short.
    """
    devices = len(gpus())
    if devices:
        return devices
    fitting = int(available_memory() // MEMORY_OF_A_RUN)
    return max(1, min(number_of_cores() // threads, fitting))


# --- what control groups (cgroups) allow, as containers and batch systems set them ---
# Read here because `dask.system` and `distributed.system` round quotas up, look at fewer places, and take a second
# to import.
def own_cgroups(controller: str) -> list[Path]:
    """Return the control groups that limit this process's "cpu", "memory" or "pids", of version 1 and 2, innermost first.

    Limits of outer groups hold too. A container may see its own group as the outermost one.
    """
    groups: list[Path] = []
    with suppress(OSError, ValueError):
        for line in OWN_CGROUPS.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            root = CGROUPS
            if controllers:  # version 1 has a hierarchy for each controller
                root = CGROUPS / controller
            if controllers and controller not in controllers.split(","):
                continue
            innermost = root / path.lstrip("/")
            groups += [group for group in (innermost, *innermost.parents) if group.is_relative_to(root)]
    return groups


def core_quota() -> float:
    """Return the cores' worth of time that this process may use, infinite where nothing limits it."""
    least = math.inf
    for group in own_cgroups("cpu"):
        with suppress(OSError, ValueError):  # version 2; "max" where there is no limit
            time, period = (group / "cpu.max").read_text().split()
            least = min(least, int(time) / int(period))
        with suppress(OSError, ValueError):  # version 1; -1 where there is no limit
            time, period = [(group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")]
            if int(time) > 0:
                least = min(least, int(time) / int(period))
    return least


def available_memory() -> float:
    """Return the bytes of memory that this process can still get."""
    # takes a moment to import, as other libraries in this file do that a command with nothing to do can spare
    import psutil

    least = float(psutil.virtual_memory().available)
    for group in own_cgroups("memory"):
        for limit, used, given_back in (
            ("memory.max", "memory.current", "inactive_file"),  # version 2
            ("memory.high", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),  # version 1
        ):
            with suppress(OSError, ValueError):  # of the other version; "max" where there is no limit
                left = int((group / limit).read_text()) - int((group / used).read_text())
                statistics = (group / "memory.stat").read_text()
                cached = re.search(rf"^{given_back} (\d+)", statistics, re.MULTILINE)
                if cached:  # contents of files, which the system gives back when somebody needs the memory
                    left += int(cached[1])
                least = min(least, left)
    return least


# --- shares ---
# The sizes of the thread pools of libraries that templates compute with. What is split among threads is added up in
# another order, so the number of threads is part of what makes a run, and no library may take it from the machine.
POOLS = (
    "TF_NUM_INTRAOP_THREADS",
    "OMP_NUM_THREADS",  # scikit-learn, XGBoost, LightGBM
    "OPENBLAS_NUM_THREADS",  # NumPy, SciPy
    "MKL_NUM_THREADS",  # PyTorch, before OMP_NUM_THREADS
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",  # NumPy on macOS
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "LOKY_MAX_CPU_COUNT",  # what joblib takes n_jobs=-1 for
    "NPROC",  # JAX
)


@dataclass(frozen=True)
class Share:
    """What the kernel of a run has of its host: cores by how many runs there are at a time, threads by its study."""

    jobs: int
    threads: int = 1

    @property
    def busy_cores(self) -> int:
        """The number of cores that it keeps busy."""
        return min(self.threads, cores_of_run(self.jobs))

    @contextmanager
    def taken(self) -> Iterator[dict[str, str]]:
        """Take it; yield the environment for the kernel, which inherits the cores of this thread.

        Where cores or GPUs cannot be claimed, because other studies, users or workers on this host have them, the
        run takes its chances like any other process.
        """
        environment = self.environment()
        with ExitStack() as claims:
            if sys.platform == "linux":
                gpu = claim_gpu(self.jobs, claims)
                if gpu is not None:
                    environment["CUDA_VISIBLE_DEVICES"] = gpu
                pin_to_own_cores(cores_of_run(self.jobs), claims)
            yield environment

    def environment(self) -> dict[str, str]:
        """Return the environment by which the libraries of its kernel have its threads, whatever its cores."""
        return {
            **dict.fromkeys(POOLS, str(self.threads)),
            "TF_NUM_INTEROP_THREADS": "1",
            "OMP_DYNAMIC": "FALSE",  # as many as are asked for, even where there are fewer cores
            "MKL_DYNAMIC": "FALSE",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        }


def claim_gpu(jobs: int, claims: ExitStack) -> str | None:
    """Claim a place on a GPU, the first on each before the second on any; None if none is free."""
    devices = gpus()
    if not devices:
        return None
    runs_a_gpu = math.ceil(jobs / len(devices))
    places = [f"gpu {gpu} {place}" for place in range(runs_a_gpu) for gpu in devices]
    for claimed in claim(places, 1, claims):
        return claimed.split()[1]
    return None


def pin_to_own_cores(number: int, claims: ExitStack) -> None:
    """Pin this thread to cores that no other run has claimed; leave it as it is if they do not suffice."""
    allowed = cores()
    claimed = claim([f"core {core}" for core in allowed], number, claims)
    if len(claimed) == number:
        os.sched_setaffinity(0, [int(name.split()[1]) for name in claimed])
        claims.callback(os.sched_setaffinity, 0, allowed)


def claim(names: Iterable[str], wanted: int, claims: ExitStack) -> list[str]:
    """Claim up to so many of the names for as long as `claims` lasts; return those that were free.

    What is claimed here no other run on this host gets, whosever it is: the mark is an abstract Unix socket, which
    is no file and ends with this process.
    """
    import socket

    claimed: list[str] = []
    for name in names:
        if len(claimed) == wanted:
            break
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0notebook-run {name}")
        except OSError:  # another run has it
            mark.close()
            continue
        claims.enter_context(mark)
        claimed.append(name)
    return claimed


# --- libraries ---
def required_versions(imports: Iterable[str]) -> dict[str, str]:
    """Return the libraries that a worker needs to run a template, with the versions of this host.

    Those are the libraries of its imports, as far as they are here, and those of nbstudy itself.
    """
    # takes a while to import, and a command that runs nothing does not ask
    from importlib.metadata import PackageNotFoundError, requires

    own: list[str] = []
    with suppress(PackageNotFoundError):  # it is run from a directory, and not installed
        own = requires("nbstudy") or []
    names = set(libraries_of(imports))
    for requirement in own:
        library, _, condition = requirement.partition(";")
        if "extra" not in condition or "dask" in condition:
            names.update(re.findall(r"^[\w.-]+", library))
    versions = installed_versions(sorted(names))
    return {name: version for name, version in versions.items() if version != "missing"}


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of libraries on this host."""
    # takes a while to import, and a command that runs nothing does not ask
    from importlib.metadata import PackageNotFoundError, version

    versions = dict.fromkeys(names, "missing")
    for name in versions:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


# --- what can change the numbers of a run ---
VECTOR_INSTRUCTIONS = (
    *("avx", "fma", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16"),
    *("asimd", "asimdhp", "bf16", "i8mm", "sve", "sve2", "sme"),
)
BASE = {"numpy", "scipy"}  # what other libraries compute with
# Variables of libraries that a kernel inherits. Most it does not: see environment.py.
CHANGES_NUMBERS = re.compile(
    r"XLA_FLAGS|GLIBC_TUNABLES|(ONEDNN|DNNL|MKL|OPENBLAS|BLIS|OMP|KMP|GOMP|NPY|CUBLAS|CUDNN)_"
    # scikit-learn sets the last two
    r"(?!\w*THREADS|\w*THREAD_LIMIT|DYNAMIC|DEFAULT_FPMATH_MODE|DUPLICATE_LIB_OK|INIT_AT_FORK)\w+"
)


def describe_environment(imports: Iterable[str]) -> dict[str, str]:
    """Return what can change the numbers of a run on this host: processor, versions, variables; no paths.

    The versions are those of the libraries that it imports, by their names.
    """
    found = {"processor": processor(), "python": platform.python_version()}
    vector_instructions = " ".join(instructions())
    if vector_instructions:
        found["instructions"] = vector_instructions
    for name, installed in installed_versions(libraries_of(BASE.union(imports))).items():
        if installed != "missing":
            found[name] = installed
    for name, value in sorted(os.environ.items()):
        words = [word for word in value.split() if "/" not in word]
        if words and CHANGES_NUMBERS.fullmatch(name):
            found[name] = " ".join(words)
    return found


def libraries_of(imports: Iterable[str]) -> list[str]:
    """Return the names of the libraries that are imported by these names, as "scikit-learn" by "sklearn".

    Where it is no other name than that of the import, it stays as that is written: "IPython", "jupyter_client".
    """
    providers = providers_of_packages()
    libraries = set()
    for name in imports:
        # one installed with `pip install -e` may list no package
        for provider in providers.get(name, [name]):
            if normalized(provider) == normalized(name):
                libraries.add(name)
            else:
                libraries.add(normalized(provider))
    return sorted(libraries)


def normalized(library: str) -> str:
    """Return a library's name as package indexes compare it (PEP 503), since releases spell it otherwise: Pillow, pillow."""
    return re.sub(r"[-_.]+", "-", library).lower()


def providers_of_packages() -> dict[str, list[str]]:
    """Return the libraries on this host that provide each package, by the name that it is imported by."""
    lock, known = known_to_this_process("providers")  # to read them takes half a second
    with lock:
        if not known:
            from importlib.metadata import packages_distributions

            for name, providers in packages_distributions().items():
                known[name] = [provider for provider in providers if provider]  # None of damaged metadata
        found: dict[str, list[str]] = known
        return found


def instructions() -> list[str]:
    """Return the vector instructions of this host's processor by which libraries choose how they compute.

    Virtual machines hide some, so that processors of one name compute differently.
    """
    told = re.search(r"^(?:flags|Features)\s*: (.+)$", cpuinfo(), re.MULTILINE)
    if told is None:
        return []
    found = set(told[1].split())
    return [name for name in VECTOR_INSTRUCTIONS if name in found]


def cpuinfo() -> str:
    """Return what Linux says of the processors, nothing elsewhere."""
    with suppress(OSError):
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    return ""


def processor() -> str:
    """Return the model of this host's processor, as far as the system tells."""
    told: dict[str, str] = dict(
        re.findall(r"^(model name|cpu family|model)\s*: (.+)$", cpuinfo(), re.MULTILINE)
    )
    if "model name" not in told:
        return platform.processor() or platform.machine()
    name = told["model name"].strip()
    if "cpu family" in told and "model" in told:  # virtual machines call many processors by one name
        name += f", family {told['cpu family']}, model {told['model']}"
    return name


# --- data ---
def data_home() -> Path:
    """Return the directory of Keras's data on this host: $KERAS_HOME, else ~/.keras, else a private one.

    Keras itself would fall back to a directory in /tmp that anybody can write. Raises OSError where the private one
    cannot be had.
    """
    named = os.environ.get("KERAS_HOME")
    if named:
        return Path(named).expanduser().absolute()
    with suppress(RuntimeError, OSError):  # an unknown user without HOME; a home that is not there
        home = Path.home()
        if prepare_for_data(home):
            return home / ".keras"
    import tempfile

    return private_directory(Path(tempfile.gettempdir(), f"keras-{os.getuid()}"))


def prepare_for_data(home: Path) -> bool:
    """Make the directory for data in a home directory, if it is not there; tell whether it has or can take data.

    A home directory that anybody can write, as /tmp is, stays as it is and takes none.
    """
    if home.stat().st_mode & stat.S_IWOTH:
        return False
    data = home / ".keras" / "datasets"
    if not data.exists():
        data.parent.mkdir(exist_ok=True)
        data.mkdir(exist_ok=True)
    return os.access(data, os.W_OK) or any(data.iterdir())


def private_directory(path: Path) -> Path:
    """Return a directory that only this user can enter, made if it is not there; refuse any other."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        message = (
            f"{path} is not a directory that only you can enter: remove it, or set TMPDIR to another one"
        )
        raise PermissionError(message)
    return path
