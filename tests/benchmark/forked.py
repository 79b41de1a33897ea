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
from benchmark.processes import seconds_of
from benchmark.training import CORES
from benchmark.watching import Watch, watching
from project import Project

RUNS = 4 * CORES  # all but the first of which begin while others run
# an import that fails, in a cell of the template that decides no result
PLAIN = "try:\n    import no_such_library\nexcept ImportError:\n    pass\nimport json\n"


def measure_forked(project: Project) -> dict[str, float]:
    """Measure every figure once, in a project whose train.ipynb is as it is published."""
    with watching(project.outputs("seeds"), every=0.05) as watch:
        project.run(write_study(project), "--jobs", str(CORES))
    figures = {
        "first_cell": statistics.median(seconds_to_first_cells(watch)),
        "first_step": statistics.median([watch.seconds_to_first_step(name) for name in begun_beside(watch)]),
        "memory_more": watch.peak_share / 1e9,
    }
    quick_look = ["params/fashion_mnist.yaml", "-p", "epochs", "3", "--outputs"]
    figures["quick_look"] = seconds_of(project.command(*quick_look, "forked"))
    project.edit("train.ipynb", "import json\n", PLAIN)
    figures["quick_look_plain"] = seconds_of(project.command(*quick_look, "plain"))
    project.edit("train.ipynb", PLAIN, "import json\n")
    return figures


def write_study(project: Project) -> str:
    """Write a study of the network 5x128 with as many seeds as runs; return its file."""
    network = NETWORKS["5x128"]
    return project.study(
        f"""
        notebooks: {{run: train.ipynb}}
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
