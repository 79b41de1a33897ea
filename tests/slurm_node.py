"""A real Slurm of one node with two cores on this host, whose daemons end with the tests."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from project import ended_with_the_tests, wait_for

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
SLURM_CONF = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket
CredType=cred/munge
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
ReturnToService=2
KillWait=2
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=1,sched_min_interval=0,batch_sched_delay=0
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=8000 State=UNKNOWN
PartitionName=short Nodes=one Default=YES State=UP
PartitionName=closed Nodes=one State=DOWN
"""


class SlurmNode:
    """Slurm's three daemons, with all that is theirs in a directory, on free ports."""

    def __init__(self, root: Path) -> None:
        missing = [program for program in PROGRAMS if not shutil.which(program)]
        if missing or os.geteuid():
            pytest.skip("needs root, slurm-wlm and munge")
        self.root = root
        self.daemons: list[subprocess.Popen[bytes]] = []
        self.environment = os.environ | {"SLURM_CONF": str(root / "slurm.conf")}
        for name in ("munge", "state", "spool"):
            (root / name).mkdir(mode=0o700, parents=True)
        key = root / "munge" / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        controller_port, node_port = free_ports(2)
        host = platform.node().partition(".")[0]
        (root / "slurm.conf").write_text(
            SLURM_CONF.format(root=root, host=host, controller_port=controller_port, node_port=node_port)
        )
        munge = root / "munge"
        files = {
            name: f"--{name}={munge / name.partition('-')[0]}"
            for name in ("socket", "key-file", "pid-file", "log-file", "seed-file")
        }
        self.start("munged", "--foreground", "--force", *files.values())
        wait_for(lambda: (munge / "socket").exists())
        self.start("slurmctld", "-D", "-f", str(root / "slurm.conf"))
        self.start("slurmd", "-D", "-N", "one", "-f", str(root / "slurm.conf"))
        wait_for(lambda: "idle" in self.told("sinfo", "--noheader", "--format=%T"))

    def start(self, *command: str) -> None:
        """Start a daemon, which ends with the tests."""
        with (self.root / f"{command[0]}.log").open("w") as log:
            self.daemons.append(
                subprocess.Popen(
                    [*ended_with_the_tests("KILL"), *command], env=self.environment, stdout=log, stderr=log
                )
            )

    def told(self, *command: str) -> str:
        """Return what a command of Slurm's prints, nothing where it fails."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        return done.stdout

    def jobs(self, *states: str) -> list[str]:
        """Return the numbers of the jobs in these states, of those that wait or run where none is named."""
        options = []
        if states:
            options.append(f"--states={','.join(states)}")
        return self.told("squeue", "--noheader", "--format=%i", *options).split()

    def left(self) -> list[str]:
        """Return what squeue says of the jobs that are not over, and the command lines of their processes."""
        told = self.told("squeue", "--noheader", "--format=%i %T %r %M").splitlines()
        for process in self.steps():
            with contextlib.suppress(psutil.NoSuchProcess):
                told.append(f"{process.pid} {process.status()} {' '.join(process.cmdline())}")
        return told

    def end(self) -> None:
        """Cancel all jobs, and kill the daemons and all that they have started."""
        self.told("scancel", "--user=root")
        family = [
            *self.steps(),
            *(psutil.Process(daemon.pid) for daemon in self.daemons if daemon.poll() is None),
        ]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        for daemon in self.daemons:
            daemon.wait()

    def steps(self) -> list[psutil.Process]:
        """Return the processes of this Slurm's jobs that are left: slurmd's child left it, and is known by its environment."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("SLURM_CONF") == self.environment["SLURM_CONF"] and (
                    process.name() == "slurmstepd" or "SLURM_JOB_ID" in process.environ()
                ):
                    found.append(process)
        return found


def free_ports(number: int) -> list[int]:
    """Return ports that nobody listens at."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
