"""How long runner.py takes for a whole command, and what people would use instead of it.

Each peer is installed in its newest release into an environment of its own, and trains the same networks in
plain Keras, with all cores at its disposal in the way that its documentation describes and that is the
fastest. Its program in programs/ says which that is.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmark.comparison import OURS, Comparison, Outcome, Way, compare
from benchmark.environments import make_environment, versions_of
from benchmark.measures import AtLeast
from benchmark.processes import PROGRAMS, timed
from nbstudy.study.study import load_study
from project import ROOT, Project

SEEDS, EPOCHS = 8, 30  # of the network that all train
NETWORK = {"hidden_layers": 5, "units": 128, "l2": 0.001, "batch_size": 512}  # model_4; see network.py
CHEAP_RUNS = 200
QUICK_EPOCHS = 3  # of the quick look at the whole study
STUDY = "params/fashion_mnist.yaml"
LOOP = "papermill loop"
GOAL = AtLeast(2.2)  # times as long as runner.py: the fastest peer for the network


@dataclass(frozen=True)
class Peer:
    """What people would use instead of runner.py."""

    packages: tuple[str, ...]  # as pip calls them
    program: str  # of programs/


PEERS = {
    "Ray Tune": Peer(("ray[tune]",), "ray_tune.py"),
    "KerasTuner": Peer(("keras-tuner", "tensorboard"), "keras_tuner_grid_search.py"),
    "Optuna": Peer(("optuna",), "optuna_grid_sampler.py"),
    LOOP: Peer(("papermill", "ipykernel", "matplotlib"), "plain_loop.py"),
}


@dataclass(frozen=True)
class Work:
    """Runs to make: of which template, with which parameters, and what runner.py is told to make them."""

    template: str
    configurations: dict[str, dict[str, Any]]
    arguments: tuple[str, ...] = ("params/mine.yaml",)  # a study of these configurations

    def study(self) -> str:
        """Return the text of a study file, without a summary, which no peer makes."""
        notebooks = f"{{run: {self.template}, summary: null}}"
        return f"notebooks: {notebooks}\nconfigurations: {json.dumps(self.configurations)}\n"


@dataclass(frozen=True)
class Peers:
    """All that was measured."""

    versions: dict[str, dict[str, str]]  # by peer and package
    network: Comparison  # one network with some seeds, by runner.py and all peers
    many_runs: dict[str, Comparison]  # by what was run, by runner.py and the papermill loop

    def as_json(self) -> dict[str, Any]:
        """Return all of it as a JSON file keeps it."""
        fastest = self.network.fastest_peer()
        return {
            "fastest_peer": fastest,
            "times_fastest_peer": self.network.times_ours(fastest),
            **asdict(self),
        }


def measure_peers(repetitions: int) -> Peers:
    """Install the peers, and measure all of them so many times."""
    with tempfile.TemporaryDirectory() as root:
        pythons = install(Path(root), PEERS)
        return Peers(
            {name: versions_of(python, PEERS[name].packages) for name, python in pythons.items()},
            compare_network(pythons, repetitions),
            compare_many_runs(pythons[LOOP], repetitions),
        )


def install(root: Path, names: Iterable[str]) -> dict[str, Path]:
    """Make the environments of some peers in a directory, or renew what is there; return their Pythons."""
    pythons = {}
    for name in names:
        pythons[name] = make_environment(root / name.replace(" ", "_"), PEERS[name].packages)
    return pythons


# --- what is compared ---
def compare_network(
    pythons: dict[str, Path], repetitions: int, seeds: int = SEEDS, epochs: int = EPOCHS
) -> Comparison:
    """Compare the training of the network with some seeds, by runner.py and by the peers of these Pythons."""
    ways: dict[str, Way] = {OURS: partial(make_by_runner, network_work(seeds, epochs))}
    for name, python in pythons.items():
        if name == LOOP:
            ways[name] = partial(make_by_loop, network_work(seeds, epochs), python)
        else:
            ways[name] = partial(train_by_peer, PEERS[name], python, seeds, epochs)
    return compare(ways, repetitions)


def compare_many_runs(python: Path, repetitions: int) -> dict[str, Comparison]:
    """Compare many cheap runs, and a quick look at the study, by runner.py and by papermill of this Python.

    In its quick look runner.py also verifies the data and executes the summary.
    """
    works = {
        f"{CHEAP_RUNS} runs of a notebook of two cells": cheap_work(),
        f"the study at {QUICK_EPOCHS} epochs": quick_work(),
    }
    comparisons = {}
    for what, work in works.items():
        ways: dict[str, Way] = {
            OURS: partial(make_by_runner, work),
            LOOP: partial(make_by_loop, work, python),
        }
        comparisons[what] = compare(ways, repetitions)
    return comparisons


def network_work(seeds: int, epochs: int) -> Work:
    """Return the runs of the network that all train."""
    configurations = {}
    for seed in range(seeds):
        configurations[f"seed_{seed}"] = NETWORK | {"epochs": epochs, "seed": seed}
    return Work("train.ipynb", configurations)


def cheap_work() -> Work:
    """Return runs of a template of two cells without TensorFlow: they take what a run takes by itself."""
    numbers = range(1, CHEAP_RUNS + 1)
    return Work("tiny.ipynb", {f"run_{number}": {"steps": 1, "text": str(number)} for number in numbers})


def quick_work() -> Work:
    """Return the runs of the whole study at few epochs."""
    epochs = str(QUICK_EPOCHS)
    study = load_study(ROOT / STUDY, [("epochs", epochs)])
    return Work("train.ipynb", study.configurations, (STUDY, "-p", "epochs", epochs))


# --- the ways ---
def make_by_runner(work: Work, place: Path) -> Outcome:
    """Make the runs by `python runner.py`, in a copy of this project."""
    project = Project(place)
    project.study(work.study())
    seconds, _ = timed(project.command(*work.arguments), place)
    return Outcome(seconds, last_accuracies(place))


def make_by_loop(work: Work, python: Path, place: Path) -> Outcome:
    """Make the runs by a plain loop of papermill, one after another."""
    template = Project(place).root / "notebooks" / work.template
    loop = place / "loop"
    loop.mkdir()
    program = str(PROGRAMS / PEERS[LOOP].program)
    seconds, _ = timed([str(python), program, json.dumps(work.configurations), str(template)], loop)
    return Outcome(seconds, last_accuracies(loop))


def train_by_peer(peer: Peer, python: Path, seeds: int, epochs: int, place: Path) -> Outcome:
    """Train the network with some seeds by a peer, whose program prints their accuracies."""
    program = str(PROGRAMS / peer.program)
    seconds, printed = timed([str(python), program, str(seeds), str(epochs)], place)
    return Outcome(seconds, json.loads(printed.splitlines()[-1]))


def last_accuracies(root: Path) -> list[float]:
    """Return the validation accuracies at the end of the histories below a directory that have some."""
    accuracies = []
    for history in sorted(root.rglob("history.csv")):
        with history.open(newline="", encoding="utf-8") as file:
            *_, last = csv.DictReader(file)
        if "val_accuracy" in last:
            accuracies.append(float(last["val_accuracy"]))
    return accuracies
