"""This machine: its cores, GPUs and memory, and each run's share of them."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from nbstudy.host import claim, cores, cores_of_run, default_jobs, gpus
from project import TINY_STUDY, Project, read

TOGETHER = """
notebooks: {run: tiny.ipynb}
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


@pytest.mark.usefixtures("no_gpu")
def test_runs_at_a_time_are_as_many_as_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    have_memory(monkeypatch, 1e15)
    assert default_jobs() == len(cores())


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("available", [1.5e9, 1e8])
def test_runs_at_a_time_are_fewer_where_memory_is_short(
    monkeypatch: pytest.MonkeyPatch, available: float
) -> None:
    have_memory(monkeypatch, available)  # one run fits, or not even one
    assert default_jobs() == 1


@pytest.mark.usefixtures("three_gpus")
def test_runs_at_a_time_are_as_many_as_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_jobs() == 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert default_jobs() == 2


@pytest.mark.usefixtures("three_gpus")
def test_command_takes_the_runs_at_a_time_that_fit_or_are_asked_for(project: Project) -> None:
    study = project.study(TINY_STUDY)
    assert " 3 at a time" in project.run(study, "--dry-run")
    assert " 5 at a time" in project.run(study, "--dry-run", "--jobs", "5")


# --- shares ---
def meet_and_tell(project: Project, expression: str, runs: int) -> None:
    """Let runs wait for each other, then write what an expression gives in them into result.json."""
    meeting = project.root / "meeting"
    meeting.mkdir()
    project.edit(
        "tiny.ipynb",
        'Path("result.json").write_text(json.dumps({"text": text}))',
        f"import os\nmeeting = Path({str(meeting)!r})\n"
        "(meeting / Path.cwd().parent.name).touch()\n"
        f"while len(list(meeting.iterdir())) < {runs}:\n    time.sleep(0.05)\n"
        f'Path("result.json").write_text(json.dumps({expression}))',
    )


def results(project: Project, names: str) -> list[Any]:
    """Return what result.json says in runs with names of one letter."""
    return [read(project.outputs("mine", name, "result.json")) for name in names]


@pytest.mark.usefixtures("three_gpus")
def test_each_run_has_a_gpu_of_its_own(project: Project) -> None:
    told = "[os.environ['CUDA_VISIBLE_DEVICES'], os.environ['TF_FORCE_GPU_ALLOW_GROWTH']]"
    meet_and_tell(project, told, runs=3)
    project.run(project.study(TOGETHER))
    assert sorted(results(project, "abc")) == [[gpu, "true"] for gpu in GPUS]


@pytest.fixture
def two_free_cores() -> None:
    """Two or more cores or no test, none of them claimed by another study's run on this machine."""
    if len(cores()) < 2:
        pytest.skip("needs two cores")
    with ExitStack() as claims:
        names = [f"core {core}" for core in cores()]
        if claim(names, len(names), claims) != names:
            pytest.skip("another study is running on this machine's cores")


@pytest.mark.usefixtures("two_free_cores")
def test_each_run_has_cores_of_its_own(project: Project) -> None:
    meet_and_tell(project, "[sorted(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS']]", runs=2)
    project.run(project.study(TOGETHER), "--only", "[ab]", "--jobs", "2")
    (one, threads), (other, _) = results(project, "ab")
    assert len(one) == len(other) == int(threads) == len(cores()) // 2 == cores_of_run(2)
    assert not set(one) & set(other)
    project.run("params/mine.yaml", "--only", "c", "--jobs", "1")
    assert results(project, "c") == [[cores(), str(len(cores()))]]
