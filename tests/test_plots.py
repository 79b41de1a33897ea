"""The figures: what is drawn, in which colour, and whether labels can be read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.text import Text

from nbstudy import plots
from nbstudy.elimination import judge
from nbstudy.plots import COLOURS, Look
from nbstudy.results import Chain, Factor, Results
from planted import Planted, flat, half_filled

LOOKS = {name: Look(colour, "-", name) for name, colour in zip("abcdefgh", COLOURS, strict=True)}


@pytest.fixture(autouse=True)
def drawing() -> Iterator[None]:
    """Draw into memory, in the page's style, and close all figures."""
    with mpl.rc_context():
        plt.switch_backend("agg")
        plots.use_style()
        yield
        plt.close("all")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What a half-filled study left."""
    return half_filled(tmp_path_factory.mktemp("planted")).load()


def lines_of(axes: Axes) -> dict[str, str]:
    """Return the style and colour of each line, by its label."""
    labels = [text.get_text() for text in sorted(axes.texts, key=lambda text: text.get_color())]
    lines = sorted(axes.lines, key=lambda line: line.get_color())
    return {
        label: f"{line.get_linestyle()} {line.get_color()}" for label, line in zip(labels, lines, strict=True)
    }


# --- looks ---
def test_every_configuration_has_a_look_of_its_own_and_replicates_share_it(results: Results) -> None:
    looks = plots.looks(results)
    assert list(looks) == list(results.runs)
    assert looks["good"].colour == looks["good_1"].colour == looks["good_2"].colour
    assert looks["good"].style == looks["good_1"].style
    assert looks["good_1"].label == "good_1"
    complete = {
        (looks[name].colour, looks[name].style)
        for name in set(results.first.values()) & set(results.complete)
    }
    assert len(complete) == 7


def test_run_that_is_not_complete_is_dashed_and_named_with_its_state(results: Results) -> None:
    looks = plots.looks(results)
    assert [looks[name].style for name in results.incomplete] == ["--"] * 4
    assert [looks[name].label for name in results.incomplete] == [
        "cut (unfinished)",
        "broken (failed)",
        "old (stale)",
        "never (missing)",
    ]
    assert "--" not in [looks[name].style for name in results.complete]


def test_rivals_have_different_colours_as_far_as_there_are_enough(tmp_path: Path) -> None:
    names = [f"n_{units}" for units in range(1, 61)]
    groups = [names[start::10][:6] for start in range(10)]
    rounds = "\n".join(f"  - {{candidates: [{', '.join(group)}]}}" for group in groups)
    grid = f"grid: [{{name: 'n_{{units}}', units: {list(range(1, 61))}}}]\n"
    results = Planted(tmp_path, f"notebooks: {{run: train.ipynb}}\n{grid}rounds:\n{rounds}\n").load()
    looks = plots.looks(results)
    assert list(looks) == names
    for group in groups:
        assert len({looks[name].colour for name in group}) == len(group)


def test_dropped_are_grey_but_in_an_overview(results: Results) -> None:
    overview, by_loss = results.rounds[:2]
    scores = results.scores()
    assert plots.greyed(by_loss, judge(scores, by_loss.candidates)) == ("far", "both")
    assert plots.greyed(overview, judge(scores, overview.candidates)) == ()


# --- curves ---
def test_curves_are_labelled_at_their_ends(results: Results) -> None:
    looks = plots.looks(results)
    names = ["good", "far", "cut", "never"]
    axes = plots.curves(plots.new_axes(), results.curves(names), "val_loss", looks, grey=["far"])
    assert lines_of(axes) == {
        "good": f"{looks['good'].style} {looks['good'].colour}",
        "far": f"{looks['far'].style} {plots.GREY}",
        "cut (unfinished)": f"-- {looks['cut'].colour}",
    }
    ends = {text.get_text(): text.xy for text in axes.texts}
    assert ends["good"] == (20, pytest.approx(0.3))
    assert ends["cut (unfinished)"][0] == 7
    assert axes.get_xlabel() == "epoch"
    assert axes.get_ylabel() == "val_loss (lower is better)"


def test_axis_says_which_way_is_better() -> None:
    lines = pd.DataFrame({"a": [0.5, 0.6]}, index=[1, 2])
    assert (
        plots.curves(plots.new_axes(), lines, "accuracy", LOOKS).get_ylabel() == "accuracy (higher is better)"
    )


def test_some_curves_have_no_label() -> None:
    lines = pd.DataFrame({"a": [0.5, 0.6], "b": [0.4, 0.3]}, index=[1, 2])
    axes = plots.curves(plots.new_axes(), lines, "loss", LOOKS, unlabelled=["b"])
    assert [text.get_text() for text in axes.texts] == ["a"]
    assert len(axes.lines) == 2


def test_axis_fits_what_follows_the_first_tenth_of_epochs() -> None:
    epochs = range(1, 101)
    falling = [50.0] * 9 + [1 + 1 / epoch for epoch in range(10, 101)]
    exploding = [1.0] * 90 + [10.0**power for power in range(10)]
    lines = pd.DataFrame({"a": falling, "b": exploding}, index=epochs)
    low, high = plots.curves(plots.new_axes(), lines, "loss", LOOKS).get_ylim()
    assert low < 1 and 10 < high < 15  # ten times what is usual there
    low, high = plots.curves(plots.new_axes(), lines[["a"]], "loss", LOOKS).get_ylim()
    assert low < 1.01 and high < 1.2


@pytest.mark.parametrize("ends", [[0.5] * 8, list(np.linspace(0.5, 0.51, 8)), [0.1, 0.5, 0.5, 0.5, 0.9]])
def test_labels_do_not_overlap(ends: list[float]) -> None:
    names = "abcdefgh"[: len(ends)]
    lines = pd.DataFrame({name: [1.0, end] for name, end in zip(names, ends, strict=True)}, index=[1, 2])
    axes = plots.curves(plots.new_axes(len(names)), lines, "loss", LOOKS)
    axes.figure.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the arrow
    boxes.sort(key=lambda box: box.y0)
    assert len(boxes) == len(ends)
    for below, above in itertools.pairwise(boxes):
        assert above.y0 >= below.y1


def test_nothing_to_draw_is_no_error() -> None:
    axes = plots.curves(plots.new_axes(), pd.DataFrame({"a": pd.Series(dtype=float)}), "loss", LOOKS)
    assert not axes.lines and not axes.texts
    axes.figure.canvas.draw()


def test_single_epochs_and_gaps_are_drawn() -> None:
    lines = pd.DataFrame({"a": [0.5, math.nan], "b": [math.nan, math.nan]}, index=[1, 2])
    axes = plots.curves(plots.new_axes(), lines, "loss", LOOKS)
    assert [text.get_text() for text in axes.texts] == ["a"]
    axes.figure.canvas.draw()


def test_figures_are_higher_for_many_lines() -> None:
    assert plots.new_axes(5).figure.get_figheight() == 3.8
    assert plots.new_axes(50).figure.get_figheight() == 10


def test_replicates_are_a_mean_and_a_band(results: Results) -> None:
    looks = plots.looks(results)
    lines = results.curves(["wide", "good_1", "wide_1", "good_2", "good"])
    axes = plots.bands(plots.new_axes(), lines, "val_loss", looks, results.first)
    assert {text.get_text(): text.xy[1] for text in axes.texts} == pytest.approx({"good": 0.3, "wide": 0.295})
    wide, good = axes.collections
    assert to_hex(good.get_facecolor()[0]) == looks["good"].colour.lower()
    last = [y for x, y in good.get_paths()[0].vertices if x == 20]
    assert (min(last), max(last)) == pytest.approx((0.28, 0.32))
    assert to_hex(wide.get_facecolor()[0]) == looks["wide"].colour.lower()


# --- panels ---
def test_small_multiples_hide_what_is_left_over() -> None:
    figure, panels = plots.small_multiples(4, columns=3, width=4)
    assert len(panels) == 4
    assert [axes.get_visible() for axes in figure.axes] == [True] * 4 + [False] * 2
    assert figure.get_figwidth() == 12


def test_all_rounds_are_drawn_together(results: Results) -> None:
    verdicts = [judge(results.scores(each.metric, each.epochs), each.candidates) for each in results.rounds]
    _, panels = plots.rounds(results, verdicts, plots.looks(results))
    assert [axes.get_title(loc="left") for axes in panels] == [
        "1 · Overview",
        "2 · By loss",
        "3 · Diverged and cut",
        "4 · By accuracy",
        "5 · Early",
    ]
    assert {text.get_text() for text in panels[1].texts} == {"good", "tie", "near"}  # the survivors
    assert len(panels[1].lines) == 5
    assert panels[4].dataLim.intervalx.tolist() == [1, 6]


def test_factor_joins_what_differs_in_it_alone() -> None:
    chain = Chain(["a", "b", "c"], ["8", "16", "64"], [0.5, 0.4, 0.3])
    factor = Factor("units", ["8", "16", "32", "64"], [chain])
    _, (axes, empty) = plots.factors([factor, Factor("l2", ["0.0"], [])], "val_loss", LOOKS)
    assert axes.lines[0].get_xdata().tolist() == [0, 1, 3]
    assert axes.lines[0].get_ydata().tolist() == [0.5, 0.4, 0.3]
    assert [to_hex(colour) for colour in axes.collections[0].get_facecolor()] == [
        LOOKS[name].colour.lower() for name in chain.names
    ]
    assert [text.get_text() for text in axes.texts] == ["a … c"]
    assert axes.get_xlabel() == "units"
    assert [label.get_text() for label in axes.get_xticklabels()] == factor.levels
    assert axes.figure.get_supylabel() == "settled val_loss (lower is better)"
    assert not empty.get_visible()


# --- test set ---
def test_confusions_are_a_matrix_with_names() -> None:
    counts = pd.DataFrame([[3, 1], [0, 4]], index=["cat", "dog"], columns=["cat", "dog"])
    axes = plots.confusion(counts)
    assert [text.get_text() for text in axes.texts] == ["3", "1", "0", "4"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    assert axes.get_ylabel() == "True label"
    axes.figure.canvas.draw()


def test_mistakes_are_shown_with_what_they_are_taken_for() -> None:
    images = np.zeros((5, 28, 28))
    images[3] = 255
    worst = pd.DataFrame({"true": [1, 0], "said": [0, 1], "certainty": [0.995, 0.5]}, index=[3, 4])
    figure = plots.mistakes(images, worst, ["cat", "dog"])
    first, second, *rest = figure.axes
    assert first.get_title() == "dog,\nsays cat\n(99.5%)"
    assert first.images[0].get_array().max() == 255 and second.images[0].get_array().max() == 0
    assert len(rest) == 10 and not any(axes.images for axes in rest)


def test_page_of_a_long_study_is_drawn(tmp_path: Path) -> None:
    study = Planted(
        tmp_path,
        f"notebooks: {{run: train.ipynb}}\ngrid: [{{name: 'n_{{units}}', units: {list(range(1, 61))}}}]\n",
    )
    for name in study.record["configurations"]:
        study.run(name, flat(0.3))
    results = study.load()
    axes = plots.curves(
        plots.new_axes(60), results.curves(list(results.runs)), "val_loss", plots.looks(results)
    )
    axes.figure.canvas.draw()
    tops = [Text.get_window_extent(text).y1 for text in axes.texts]
    assert len(tops) == 60 and max(tops) <= axes.figure.bbox.height
