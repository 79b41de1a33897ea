"""The networks that stand for the whole study, and what they cost."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

from nbstudy.study.study import load_study
from project import ROOT

IMAGES, VALIDATION_IMAGES = 50_000, 10_000
SEEDS = (0, 1)  # runner.py trains two of each network, so that two cores have the same to do


@dataclass(frozen=True)
class Network:
    """An MLP, in the parameters of train.ipynb."""

    hidden_layers: int
    units: int
    dropout: float
    epochs: int  # some seconds of steady training

    @property
    def flops(self) -> float:
        """The FLOPs of an epoch, training and validation, as the template counts them."""
        first = 784 * self.units
        rest = (self.hidden_layers - 1) * self.units**2 + 10 * self.units
        # a weight and image: 2 forwards, 2 for the weight's gradient, and 2 for the gradient of the
        # layer's input, which the first layer does without
        return IMAGES * (4 * first + 6 * rest) + 2 * VALIDATION_IMAGES * (first + rest)


NETWORKS = {
    "5x128": Network(hidden_layers=5, units=128, dropout=0.0, epochs=10),
    "5x256": Network(hidden_layers=5, units=256, dropout=0.0, epochs=6),
    "10x512": Network(hidden_layers=10, units=512, dropout=0.0, epochs=3),
    "20x128": Network(hidden_layers=20, units=128, dropout=0.2, epochs=4),
}


def as_json() -> str:
    """Return the networks as the programs take them: parameters by name."""
    return json.dumps({name: asdict(network) for name, network in NETWORKS.items()})


def as_study() -> str:
    """Return the text of a study file: each network with each of the seeds, named 5x128_0 and so on."""
    lines = ["notebooks: {run: train.ipynb, summary: null}", "configurations:"]
    for name, network in NETWORKS.items():
        for seed in SEEDS:
            parameters = asdict(network) | {"seed": seed}
            lines.append(f"  {name}_{seed}: {json.dumps(parameters)}")
    return "\n".join(lines) + "\n"


def nearest(flops: float, units: int, dropout: float) -> str:
    """Return the network that stands for a configuration whose epoch costs so many FLOPs.

    It is the one whose epoch costs most nearly the same, but the one with dropout for narrow
    configurations with dropout: there dropout takes longer than what is counted in FLOPs.
    """
    if dropout and units == 128:
        return "20x128"
    return min(NETWORKS, key=lambda name: abs(math.log(NETWORKS[name].flops / flops)))


def seconds_of_whole_study(seconds_of_epoch: dict[str, float]) -> float:
    """Return the seconds that the whole study takes where an epoch of each network takes so many."""
    study = load_study(ROOT / "params" / "fashion_mnist.yaml")
    total = 0.0
    for name, parameters in study.configurations.items():
        flops = study.flops[name] / parameters["epochs"]
        network = nearest(flops, parameters["units"], parameters["dropout"])
        seconds = seconds_of_epoch[network] * flops / NETWORKS[network].flops
        total += parameters["epochs"] * seconds
    return total
