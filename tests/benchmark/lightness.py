"""How light a command is beside its runs: processor seconds, in turn with an earlier checkout.

The goals are ratios to commit cd8af6c, of which `git worktree add EARLIER cd8af6c` makes a checkout.

| to change | see |
|---|---|
| a number of the table, its goal, what it means | MEASURES |
| what is measured | the function of its name, programs/ |
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmark.comparison import OURS, Comparison, Outcome, compare
from benchmark.measures import AtMost
from benchmark.processes import processor_seconds_of, run_program
from project import ROOT, Project

EARLIER = "earlier"
PUBLISHED = "fashion_mnist"  # the study of this project, which is complete
LOG = 130_000  # bytes of a log, as train.ipynb leaves it
FEW, MANY = 5, 105  # cheap runs: by what these take more, a hundred runs are measured
ROWS = 1_000_000  # of a history
RUNGS = """
halving:
  candidates: "*"
  metric: val_loss
  rungs: [{epochs: 20, keep: 500}, {epochs: 40, keep: 50}, {epochs: 40, replicates: 3}]
"""


class Side:
    """A project of one of the two checkouts, in which everything is measured that is measured of it."""

    def __init__(self, root: Path, checkout: Path) -> None:
        root.mkdir()
        self.project = Project(root, checkout)

    def study(self, name: str, template: str, rest: str) -> str:
        """Write a study of a template, without a summary; return its file."""
        notebooks = f"{{run: {template}, summary: null}}"
        if self.project.checkout != ROOT:  # there a study has no summary unless it names one
            notebooks = f"{{run: {template}}}"
        return self.project.study(f"notebooks: {notebooks}\n{rest}", name)

    def plant(self, name: str, runs: int, epochs: int, log: int = 0, rest: str = "") -> str:
        """Plant complete runs of a study of train.ipynb; return its file."""
        grid = f'grid: [{{name: "g_{{units}}", units: {list(range(1, runs + 1))}}}]'
        study = self.study(name, "train.ipynb", f"defaults: {{epochs: {epochs}}}\n{grid}\n{rest}")
        self.program("plant_runs.py", study, str(epochs), str(log))
        return study

    def program(self, name: str, *arguments: str) -> str:
        """Run a file of programs/ by the nbstudy of the checkout; return what it prints."""
        root = self.project.root
        return run_program(name, *arguments, cwd=root, PYTHONPATH=str(root))

    def command(self, *arguments: str) -> float:
        """Return the processor seconds of a command."""
        return processor_seconds_of(self.project.command(*arguments), self.project.root)


# --- what is measured: each of these prepares it, and returns what measures it once ---
Measuring = Callable[[], float]


def nothing_to_do(side: Side) -> Measuring:
    shutil.copytree(side.project.checkout / "outputs" / PUBLISHED, side.project.outputs(PUBLISHED))
    return partial(side.command, f"params/{PUBLISHED}.yaml")


def dry_run_of_10000(side: Side) -> Measuring:
    return partial(side.command, side.plant("complete", 10_000, epochs=200, log=LOG), "--dry-run")


def load_results_of_1000(side: Side) -> Measuring:
    side.plant("loaded", 1000, epochs=200)
    return lambda: float(side.program("load_results.py", "outputs/loaded"))


def second_look_at_2000(side: Side) -> Measuring:
    study = side.plant("looked_at", 2000, epochs=20, log=LOG, rest=RUNGS)
    return lambda: float(side.program("second_look.py", study))


def watching_a_million_rows(side: Side) -> Measuring:
    return lambda: float(side.program("watched_history.py", str(ROWS)))


def cheap_run(side: Side) -> Measuring:
    steps = list(range(1, MANY + 1))
    study = side.study("cheap", "tiny.ipynb", f'grid: [{{name: "run_{{steps}}", steps: {steps}}}]')
    few = [word for number in range(1, FEW + 1) for word in ("--only", f"run_{number}")]

    def measure() -> float:
        shutil.rmtree(side.project.outputs("cheap"), ignore_errors=True)
        before = side.command(study, "--jobs", "2", *few)
        return (side.command(study, "--jobs", "2") - before) / (MANY - FEW)

    return measure


@dataclass(frozen=True)
class Measure:
    """A number: a row of the table, a key of the JSON file."""

    prepare: Callable[[Side], Measuring]
    goal: AtMost  # times what the earlier checkout takes
    meaning: str

    @property
    def name(self) -> str:
        """What it is called."""
        return self.prepare.__name__


MEASURES = [
    Measure(nothing_to_do, AtMost(0.15), "a command with nothing to do, the published study"),
    Measure(dry_run_of_10000, AtMost(0.5), "a dry run of 10,000 complete runs, after the first one"),
    Measure(
        load_results_of_1000, AtMost(0.15), "load_results of 1,000 runs of 200 epochs, imports not counted"
    ),
    Measure(second_look_at_2000, AtMost(0.1), "to unfold 2,000 candidates that have not changed"),
    Measure(
        watching_a_million_rows, AtMost(0.01), "to look at a history of a million rows to which one was added"
    ),
    Measure(cheap_run, AtMost(0.58), "a run of two cells"),
]


def measure_lightness(earlier: Path, repetitions: int) -> dict[str, Comparison]:
    """Measure everything in both checkouts; return the comparisons by the measures' names."""
    comparisons = {}
    for measure in MEASURES:
        with tempfile.TemporaryDirectory() as root:
            ways = {}
            for name, checkout in {EARLIER: earlier.resolve(), OURS: ROOT}.items():
                once = measure.prepare(Side(Path(root) / name, checkout))
                once()  # compiles what is imported, and remembers what need not be found out again
                ways[name] = partial(outcome_of, once)
            comparisons[measure.name] = compare(ways, repetitions)
    return comparisons


def outcome_of(once: Measuring, _: Path) -> Outcome:
    """Return the outcome of measuring once."""
    return Outcome(once(), [])


def ratio_of(comparison: Comparison) -> float:
    """Return what this checkout takes, as a share of what the earlier one does."""
    return 1 / comparison.times_ours(EARLIER)
