"""The file of `--cluster`: which workers a command starts for itself, in the words of what starts them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbstudy.checks import fail, mapping, sequence, shorten

# of dask_jobqueue.SLURMCluster; those that are not here are nbstudy's to say
SLURM = {
    *("queue", "account", "cores", "memory", "walltime", "job_cpu", "job_mem"),
    *("job_extra_directives", "job_directives_skip", "job_script_prologue", "log_directory"),
    *("interface", "local_directory", "python", "shebang", "worker_extra_args", "scheduler_options"),
}
# of distributed.SSHCluster, but for `cores`
SSH = {"hosts", "cores", "connect_options", "remote_python", "scheduler_options"}
KINDS = {"slurm": SLURM, "ssh": SSH}
LISTS = ("job_extra_directives", "job_directives_skip", "job_script_prologue", "worker_extra_args")
NEEDED = {"slurm": ("cores", "memory"), "ssh": ("cores", "hosts")}


@dataclass(frozen=True)
class ClusterFile:
    """What a file of `--cluster` says."""

    path: Path
    kind: str  # of KINDS
    words: dict[str, Any]  # but for those below
    scheduler: dict[str, Any]  # where the scheduler listens, in the words of distributed.Scheduler
    cores: int  # of a worker
    slots: int  # of a worker: the runs that it takes at a time
    most: int  # workers at a time

    @property
    def place(self) -> str:
        """Where to look for what is wrong."""
        return f"--cluster {self.path}"


def read_cluster_file(path: Path, threads: int) -> ClusterFile:
    """Read a file of `--cluster` for runs of so many threads, or refuse it."""
    place = f"--cluster {path}"
    content = mapping(parse(path, place), place, KINDS.keys() | {"jobs"})
    kinds = [kind for kind in KINDS if kind in content]
    if len(kinds) != 1:
        fail(place, "must say one of `slurm:` and `ssh:`, with what that is to start")
    (kind,) = kinds
    place_of_words = f"{place}, {kind}"
    words = mapping(content[kind], place_of_words, KINDS[kind])
    for word in NEEDED[kind]:
        if word not in words:
            fail(place_of_words, f"{word} is missing")
    for word in LISTS:
        if word in words:
            words[word] = sequence(words[word], f"{place_of_words}, {word}")
    if "connect_options" in words:
        words["connect_options"] = mapping(words["connect_options"], f"{place_of_words}, connect_options")
    scheduler = mapping(
        words.pop("scheduler_options", {}),
        f"{place_of_words}, scheduler_options",
        {"host", "interface", "port"},
    )
    cores = positive(words.pop("cores"), f"{place_of_words}, cores")
    if cores < threads:
        fail(
            f"{place_of_words}, cores",
            f"must be {threads} at least, the threads of a run in this study, not {cores}",
        )
    if kind == "slurm":
        if "jobs" not in content:
            fail(place, "jobs is missing: say how many there may be at a time, as in `jobs: 10`")
        most = positive(content["jobs"], f"{place}, jobs")
    else:
        if "jobs" in content:
            fail(place, "jobs: is for a queue; with ssh each of `hosts` has one worker")
        words["hosts"] = names_of_hosts(words["hosts"], f"{place_of_words}, hosts")
        most = len(words["hosts"])
    return ClusterFile(path, kind, words, scheduler, cores, cores // threads, most)


def parse(path: Path, place: str) -> Any:
    """Return what a YAML file holds, or refuse it."""
    from nbstudy.study.yaml_reader import load  # slow to import

    try:
        text = path.read_text(encoding="utf-8-sig")
        return load(text)
    except OSError as error:
        fail(place, f"cannot be read: {error.strerror}")
    except Exception as error:  # noqa: BLE001 - ruamel.yaml raises whatever it meets
        fail(place, f"is no YAML: {' '.join(str(error).split())}")


def positive(value: Any, place: str) -> int:
    """Return a whole number above 0, or refuse anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        fail(place, f"must be a whole number above 0, not {shorten(value)}")
    return value


def names_of_hosts(value: Any, place: str) -> list[str]:
    """Return the hosts of a list, each of them there once, or refuse it."""
    hosts = sequence(value, place)
    for host in hosts:
        if not isinstance(host, str) or hosts.count(host) > 1:
            fail(place, f"must be names of hosts, each there once, not {shorten(host)}")
    if not hosts:
        fail(place, "names no host")
    return hosts
