"""Measure, side by side in one run, how fast the study is, and against what.

    python tests/benchmark --json FILE [--rounds 3]
    python tests/benchmark --peers --json FILE [--rounds 3]
    python tests/benchmark --earlier CHECKOUT --json FILE [--rounds 3]

Four networks stand for the whole study: each of its configurations counts as the one whose epoch costs most
nearly the same. They are trained (a) as the original did it, one after another in one process with Keras's
defaults; (b) in a plain loop of papermill over our template; (c) by runner.py, two of each so that the cores
have the same to do, in float32 and in mixed_bfloat16; and compared with (d) the limit: their matrix products
at the rate of sgemm on all cores together. Then come what a run and a command take beside training, two
hundred cheap runs here and on Dask, and the summary of a thousand runs. All figures but those of the last two are
medians of the rounds. About sixteen minutes a round on two cores, and two at the end; nothing else may run.

With --peers other things are measured, and only these: what people would use instead of runner.py. Eight runs
of one network, by runner.py, Ray Tune, KerasTuner, Optuna and a plain loop of papermill; then two hundred cheap
runs and the whole study at three epochs, by runner.py and the loop. All take turns, and the time is that of the
whole command; the tables show medians. Each peer is first installed in its newest release from PyPI, which
takes about ten minutes and 11 GB of temporary files; then a round takes about 30 minutes. In its quick look
runner.py also verifies the data and executes the summary, which the loop does without.

With --earlier only this is measured: what a command takes beside its runs, in turn with another checkout, and what the pages
of 100, 1,000 and 10,000 runs take. Three quarters of an hour, 4 GB of temporary files.

| to change | see |
|---|---|
| a number of the report, its goal, what it means | measures.py |
| how something is measured | training.py, startup.py, forked.py, cheap_runs.py, many_runs_page.py |
| the networks | networks.py |
| what is compared with an earlier checkout | lightness.py |
| the peers, how they are installed and compared | peers.py, environments.py, comparison.py |
| what is compared with | programs/, a file each |
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for nbstudy: of this checkout
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for project, clusters and this folder

from benchmark import networks, report
from benchmark.cheap_runs import measure_cheap_runs
from benchmark.forked import measure_forked
from benchmark.lightness import measure_growth, measure_lightness
from benchmark.many_runs_page import measure_page
from benchmark.measures import MEASURES, Measured, Rounds
from benchmark.peers import measure_peers
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
    parser.add_argument("--peers", action="store_true", help="measure what people would use instead")
    parser.add_argument("--earlier", type=Path, metavar="CHECKOUT", help="compare with another checkout")
    arguments = parser.parse_args()

    if arguments.earlier:
        comparisons = measure_lightness(arguments.earlier, arguments.rounds)
        report.print_lightness(comparisons)
        growth = measure_growth()
        report.print_growth(growth)
        content: dict[str, Any] = {name: asdict(comparison) for name, comparison in comparisons.items()}
        content["growth"] = [asdict(page) for page in growth]
    elif arguments.peers:
        peers = measure_peers(arguments.rounds)
        report.print_peers(peers)
        content = peers.as_json()
    else:
        content = measure_all(arguments.rounds)
    if arguments.json:
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


def measure_all(repetitions: int) -> dict[str, Any]:
    """Measure everything but the peers, print it; return all numbers."""
    rounds = Rounds([measure_round() for _ in range(repetitions)])
    report.print_ways(rounds)
    measured = Measured(rounds.figures, measure_cheap_runs(), measure_page())
    values = {measure.name: measure.compute(measured) for measure in MEASURES}
    report.print_measures(values)
    return values | {"rounds": rounds.figures}


def measure_round() -> dict[str, Any]:
    """Measure all but the cheap runs once; return the figures by their keys."""
    with tempfile.TemporaryDirectory() as root:
        project = Project(Path(root))
        forked = measure_forked(project)
        study = project.study(networks.as_study())
        return forked | measure_training(project, study) | measure_startup(project, study)


if __name__ == "__main__":
    main()
