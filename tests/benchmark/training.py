"""How fast the networks train: the limits, the original's way, a plain loop, and runner.py.

Figures of a round: `sgemm` and `tensorflow` (FLOP/s), the ways of training (seconds of an epoch by network),
`memory_c` and `memory_c_mixed` (GB), `saving` (a share of the training time).
"""

from __future__ import annotations

import json
import os
import statistics
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmark import networks
from benchmark.networks import NETWORKS
from benchmark.processes import run, run_program
from benchmark.watching import Watch, median_seconds, watching
from project import Project

CORES = os.cpu_count() or 1
SAVING_INTERVAL = 30  # seconds between two model.keras, at least


class Way(StrEnum):
    """A way to train the networks; its value is the key of its figures."""

    ORIGINAL = "a"  # one after another in one process, as the original did
    PLAIN_LOOP = "b"  # one after another in a loop of papermill over our template
    RUNNER = "c"  # by runner.py, a run a core
    RUNNER_MIXED = "c_mixed"  # the same in mixed_bfloat16
    ONE_JOB = "one"  # by runner.py, one run at a time on one core


def measure_training(project: Project, study: str) -> dict[str, Any]:
    """Measure every figure of the training once; leave the runs of the study complete.

    The project's template is edited, so that each run also notes what its saving takes.
    """
    time_saving(project)
    figures: dict[str, Any] = {
        Way.ORIGINAL: train_as_original(),
        Way.PLAIN_LOOP: train_in_plain_loop(project),
    }
    before = measure_limits()
    watch = train_by_runner(project, study)
    after = measure_limits()
    figures |= {name: (before[name] + after[name]) / 2 for name in before}
    figures[Way.RUNNER] = seconds_on_all_cores(watch)
    figures["memory_c"] = watch.peak_memory / 1e9
    watch = train_by_runner(project, study, "-p", "precision", "mixed_bfloat16")
    figures[Way.RUNNER_MIXED] = seconds_on_all_cores(watch)
    figures["memory_c_mixed"] = watch.peak_memory / 1e9
    figures["saving"] = share_of_saving(project, figures[Way.RUNNER])
    figures[Way.ONE_JOB] = train_on_one_core(project, study)
    return figures


def measure_limits() -> dict[str, float]:
    """Return the FLOP/s of large products on all cores.

    They are measured right before and right after what is held against them: a virtual machine can be a
    quarter slower for some minutes.
    """
    return {
        "sgemm": float(run_program("sgemm.py")),
        "tensorflow": float(run_program("tensorflow_product.py")),
    }


# --- the ways ---
def train_as_original() -> dict[str, float]:
    """Return the seconds of an epoch by network, trained as the original did."""
    ends = json.loads(run_program("original.py", networks.as_json()))
    return {name: median_seconds([ends[name]]) for name in NETWORKS}


def train_in_plain_loop(project: Project) -> dict[str, float]:
    """Return the seconds of an epoch by network, trained in a plain loop of papermill."""
    template = project.root / "notebooks" / "train.ipynb"
    loop = project.root / "loop"
    loop.mkdir()
    with watching(loop) as watch:
        run_program("plain_loop.py", networks.as_json(), str(template), cwd=loop)
    return seconds_of_epoch(watch)


def train_by_runner(project: Project, study: str, *options: str) -> Watch:
    """Return what was seen of a study that runner.py trained, a run a core."""
    with watching(project.outputs()) as watch:
        project.run(study, "--jobs", str(CORES), *options)
    return watch


def train_on_one_core(project: Project, study: str) -> dict[str, float]:
    """Return the seconds of an epoch by network, trained by runner.py one at a time on one core."""
    options = ["--jobs", "1", "--outputs", "one", "--only", "*_0"]
    with watching(project.root / "one") as watch:
        run(["taskset", "-c", "0", *project.command(study, *options)])
    return seconds_of_epoch(watch)


# --- what was seen of them ---
def seconds_of_epoch(watch: Watch) -> dict[str, float]:
    """Return the seconds of an epoch by network."""
    return {name: watch.seconds_of_epoch(name) for name in NETWORKS}


def seconds_on_all_cores(watch: Watch) -> dict[str, float]:
    """Return the seconds of an epoch by network where each core trains one: so many end in this time."""
    return {name: seconds / CORES for name, seconds in seconds_of_epoch(watch).items()}


def time_saving(project: Project) -> None:
    """Let a project's train.ipynb note in a file `saving` what each writing of its checkpoint takes."""
    write = "    write(partial)\n"
    replace = "    partial.replace(name)"
    note = (
        "\n    with open('saving', 'a') as file:\n        file.write(f'{name} {time.monotonic() - began}\\n')"
    )
    project.edit("train.ipynb", write, "    began = time.monotonic()\n" + write)
    project.edit("train.ipynb", replace, replace + note)


def share_of_saving(project: Project, seconds_of_epoch: dict[str, float]) -> float:
    """Return the largest share of the training time, of all networks, that goes into the checkpoint.

    history.csv is written every epoch, model.keras as often as time allows.
    """
    shares = []
    for name in NETWORKS:
        epoch = seconds_of_epoch[name] * CORES  # of one run
        saving = read_saving(project.outputs("mine", f"{name}_0", "saving"))
        share = saving["history.csv"] / epoch
        share += saving["model.keras"] / max(SAVING_INTERVAL, epoch)
        shares.append(share)
    return max(shares)


def read_saving(notes: Path) -> dict[str, float]:
    """Return the median seconds that writing each file of the checkpoint took in a run."""
    seconds: dict[str, list[float]] = {}
    for line in notes.read_text().splitlines():
        file, took = line.split()
        seconds.setdefault(file, []).append(float(took))
    return {file: statistics.median(took) for file, took in seconds.items()}
