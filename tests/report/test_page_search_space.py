"""The section on the search space: where the best configurations of a grid, a sample or of rungs lie."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt

from nbstudy.records.results import Results
from nbstudy.report import search_space
from nbstudy.report.choice import compute, is_drawn_already
from nbstudy.report.looks import looks_of
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
    assert [axes.get_xlabel() for axes in drawn] == ["units", "dropout", "precision"]
    points = [line.get_xydata() for line in drawn[0].lines]
    assert {tuple(point) for each in points for point in each.round(4)} >= {(8.0, 0.125), (32.0, 0.0312)}
    plt.close("all")


def test_named_configurations_have_no_search_space(results: Results) -> None:
    assert search_space.compute(results, judged_in(results)) is None


def test_page_shows_one_ranking_once(tmp_path: Path) -> None:
    many = gridded(
        tmp_path / "many", "[8, 16, 32, 64, 128, 256]"
    )  # too many for curves, so that the round ranks them
    few = gridded(tmp_path / "few", "[8, 16]")
    for results, is_drawn in ((many, True), (few, False)):
        contest = compute(results).contest
        assert contest is not None and is_drawn_already(contest, looks_of(results)) is is_drawn
