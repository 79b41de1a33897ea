"""How light a command is beside its runs: seconds in turn with an earlier checkout, and how the page grows with the runs.

The goals are ratios to commit cd8af6c, of which `git worktree add EARLIER cd8af6c` makes a checkout. Where nothing else is
said, seconds are the processor's, which a machine with other things to do hardly changes.

| to change | see |
|---|---|
| a number of the table, its goal, what it means | MEASURES |
| what is measured | the function of its name, programs/ |
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmark.cheap_runs import cheap_grid
from benchmark.comparison import OURS, Comparison, Outcome, compare
from benchmark.measures import AtMost
from benchmark.networks import NETWORKS
from benchmark.processes import processor_seconds_of, run, run_program
from benchmark.watching import Watch, watching
from project import ROOT, Project

EARLIER = "earlier"
PUBLISHED = "fashion_mnist"  # the study of this project, which is complete
LOG = 130_000  # bytes of a log, as train.ipynb leaves it
FEW, MANY = 5, 105  # cheap runs: by what these take more, a hundred runs are measured
ROWS = 1_000_000  # of a history
NETWORK = "5x128"
SHORT, LONG = 2, 12  # epochs: by what these take more, ten epochs are measured
SEEDS = 4  # of runs whose beginnings are measured, one after another
EPOCHS_SHOWN = 100  # of each run of which a page tells
GROWTH = (100, 1000, 10_000)  # runs of which a page tells; the goals are of the last
SECONDS_OF_PAGE, MEGABYTES_OF_PAGE = AtMost(25), AtMost(700)
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

    def study(self, name: str, template: str, rest: str, summary: str = "null") -> str:
        """Write a study of a template; return its file. Without a summary, unless one is named."""
        notebooks = f"{{run: {template}, summary: {summary}}}"
        if self.project.checkout != ROOT and summary == "null":  # there a study has none unless it names one
            notebooks = f"{{run: {template}}}"
        return self.project.study(f"notebooks: {notebooks}\n{rest}", name)

    def plant(
        self, name: str, grid: str, epochs: int, log: int = 0, rest: str = "", summary: str = "null"
    ) -> str:
        """Plant complete runs of a study of train.ipynb; return its file."""
        configurations = f"defaults: {{epochs: {epochs}}}\ngrid: [{grid}]\n{rest}"
        study = self.study(name, "train.ipynb", configurations, summary)
        self.program("plant_runs.py", study, str(epochs), str(log))
        return study

    def train(self, study: str, *arguments: str) -> Watch:
        """Return what was seen of the runs of a study that one after another are trained anew."""
        outputs = self.project.outputs(Path(study).stem)
        shutil.rmtree(outputs, ignore_errors=True)
        with watching(outputs, every=0.02) as watch:
            run(self.project.command(study, "--jobs", "1", *arguments), self.project.root)
        return watch

    def program(self, name: str, *arguments: str) -> str:
        """Run a file of programs/ by the nbstudy of the checkout; return what it prints."""
        root = self.project.root
        return run_program(name, *arguments, cwd=root, PYTHONPATH=str(root))

    def command(self, *arguments: str) -> float:
        """Return the processor seconds of a command."""
        return processor_seconds_of(self.project.command(*arguments), self.project.root)


def widths(runs: int) -> str:
    """Return a grid of so many widths."""
    return f'{{name: "g_{{units}}", units: {list(range(1, runs + 1))}}}'


def many_factors(runs: int) -> str:
    """Return grids of so many runs, hundreds of them: nine tenths that differ in three parameters, the others in their seeds."""
    units, dropouts = list(range(10, 101, 10)), [step / 20 for step in range(9)]
    penalties = [step / runs for step in range(1, runs // 100 + 1)]
    differ = (
        f'{{name: "u{{units}}_l{{l2}}_d{{dropout}}", units: {units}, l2: {penalties}, dropout: {dropouts}}}'
    )
    return f'{differ}, {{name: "best_{{seed}}", units: 100, seed: {list(range(1, runs // 10 + 1))}}}'


# --- what is measured: each of these prepares it, and returns what measures it once ---
Measuring = Callable[[], float]


def nothing_to_do(side: Side) -> Measuring:
    shutil.copytree(side.project.checkout / "outputs" / PUBLISHED, side.project.outputs(PUBLISHED))
    return partial(side.command, f"params/{PUBLISHED}.yaml")


def dry_run_of_10000(side: Side) -> Measuring:
    return partial(side.command, side.plant("complete", widths(10_000), epochs=200, log=LOG), "--dry-run")


def load_results_of_1000(side: Side) -> Measuring:
    side.plant("loaded", widths(1000), epochs=200)
    return lambda: float(side.program("load_results.py", "outputs/loaded"))


def second_look_at_2000(side: Side) -> Measuring:
    study = side.plant("looked_at", widths(2000), epochs=20, log=LOG, rest=RUNGS)
    return lambda: float(side.program("second_look.py", study))


def watching_a_million_rows(side: Side) -> Measuring:
    return lambda: float(side.program("watched_history.py", str(ROWS)))


def cheap_run(side: Side) -> Measuring:
    study = side.study("cheap", "tiny.ipynb", cheap_grid(MANY))
    few = [word for number in range(1, FEW + 1) for word in ("--only", f"run_{number}")]

    def measure() -> float:
        shutil.rmtree(side.project.outputs("cheap"), ignore_errors=True)
        before = side.command(study, "--jobs", "2", *few)
        return (side.command(study, "--jobs", "2") - before) / (MANY - FEW)

    return measure


def page(runs: int, side: Side) -> Measuring:
    study = side.plant("told", many_factors(runs), epochs=EPOCHS_SHOWN, summary="summary.ipynb")

    def measure() -> float:
        side.project.outputs("told", "summary.ipynb").unlink(missing_ok=True)
        return side.command(study)

    return measure


def page_of_1000(side: Side) -> Measuring:
    return page(1000, side)


def page_of_5000(side: Side) -> Measuring:
    return page(5000, side)


def training_study(side: Side, epochs: int) -> str:
    """Write a study of some seeds of a network; return its file."""
    network = NETWORKS[NETWORK]
    layers = f"hidden_layers: {network.hidden_layers}, units: {network.units}, epochs: {epochs}"
    grid = f'{{name: "{NETWORK}_{{seed}}", seed: {list(range(SEEDS))}, {layers}}}'
    return side.study(f"trained_{epochs}", "train.ipynb", f"grid: [{grid}]")


def first_step(side: Side) -> Measuring:
    study = training_study(side, SHORT)

    def measure() -> float:
        watch = side.train(study)
        return statistics.median(watch.seconds_to_first_step(name) for name in in_order(watch)[1:])

    return measure


def first_run(side: Side) -> Measuring:
    study = training_study(side, SHORT)

    def measure() -> float:
        began = time.time()
        watch = side.train(study, "--only", f"{NETWORK}_0", "--only", f"{NETWORK}_1")
        first, second = in_order(watch)
        until_first = watch.begun[first] - began + watch.seconds_to_first_step(first)
        return until_first - watch.seconds_to_first_step(second)

    return measure


def in_order(watch: Watch) -> list[str]:
    """Return the names of runs as they began."""
    return sorted(watch.begun, key=lambda name: watch.begun[name])


def epoch(side: Side) -> Measuring:
    studies = [training_study(side, epochs) for epochs in (SHORT, LONG)]

    def measure() -> float:
        took = []
        for study in studies:
            shutil.rmtree(side.project.outputs(Path(study).stem), ignore_errors=True)
            took.append(side.command(study, "--jobs", "1", "--only", f"{NETWORK}_0"))
        return (took[1] - took[0]) / (LONG - SHORT)

    return measure


@dataclass(frozen=True)
class Measure:
    """A number: a row of the table, a key of the JSON file."""

    prepare: Callable[[Side], Measuring]
    goal: AtMost | None  # times what the earlier checkout takes
    meaning: str

    @property
    def name(self) -> str:
        """What it is called."""
        return self.prepare.__name__


MEASURES = [
    Measure(nothing_to_do, AtMost(0.15), "a command with nothing to do, the published study"),
    Measure(dry_run_of_10000, AtMost(0.5), "a dry run of 10,000 complete runs, after the first one"),
    Measure(load_results_of_1000, AtMost(0.15), "load_results of 1,000 runs of 200 epochs, without imports"),
    Measure(page_of_1000, AtMost(0.3), "the page of 1,000 runs, as a whole command"),
    Measure(page_of_5000, AtMost(0.3), "the page of 5,000 runs"),
    Measure(cheap_run, AtMost(0.58), "a run of two cells"),
    Measure(first_step, AtMost(0.52), f"until a run of {NETWORK} takes its first step, of the clock"),
    Measure(first_run, None, "how much more that is from the start of a command, of the clock"),
    Measure(second_look_at_2000, AtMost(0.1), "to unfold 2,000 candidates that have not changed"),
    Measure(watching_a_million_rows, AtMost(0.01), "to look at a history of a million rows and one more"),
    Measure(epoch, AtMost(0.91), f"an epoch of {NETWORK}"),
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


# --- how the page grows ---
@dataclass(frozen=True)
class Growth:
    """What the page of so many runs takes."""

    runs: int
    seconds: float  # of the clock, of a command that makes it
    megabytes: float  # of the largest process


def measure_growth() -> list[Growth]:
    """Measure once what the pages of ever more runs take here."""
    return [growth_at(runs) for runs in GROWTH]


def growth_at(runs: int) -> Growth:
    """Measure what the page of so many runs takes."""
    with tempfile.TemporaryDirectory() as root:
        side = Side(Path(root) / OURS, ROOT)
        study = side.plant("told", many_factors(runs), epochs=EPOCHS_SHOWN, summary="summary.ipynb")
        began = time.perf_counter()
        kilobytes = int(run_program("peak_memory.py", *side.project.command(study), cwd=side.project.root))
        return Growth(runs, time.perf_counter() - began, kilobytes * 1024 / 1e6)
