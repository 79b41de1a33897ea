"""Measure, side by side in one run, how fast the study is, and against what.

    python tests/benchmark --json FILE [--rounds 3]

Four networks stand for the whole study: each of its configurations counts as the one whose epoch costs most
nearly the same. They are trained (a) as the original did it, one after another in one process with Keras's
defaults; (b) in a plain loop of papermill over our template; (c) by runner.py, two of each so that the cores
have the same to do, in float32 and in mixed_bfloat16; and compared with (d) the limit: their matrix products
at the rate of sgemm on all cores together. Then come what a run and a command take beside training, two
hundred cheap runs here and on Dask, and the summary of a thousand runs. All figures but those of the last two are
medians of the rounds. About seven minutes a round on two cores, and three at the end; nothing else may run.

| to change | see |
|---|---|
| a number of the report, its goal, what it means | measures.py |
| how something is measured | training.py, startup.py, cheap_runs.py, many_runs_page.py |
| the networks | networks.py |
| what is compared with | programs/, a file each |
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for nbstudy: of this checkout
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for project, clusters and this folder

from benchmark import networks, report
from benchmark.cheap_runs import measure_cheap_runs
from benchmark.many_runs_page import measure_page
from benchmark.measures import MEASURES, Measured, Rounds
from benchmark.startup import measure_startup
from benchmark.training import measure_training
from project import Project


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(
        prog="python tests/benchmark", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many; default: 3")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all numbers here")
    arguments = parser.parse_args()

    rounds = Rounds([measure_round() for _ in range(arguments.rounds)])
    report.print_ways(rounds)
    measured = Measured(rounds.figures, measure_cheap_runs(), measure_page())
    values = {measure.name: measure.compute(measured) for measure in MEASURES}
    report.print_measures(values)
    if arguments.json:
        content = values | {"rounds": rounds.figures}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


def measure_round() -> dict[str, Any]:
    """Measure all but the cheap runs once; return the figures by their keys."""
    with tempfile.TemporaryDirectory() as root:
        project = Project(Path(root))
        study = project.study(networks.as_study())
        return measure_training(project, study) | measure_startup(project, study)


if __name__ == "__main__":
    main()
