"""Where runs go: workers that the command starts over ssh, here by a real sshd on the loopback device."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from project import Project, ended_with_the_tests, rows, wait_for
from slurm_node import free_ports

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
FOUR = """
notebooks: {run: tiny.ipynb, summary: null}
defaults: {steps: 4, seconds: 0.1}
configurations: {a: , b: , c: , d: }
"""


@dataclass
class Sshd:
    """A server that lets in who has its key."""

    port: int
    root: Path
    process: psutil.Process

    def cluster(self, *hosts: str, cores: int = 1) -> str:
        """Return a file for these hosts."""
        connect = {
            "port": self.port,
            "username": getpass.getuser(),
            "client_keys": [str(self.root / "user")],
            "known_hosts": str(self.root / "known_hosts"),
        }
        words = {"hosts": list(hosts), "cores": cores, "connect_options": connect}
        return json.dumps({"ssh": words | {"scheduler_options": {"host": "127.0.0.1"}}})


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """An sshd on the loopback device, with keys of its own."""
    if not Path(SSHD).exists() or not shutil.which("ssh-keygen") or os.geteuid():
        pytest.skip("needs root and openssh-server")
    Path("/run/sshd").mkdir(exist_ok=True)
    root = tmp_path / "ssh"
    root.mkdir(mode=0o700)
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)]
        subprocess.run(command, check=True)
    shutil.copy(root / "user.pub", root / "authorized_keys")
    (port,) = free_ports(1)
    key = " ".join((root / "host.pub").read_text().split()[:2])
    (root / "known_hosts").write_text(f"[127.0.0.1]:{port},[localhost]:{port} {key}\n")
    options = {
        "ListenAddress": "127.0.0.1",
        "Port": port,
        "HostKey": root / "host",
        "AuthorizedKeysFile": root / "authorized_keys",
        "PidFile": root / "pid",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
    }
    (root / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    command = [*ended_with_the_tests("KILL"), SSHD, "-D", "-e", "-f", str(root / "sshd_config")]
    with (root / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    wait_for(lambda: "Server listening" in (root / "log").read_text())
    yield Sshd(port, root, psutil.Process(process.pid))
    process.kill()
    process.wait()


def test_study_runs_on_a_host_over_ssh(project: Project, sshd: Sshd) -> None:
    (project.root / "cluster.yaml").write_text(sshd.cluster("127.0.0.1", cores=2))
    gate = project.hold_before_step(3)
    runner = project.start(project.study(FOUR), "--cluster", "cluster.yaml")
    wait_for(lambda: all(rows(project.attempt(name) / "history.csv") == 2 for name in "ab"))
    key = project.outputs("mine", ".cluster", "key.pem")
    secret = key.read_text().splitlines()[1]
    listed = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert any(str(key) in line for line in listed) and not any(secret in line for line in listed)
    family = sshd.process.children(recursive=True)
    gate.touch()
    printed = runner.finish()
    assert all(f"{name}: 4 epochs" in printed for name in "abcd")
    assert re.search(r"^cluster: 1 worker, 0\.\d\d core hours$", printed, re.MULTILINE), printed
    assert family and not psutil.wait_procs(family, timeout=60)[1]
    assert not key.parent.exists()


def test_worker_that_is_killed_is_started_again(project: Project, sshd: Sshd) -> None:
    (project.root / "cluster.yaml").write_text(sshd.cluster("127.0.0.1"))
    gate = project.hold_before_step(3)
    runner = project.start(project.study(FOUR), "--only", "a", "--cluster", "cluster.yaml")
    wait_for(lambda: rows(project.attempt("a") / "history.csv") == 2)
    for process in sshd.process.children(recursive=True):
        if "distributed.cli.dask_spec" in process.cmdline() and process.name() != "sh":
            process.kill()
    wait_for(lambda: "the worker on 127.0.0.1 is gone: a starts over elsewhere" in runner.printed())
    gate.touch()
    printed = runner.finish()
    assert "a: 4 epochs" in printed and "cluster: 2 workers" in printed, printed


def test_host_that_cannot_be_reached_is_said(project: Project, sshd: Sshd) -> None:
    (project.root / "cluster.yaml").write_text(sshd.cluster("nowhere.invalid"))
    printed = project.run(project.study(FOUR), "--cluster", "cluster.yaml", status=2)
    assert "no host can be used: nowhere.invalid: " in printed and "Traceback" not in printed, printed


def test_another_host_takes_the_runs_of_one_that_cannot_be_reached(project: Project, sshd: Sshd) -> None:
    (project.root / "cluster.yaml").write_text(sshd.cluster("nowhere.invalid", "127.0.0.1"))
    printed = project.run(project.study(FOUR), "--only", "a", "--cluster", "cluster.yaml")
    assert "nowhere.invalid has no worker: " in printed and "a: 4 epochs" in printed, printed
