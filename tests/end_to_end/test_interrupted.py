"""Tests that are interrupted: nothing of theirs goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from project import ROOT, Project, all_end, ended_with_the_tests, wait_for

# a test that waits for ever, with a cluster and a runner
SUITE = """
import sys, time
from pathlib import Path
from clusters import Cluster
from project import TINY_STUDY, Project

cluster = Cluster(Path.cwd() / "cluster")
cluster.worker()
project = Project(Path.cwd())
project.hold_before_step(1)
project.start(project.study(TINY_STUDY), "--scheduler", cluster.address)
while not list(Path.cwd().glob("outputs/mine/incomplete/*/1")):
    time.sleep(0.05)
Path("begun").touch()
time.sleep(10**6)
"""


@pytest.mark.skipif(not ended_with_the_tests(), reason="needs Linux and setpriv")
def test_nothing_of_a_killed_test_goes_on(project: Project) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)])}
    suite = subprocess.Popen(
        [*ended_with_the_tests("KILL"), sys.executable, "-c", SUITE],
        cwd=project.root,
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: Path(project.root, "begun").exists() or suite.poll() is not None)
    family = psutil.Process(suite.pid).children(recursive=True)
    assert len(family) >= 4  # scheduler, worker, its warm process, runner
    suite.kill()  # which leaves no time for any fixture
    suite.wait()
    assert all_end(family)
