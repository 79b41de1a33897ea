"""The section on the search space: where the best configurations of a grid, a sample or of rungs lie."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt

from nbstudy.records.results import Results
from nbstudy.report import search_space
from planted import Planted, flat
from told import judged_in

GRID = """
notebooks: {run: train.ipynb}
defaults: {epochs: 20}
grid:
  - {name: "mlp_{units}_{dropout}_{precision}", units: UNITS, dropout: [0.0, 0.1, 0.2], precision: [float32, mixed_bfloat16]}
"""


def gridded(root: Path, units: str) -> Results:
    """Plant a grid of these units, six runs each, in which more units are better and dropout is worse."""
    root.mkdir()
    study = Planted(root, GRID.replace("UNITS", units))
    for name, parameters in study.record["configurations"].items():
        study.run(name, flat(1 / parameters["units"] + parameters["dropout"]))
    return study.load()


def test_grid_is_shown_by_each_parameter_that_varies(tmp_path: Path) -> None:
    results = gridded(tmp_path / "a", "[8, 16, 32]")
    space = search_space.compute(results, judged_in(results))
    assert space is not None
    assert (space.title, space.levels, len(space.values)) == ("settled val_loss", ["dropped", "kept"], 18)
    _, drawn = search_space.draw(space)
    # the variances of 0, 0.1 and 0.2, and of 1/8, 1/16 and 1/32, of which dropout's is 0.82 of both
    assert list(space.parameters) == ["dropout", "units", "precision"] and space.shares is not None
    dropout = space.shares.by_parameter["dropout"]
    assert dropout.low < 0.82 < dropout.high
    assert [axes.get_xlabel().split(":")[0] for axes in drawn] == ["dropout", "units", "precision"]
    assert drawn[0].get_xlabel() == f"dropout: {search_space.share_in_words(dropout)}"
    told = search_space.what_matters(space.shares)
    assert (
        told.startswith("**What matters:** of the differences that parameters explain, dropout 0.8")
        and "units 0." in told
    )
    points = [line.get_xydata() for line in drawn[1].lines]
    assert {tuple(point) for each in points for point in each.round(4)} >= {(8.0, 0.125), (32.0, 0.0312)}
    plt.close("all")


def test_named_configurations_have_no_search_space(results: Results) -> None:
    assert search_space.compute(results, judged_in(results)) is None
