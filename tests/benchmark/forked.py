"""What forked kernels are good for: how soon a run begins beside others, its memory, a quick look at the study.

Figures of a round: `first_cell` and `first_step` of a run (s), `memory_more` of one more run (GB), `quick_look` and
`quick_look_plain` (s), the same where each run imports its libraries itself.
"""

from __future__ import annotations

import statistics
from datetime import datetime
from pathlib import Path

import nbformat

from benchmark.networks import NETWORKS
from benchmark.processes import timed
from benchmark.training import CORES
from benchmark.watching import Watch, watching
from project import PLAIN, WHY_PLAIN, Project

RUNS = 4 * CORES  # all but the first of which begin while others run


def measure_forked(project: Project) -> dict[str, float]:
    """Measure every figure once, in a project whose train.ipynb is as it is published."""
    with watching(project.outputs("seeds"), every=0.05) as watch:
        project.run(write_study(project), "--jobs", str(CORES))
    figures = {
        "first_cell": statistics.median(seconds_to_first_cells(watch)),
        "first_step": statistics.median([watch.seconds_to_first_step(name) for name in begun_beside(watch)]),
        "memory_more": watch.peak_share / 1e9,
    }
    return figures | measure_quick_looks(project)


def measure_quick_looks(project: Project) -> dict[str, float]:
    """Take a quick look at the study with forked kernels, and one with kernels that import everything themselves."""
    figures = {"quick_look": quick_look(project, is_forked=True)}
    project.edit("train.ipynb", "import json\n", f"{PLAIN}import json\n")
    figures["quick_look_plain"] = quick_look(project, is_forked=False)
    project.edit("train.ipynb", PLAIN, "")
    return figures


def quick_look(project: Project, is_forked: bool) -> float:
    """Return the seconds of a quick look at the study; raise RuntimeError where its kernels are not as expected."""
    directory = "forked" if is_forked else "plain"
    command = project.command("params/fashion_mnist.yaml", "-p", "epochs", "3", "--outputs", directory)
    seconds, printed = timed(command)
    if (WHY_PLAIN in printed) == is_forked:
        message = f"the kernels of the quick look were not {directory}:\n{printed}"
        raise RuntimeError(message)
    return seconds


def write_study(project: Project) -> str:
    """Write a study of the network 5x128 with as many seeds as runs; return its file."""
    network = NETWORKS["5x128"]
    return project.study(
        f"""
        notebooks: {{run: train.ipynb, summary: null}}
        defaults: {{hidden_layers: {network.hidden_layers}, units: {network.units}, epochs: {network.epochs}}}
        grid: [{{name: "seed_{{seed}}", seed: {list(range(RUNS))}}}]
        """,
        "seeds",
    )


def begun_beside(watch: Watch) -> list[str]:
    """Return the names of the runs that began while others were running."""
    return sorted(watch.begun, key=lambda name: watch.begun[name])[CORES:]


def seconds_to_first_cells(watch: Watch) -> list[float]:
    """Return the seconds from the beginning of each such run to its first cell."""
    seconds = []
    for name in begun_beside(watch):
        seconds.append(start_of_first_cell(watch.root / name / f"{name}.ipynb") - watch.begun[name])
    return seconds


def start_of_first_cell(log: Path) -> float:
    """Return when the kernel of a log began its first cell, in seconds since 1970."""
    for cell in nbformat.read(log, as_version=4).cells:
        if cell.cell_type == "code":
            begun = cell.metadata.execution["iopub.execute_input"]
            return datetime.fromisoformat(begun).timestamp()
    message = f"{log} has no code"
    raise ValueError(message)
