"""What the summary of a thousand runs takes: seconds to execute, megabytes of the executed notebook and of summary.html.

The runs are planted, not made: a grid of 900, and a hundred replicates of one of them.
"""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from planted import Planted

EPOCHS = 100  # of each run, as long as a real one's
STUDY = f"""
notebooks: {{run: train.ipynb, summary: null}}
defaults: {{epochs: {EPOCHS}}}
grid:
  - name: "u{{units}}_l{{l2}}_d{{dropout}}"
    units: {[10 * step for step in range(1, 11)]}
    l2: {[step / 1000 for step in range(1, 11)]}
    dropout: {[step / 20 for step in range(9)]}
  - {{name: "best_{{seed}}", units: 100, l2: 0.001, dropout: 0.1, seed: {list(range(1, 101))}}}
"""


@dataclass(frozen=True)
class Page:
    """What was measured."""

    seconds: float  # from the start of papermill to its end
    megabytes: float  # of the notebook
    html_megabytes: float


def measure_page() -> Page:
    """Execute the summary of many planted runs once."""
    with tempfile.TemporaryDirectory() as root:
        study = plant_runs(Path(root))
        begun = time.perf_counter()
        study.summarise()
        seconds = time.perf_counter() - begun
        size = (Path(root) / "notebooks" / "out.ipynb").stat().st_size
        html_size = (study.outputs / "summary.html").stat().st_size
    return Page(seconds, size / 1e6, html_size / 1e6)


def plant_runs(root: Path) -> Planted:
    """Plant the runs: losses that fall, jump from epoch to epoch, and settle a little apart."""
    study = Planted(root, STUDY)
    chance = random.Random(0)
    for name, given in study.record["configurations"].items():
        settled = 0.3 + given["l2"] * 10 + 1 / given["units"] + chance.gauss(0, 0.01)
        losses = [settled + 1 / epoch + chance.expovariate(30) for epoch in range(1, EPOCHS + 1)]
        study.run(name, losses, 1 - settled / 3)
    return study
