"""The file of `--cluster`: what it says, and how Slurm's words are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbstudy.checks import StudyError
from nbstudy.execution.cluster_file import read_cluster_file
from project import ROOT


@pytest.mark.parametrize("name", ["slurm.yaml", "ssh.yaml"])
def test_examples_can_be_read(name: str) -> None:
    assert read_cluster_file(ROOT / "clusters" / name, 1).most > 1


@pytest.mark.parametrize(("threads", "slots"), [(1, 8), (3, 2), (4, 2), (8, 1)])
def test_a_slot_is_a_runs_threads(threads: int, slots: int) -> None:
    assert read_cluster_file(ROOT / "clusters" / "slurm.yaml", threads).slots == slots


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ssh: {hosts: [a, a], cores: 1}", "each there once"),
        ("ssh: {hosts: [], cores: 1}", "names no host"),
        ("ssh: {hosts: [a], cores: 1}\njobs: 2", "jobs: is for a queue"),
        ("slurm: {cores: many, memory: 1 GB}\njobs: 2", "cores: must be a whole number above 0"),
        ("slurm: {cores: 1, memory: 1 GB}\njobs: 0", "jobs: must be a whole number above 0"),
        ("slurm: {cores: 1, memory: 1 GB, processes: 2}\njobs: 1", "unknown name 'processes'"),
        (
            "slurm: {cores: 1, memory: 1 GB, job_script_prologue: module load}\njobs: 1",
            "prologue: must be a list",
        ),
        ("ssh: {hosts: [a], cores: 1, connect_options: me}", "connect_options: must be a mapping"),
        ("[]", "must be a mapping"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    with pytest.raises(StudyError, match=said):
        read_cluster_file(file, 1)
    with pytest.raises(StudyError, match="cannot be read"):
        read_cluster_file(tmp_path / "none.yaml", 1)
