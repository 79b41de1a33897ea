"""The figures: what is drawn, in which colour, and whether labels can be read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from nbstudy.decision.elimination import Noise, Verdict
from nbstudy.decision.metrics import Metric, metric_called
from nbstudy.files import write_json
from nbstudy.records.results import Chain, Factor, Ranking, Results
from nbstudy.report import labels, plots
from nbstudy.report.curves import Curve
from nbstudy.report.labels import GREY, Label
from nbstudy.report.plots import COLOURS, Look
from planted import Planted, flat, half_filled, without_replicates

LOOKS = {name: Look(colour, "-", name) for name, colour in zip("abcdefgh", COLOURS, strict=True)}
LOSS, ACCURACY = metric_called("loss"), metric_called("accuracy")
HIGHEST = 1200  # pixels of a figure


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


def many(root: Path, number: int) -> Planted:
    """Plant a study of so many configurations, whose losses rise with their number."""
    units = list(range(1, number + 1))
    study = Planted(
        root, f"notebooks: {{run: train.ipynb}}\ngrid: [{{name: 'n_{{units}}', units: {units}}}]\n"
    )
    for name, parameters in study.record["configurations"].items():
        study.run(name, flat(0.3 + 0.001 * parameters["units"]))
    return study


def curve(name: str, *runs: list[float], value: float | None = None) -> Curve:
    """Return a curve of these runs, which settles at the end of the first one if not said otherwise."""
    columns = {f"{name}_{number}": values for number, values in enumerate(runs)}
    if value is None:
        value = runs[0][-1]
    return Curve(name, pd.DataFrame(columns, index=pd.RangeIndex(1, len(runs[0]) + 1)), value)


def judged(costs: dict[str, float], dropped: tuple[str, ...] = (), deviation: float = 0.01) -> Verdict:
    """Return a verdict on candidates of one run each."""
    return Verdict(costs, dict.fromkeys(costs, 1), Noise(deviation, 6), {}, dropped)


def drawn(given: Sequence[Curve], metric: Metric = LOSS, grey: Sequence[str] = ()) -> Axes:
    """Draw curves in a figure of their own."""
    return plots.curves(plots.new_axes(each.name for each in given), given, metric, LOOKS, grey)


def texts_of(axes: Axes) -> list[str]:
    """Return what is written in and beside axes."""
    return [text.get_text() for text in axes.texts]


def strong(axes: Axes) -> list[str]:
    """Return the colours of the strong lines."""
    return [
        to_hex(line.get_color()).upper()
        for line in axes.lines
        if line.get_linewidth() > 1 and len(line.get_xdata()) > 1
    ]


def check_texts(figure: Figure) -> None:
    """Refuse texts that overlap or lie outside of a figure, and figures that are too high."""
    figure.canvas.draw()
    assert figure.bbox.height <= HIGHEST
    boxes = []
    for text in shown_texts(figure):
        if text.get_visible() and text.get_text().strip():
            boxes.append((text.get_text(), Text.get_window_extent(text)))  # without an arrow
    for text, box in boxes:
        assert box.x0 >= -1 and box.y0 >= -1, text
        assert box.x1 <= figure.bbox.width + 1 and box.y1 <= figure.bbox.height + 1, text
    for (text, box), (other, other_box) in itertools.combinations(boxes, 2):
        overlap_x = min(box.x1, other_box.x1) - max(box.x0, other_box.x0)
        overlap_y = min(box.y1, other_box.y1) - max(box.y0, other_box.y0)
        assert overlap_x < 2 or overlap_y < 3, f"{text!r} lies over {other!r}"


def shown_texts(figure: Figure) -> Iterator[Text]:
    """Yield all texts of a figure but those of hidden axes, and of ticks beyond an axis."""
    yield from figure.texts
    for legend in figure.legends:
        yield from legend.get_texts()
    for axes in figure.axes:
        if not axes.get_visible():
            continue
        yield from axes.texts
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            yield axis.label
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    yield tick.label1


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


def test_what_is_in_most_rounds_has_the_first_colour(results: Results) -> None:
    assert plots.looks(results)["good"] == Look(COLOURS[0], "-", "good")


def test_dimmed_looks_are_grey_and_keep_their_style() -> None:
    dimmed = plots.dimmed({"a": Look("red", ":", "a"), "b": Look("blue", "-", "b")}, ["a"])
    assert dimmed == {"a": Look(GREY, ":", "a"), "b": Look("blue", "-", "b")}


def test_long_names_are_shortened_in_the_middle() -> None:
    assert labels.shortened("model_4") == "model_4"
    assert labels.shortened("a" * 50 + "z" * 50) == "a" * 15 + "…" + "z" * 15


# --- labels ---
def test_labels_stay_where_they_are_wanted_if_there_is_room() -> None:
    assert labels.apart([1, 2, 3], [0.5, 0.5, 0.5], 4) == pytest.approx([1, 2, 3])


def test_labels_are_moved_apart_around_the_place_that_all_want() -> None:
    assert labels.apart([2, 2, 2], [0.5, 0.5, 0.5], 4) == pytest.approx([1.5, 2, 2.5])
    assert labels.apart([0, 0], [1, 1], 4) == pytest.approx([0.5, 1.5])
    assert labels.apart([9, 9], [1, 1], 4) == pytest.approx([2.5, 3.5])


def test_no_labels_need_no_place() -> None:
    assert labels.apart([], [], 4) == []


# --- curves ---
def test_curve_is_drawn_thin_as_it_is_and_strong_as_its_median() -> None:
    jumping = [0.5 + 0.1 * (epoch % 2) for epoch in range(200)]
    axes = drawn([curve("a", jumping)])
    raw, median = axes.lines[:2]
    assert raw.get_ydata().tolist() == jumping
    assert raw.get_linewidth() < 1 and raw.get_alpha() < 0.5
    assert np.ptp(median.get_ydata()) <= 0.1 and median.get_linewidth() > 1.5
    assert raw.get_color() == median.get_color() == LOOKS["a"].colour


def test_curves_are_labelled_beside_the_value_that_decides() -> None:
    axes = drawn([curve("a", [0.5] * 20, value=0.52), curve("b", [0.4] * 20)])
    assert texts_of(axes) == ["b", "a"]  # from the lowest to the highest
    low, high = axes.get_ylim()
    ends = {text.get_text(): low + text.xy[1] * (high - low) for text in axes.texts}
    assert ends == pytest.approx({"a": 0.52, "b": 0.4})
    assert axes.get_xlabel() == "epoch"
    assert axes.get_ylabel() == "loss (lower is better)"
    check_texts(axes.figure)


def test_axis_says_which_way_is_better() -> None:
    assert drawn([curve("a", [0.5, 0.6])], ACCURACY).get_ylabel() == "accuracy (higher is better)"


def test_dropped_are_grey_below_the_survivors() -> None:
    axes = drawn([curve("a", [0.5] * 20), curve("b", [0.51] * 20)], grey=["b"])
    assert strong(axes) == [COLOURS[0], to_hex(GREY).upper()]
    lines = [line for line in axes.lines if line.get_linewidth() > 1.5]
    assert lines[0].get_zorder() > lines[1].get_zorder()
    assert {text.get_text(): text.get_color() for text in axes.texts} == {"a": COLOURS[0], "b": GREY}


def test_curve_that_leaves_the_axes_is_named_where_it_leaves() -> None:
    rising = [0.5] * 100 + [5.0] * 100
    falling = [0.5] * 150 + [-5.0] * 50
    axes = drawn([curve("a", [0.5] * 200), curve("b", rising), curve("c", falling)], grey=["b", "c"])
    assert texts_of(axes) == ["a", "b ↑", "c ↓"]
    triangles = {line.get_marker(): line.get_xydata()[0] for line in axes.lines if line.get_marker() in "^v"}
    assert triangles["^"] == pytest.approx((0.5, 1), abs=0.02)
    assert triangles["v"] == pytest.approx((0.75, 0), abs=0.02)
    check_texts(axes.figure)


def test_curve_that_was_never_on_the_axes_leaves_at_its_end() -> None:
    axes = drawn([curve("a", [0.5] * 200), curve("b", [9.0] * 200)], grey=["b"])
    (triangle,) = [line for line in axes.lines if line.get_marker() == "^"]
    assert triangle.get_xdata()[0] == pytest.approx(1, abs=0.02)


def test_many_that_leave_are_counted() -> None:
    looks = {f"a_long_name_of_{number}": Look("red", "-", f"a_long_name_of_{number}") for number in range(20)}
    given = [curve(name, [0.5] * 10) for name in list(looks)[:2]]
    given += [curve(name, [0.5, 9.0] * 5) for name in list(looks)[2:]]
    grey = list(looks)[2:]
    axes = plots.curves(plots.new_axes(looks), given, LOSS, looks, grey)
    assert texts_of(axes)[-1] == "18 leave ↑"
    check_texts(axes.figure)


def test_exploding_ones_are_on_a_logarithmic_axis_with_plain_numbers() -> None:
    axes = drawn([curve("a", [0.4] * 20), curve("b", [8.0] * 20)])
    assert axes.get_yscale() == "log"
    axes.figure.canvas.draw()
    assert {"0.5", "1", "2", "5"} <= {text.get_text() for text in axes.get_yticklabels()}


def test_line_that_ends_early_has_a_cross_there_and_no_dot() -> None:
    early = curve("b", [0.5] * 5 + [math.nan] * 15, value=math.nan)
    axes = drawn([curve("a", [0.49] * 20), early])
    markers = [line.get_marker() for line in axes.lines if line.get_marker() != "None"]
    assert sorted(markers) == ["o", "x"]
    (cross,) = [line for line in axes.lines if line.get_marker() == "x"]
    assert 0.15 < cross.get_xdata()[0] < 0.3


def test_replicates_are_a_band() -> None:
    axes = drawn([curve("a", [0.4] * 20, [0.5] * 20, value=0.45), curve("b", [0.41] * 20)])
    (band,) = axes.collections
    assert to_hex(band.get_facecolor()[0]).upper() == COLOURS[0]
    heights = [y for _, y in band.get_paths()[0].vertices]
    assert (min(heights), max(heights)) == pytest.approx((0.4, 0.5))


@pytest.mark.parametrize("ends", [[0.5] * 8, list(np.linspace(0.5, 0.51, 8)), [0.1, 0.5, 0.5, 0.5, 0.9]])
def test_labels_do_not_overlap(ends: list[float]) -> None:
    given = [curve(name, [1.0, end]) for name, end in zip("abcdefgh", ends, strict=False)]
    axes = drawn(given)
    assert len(axes.texts) == len(ends)
    check_texts(axes.figure)


def test_most_and_longest_labels_are_neither_cut_nor_over_each_other(tmp_path: Path) -> None:
    names = [f"{'x' * 90}_{number}" for number in range(30)]
    looks = {name: Look("red", "-", labels.shortened(name)) for name in names}
    given = [curve(name, [0.5] * 10) for name in names]
    axes = plots.curves(plots.new_axes(looks[name].label for name in names), given, LOSS, looks)
    assert len(axes.texts) == 30
    check_texts(axes.figure)


def test_nothing_to_draw_is_no_error() -> None:
    axes = drawn([])
    assert not axes.lines and not axes.texts
    axes.figure.canvas.draw()


def test_single_epochs_and_gaps_are_drawn() -> None:
    axes = drawn([curve("a", [0.5]), curve("b", [0.4, math.nan, 0.5])])
    assert sorted(texts_of(axes)) == ["a", "b"]
    check_texts(axes.figure)


# --- rankings ---
def ranked(costs: dict[str, float], verdict: Verdict) -> Axes:
    """Draw a ranking of candidates of one run each."""
    given = [curve(name, [cost]) for name, cost in costs.items()]
    return plots.ranking(given, verdict, "loss (lower is better)", LOOKS, verdict.dropped)


def test_ranking_has_the_best_on_top_with_its_interval() -> None:
    costs = {"a": 0.40, "b": 0.41, "c": 0.43}
    axes = ranked(costs, judged(costs, dropped=("c",)))
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b", "c"]
    assert axes.yaxis_inverted()
    assert texts_of(axes) == ["0.4000", "0.4100", "0.4300"]
    assert [text.get_color() for text in axes.texts] == [COLOURS[0], COLOURS[1], GREY]
    (start, end) = axes.collections[0].get_segments()[0][:, 0]
    assert (start, end) == pytest.approx((0.4 - 2.447 * 0.01, 0.4 + 2.447 * 0.01), abs=1e-4)  # t of 6 degrees
    assert axes.get_xlabel() == "loss (lower is better)"
    check_texts(axes.figure)


def test_ranking_shows_the_runs_below_their_mean() -> None:
    given = [curve("a", [0.40], [0.44], value=0.42), curve("b", [0.43])]
    axes = plots.ranking(given, judged({"a": 0.42, "b": 0.43}), "loss", LOOKS)
    runs, mean, single = axes.lines
    assert list(runs.get_xdata()) == [0.40, 0.44] and runs.get_markersize() < mean.get_markersize()
    assert mean.get_xdata()[0] == 0.42 and min(runs.get_ydata()) > mean.get_ydata()[0]  # the axis points down
    assert single.get_xdata()[0] == 0.43


def test_value_beyond_a_ranking_is_an_arrow_at_its_edge() -> None:
    costs = {"a": 0.40, "b": 0.41, "c": 9.0}
    axes = ranked(costs, judged(costs, dropped=("c",)))
    assert axes.get_xlim()[1] < 1
    assert [line.get_marker() for line in axes.lines] == ["o", "o", ">"]
    assert texts_of(axes)[-1] == "9.0000"


def test_ranking_without_known_chance_has_no_intervals() -> None:
    costs = {"a": 0.40, "b": 0.41}
    axes = ranked(costs, judged(costs, deviation=math.nan))
    assert not axes.collections and len(axes.texts) == 2


# --- rounds ---
def test_round_draws_its_candidates(results: Results) -> None:
    by_loss = results.rounds[1]
    looks = plots.looks(results)
    axes = plots.one_round(results, by_loss, results.judge(by_loss), looks)
    assert axes is not None
    colours = {text.get_text(): text.get_color() for text in axes.texts}
    assert colours["good"] == looks["good"].colour and colours["both"] == GREY
    assert len(axes.collections) == 1  # the replicates of good
    check_texts(axes.figure)


def test_every_round_can_be_read(results: Results) -> None:
    looks = plots.looks(results)
    for each in results.rounds:
        axes = plots.one_round(results, each, results.judge(each), looks)
        assert axes is not None
        check_texts(axes.figure)


def test_round_of_very_many_candidates_is_a_ranking(tmp_path: Path) -> None:
    results = many(tmp_path, 60).load()
    (everyone,) = results.rounds
    axes = plots.one_round(results, everyone, results.judge(everyone), plots.looks(results))
    assert axes is not None
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == [f"n_{number}" for number in range(1, 31)]
    assert axes.get_title(loc="left") == "The best 30 of 60"
    check_texts(axes.figure)


def test_round_without_epochs_is_a_ranking(tmp_path: Path) -> None:
    study = Planted(
        tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: {units: 1}, b: {units: 2}}\n"
    )
    study.run("a", [0.5])
    study.run("b", [0.4])
    results = study.load()
    axes = plots.one_round(results, results.rounds[0], results.judge(results.rounds[0]), plots.looks(results))
    assert axes is not None
    assert [text.get_text() for text in axes.get_yticklabels()] == ["b", "a"]


def test_round_by_a_number_of_the_results_is_a_ranking_of_means_and_runs(tmp_path: Path) -> None:
    study = Planted(
        tmp_path,
        "notebooks: {run: train.ipynb}\nconfigurations: {a: {replicates: 2}, b: {units: 2}, c: {units: 3}, d: {units: 4}}\n",
    )
    for name, accuracy in [("a", 0.90), ("a_seed_1", 0.92), ("b", 0.50), ("c", 0.915)]:
        study.measure(name, {"val_accuracy": accuracy})
    results = study.load()
    each = results.rounds[0]
    verdict = results.judge(each)
    looks = plots.looks(results)
    axes = plots.one_round(results, each, verdict, looks)
    assert axes is not None and verdict.dropped == ("b",)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["c", "a", "b"]
    assert axes.get_xlabel() == "val_accuracy (higher is better)"
    assert [text.get_color() for text in axes.texts] == [looks["c"].colour, looks["a"].colour, GREY]
    assert list(axes.lines[1].get_xdata()) == [0.90, 0.92]  # the runs of a
    assert len(axes.collections) == 3  # intervals
    check_texts(axes.figure)
    assert plots.choice(results, each, verdict, looks) is not None


def test_round_by_a_metric_whose_direction_nobody_knows_is_shown_but_not_judged(tmp_path: Path) -> None:
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 2}}\n")
    study.measure("a", {"my_score": 2.0})
    study.measure("b", {"my_score": 1.0})
    results = study.load()
    each = results.rounds[0]
    axes = plots.one_round(results, each, results.judge(each), plots.looks(results))
    assert axes is not None and axes.get_xlabel() == "my_score"
    assert [line.get_marker() for line in axes.lines] == ["x", "x"] and not axes.collections
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b"]  # as the study has them


def test_rounds_together_are_those_with_curves(tmp_path: Path) -> None:
    rounds = "rounds: [{candidates: [a]}, {candidates: [a], metric: auc}, {candidates: [a], metric: val_accuracy}]\n"
    study = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: }\n" + rounds)
    study.run("a", flat(0.5), result={"auc": 0.9})
    results = study.load()
    verdicts = [results.judge(each) for each in results.rounds]
    _, panels = plots.rounds(results, verdicts, plots.looks(results))
    assert [texts_of(axes)[1] for axes in panels] == ["1 · Round 1", "3 · Round 3"]


def test_round_of_which_nothing_is_there_has_no_figure(tmp_path: Path) -> None:
    results = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: {units: 1}}\n").load()
    each = results.rounds[0]
    assert plots.one_round(results, each, results.judge(each), plots.looks(results)) is None
    assert not plt.get_fignums()


def test_all_rounds_are_drawn_together(results: Results) -> None:
    verdicts = [results.judge(each) for each in results.rounds]
    figure, panels = plots.rounds(results, verdicts, plots.looks(results))
    titles = [texts_of(axes)[1] for axes in panels]
    assert titles[:5] == [
        "1 · Overview",
        "2 · By loss",
        "3 · Diverged and cut",
        "4 · By accuracy",
        "5 · Early",
    ]
    notes = [texts_of(axes)[0] for axes in panels]
    assert notes[:3] == ["overview", "drops both", "drops wild"]
    assert notes[3].startswith("val_accuracy, drops")
    (legend,) = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named[:3] == ["good", "tie", "near"] and named[-2:] == ["dropped", "leaves the panel"]
    check_texts(figure)


def test_rounds_of_one_metric_have_a_common_scale(results: Results) -> None:
    verdicts = [results.judge(each) for each in results.rounds]
    _, panels = plots.rounds(results, verdicts, plots.looks(results))
    overview, by_loss, diverged, by_accuracy, early = panels[:5]
    assert by_loss.get_ylim() == diverged.get_ylim() == early.get_ylim()
    assert by_loss.get_ylim() not in (overview.get_ylim(), by_accuracy.get_ylim())
    assert len({axes.get_xlim() for axes in panels}) == 1
    numbered = [axes.yaxis.get_tick_params()["labelleft"] for axes in panels[:5]]
    assert numbered == [True, True, False, True, True]  # where a row begins, or another scale


def test_round_that_is_not_judged_yet_says_so(tmp_path: Path) -> None:
    results = Planted(tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: {units: 1}}\n").load()
    verdict = results.judge(results.rounds[0])
    figure, (axes,) = plots.rounds(results, [verdict], plots.looks(results))
    assert texts_of(axes) == ["not judged yet", "1 · All configurations"]
    check_texts(figure)


def test_round_of_very_many_candidates_shows_the_best_in_its_panel(tmp_path: Path) -> None:
    results = many(tmp_path, 60).load()
    verdict = results.judge(results.rounds[0])
    figure, (axes,) = plots.rounds(results, [verdict], plots.looks(results))
    assert len(strong(axes)) == plots.MOST_IN_PANEL
    assert "the best 12 are shown" in texts_of(axes)[0]
    check_texts(figure)


def test_very_many_rounds_are_the_last_ones(tmp_path: Path) -> None:
    study = without_replicates(tmp_path)
    study.record["rounds"] = [
        {"title": f"Round {number}", "candidates": ["one", "two"]} for number in range(1, 41)
    ]
    write_json(study.outputs / "study.json", study.record)
    results = study.load()
    verdicts = [results.judge(each) for each in results.rounds]
    figure, panels = plots.rounds(results, verdicts, plots.looks(results))
    assert [texts_of(axes)[1] for axes in panels] == [
        f"{number} · Round {number}" for number in range(26, 41)
    ]
    check_texts(figure)


# --- the factors ---
def ranking(verdict: Verdict, metric: str = "loss") -> Ranking:
    """Return a ranking by what a metric settled at."""
    return Ranking(f"settled {metric}", metric_called(metric), verdict, None)


def test_factor_joins_what_differs_in_it_alone() -> None:
    chain = Chain(["a", "b", "c"], ["8", "16", "64"], [0.5, 0.4, 0.3])
    factor = Factor("units", ["8", "16", "32", "64"], [chain])
    verdict = judged({"c": 0.3, "b": 0.4, "a": 0.5})
    _, (axes,) = plots.factors([factor, Factor("l2", ["0.0"], [])], ranking(verdict, "val_loss"), LOOKS)
    assert axes.lines[0].get_xdata().tolist() == [0, 1, 3]
    assert axes.lines[0].get_ydata().tolist() == [0.5, 0.4, 0.3]
    assert [to_hex(colour).upper() for colour in axes.collections[0].get_facecolor()] == COLOURS[:3]
    assert texts_of(axes) == ["a … c"]
    assert axes.get_xlabel() == "units"
    assert [label.get_text() for label in axes.get_xticklabels()] == factor.levels
    assert axes.figure.get_supylabel() == "settled val_loss (lower is better)"
    assert [each.get_visible() for each in axes.figure.axes] == [True, False]
    check_texts(axes.figure)


def test_long_names_beside_a_factor_are_those_at_the_right_end() -> None:
    looks = {name: Look("red", "-", name) for name in ("svm_C_10_gamma_0.01", "svm_C_10_gamma_0.1")}
    chain = Chain(list(looks), ["0.01", "0.1"], [0.5, 0.4])
    verdict = judged(dict(zip(looks, [0.5, 0.4], strict=True)))
    _, (axes,) = plots.factors([Factor("gamma", ["0.01", "0.1"], [chain])], ranking(verdict), looks)
    assert texts_of(axes) == ["… svm_C_10_gamma_0.1"]
    assert axes.get_window_extent().width > 0.2 * axes.figure.bbox.width  # there is room for the line
    check_texts(axes.figure)


def test_factors_are_on_the_survivors_scale_with_the_noise_as_a_band() -> None:
    close = Chain(["a", "b"], ["1", "2"], [0.400, 0.403])
    exploding = Chain(["c", "d"], ["1", "2"], [0.402, 8.0])
    factor = Factor("units", ["1", "2"], [close, exploding])
    verdict = judged({"a": 0.400, "c": 0.402, "b": 0.403, "d": 8.0}, dropped=("d",))
    _, (axes,) = plots.factors([factor], ranking(verdict, "loss"), LOOKS, noise=0.01)
    low, high = axes.get_ylim()
    assert high - low < 0.05
    assert texts_of(axes) == ["a … b", "c … d ↑"]
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (band.y0, band.y1) == pytest.approx((0.400, 0.410))
    assert axes.get_title(loc="left") == "shaded: within the noise of the best"
    check_texts(axes.figure)


def test_noise_reaches_down_from_the_best_score() -> None:
    chain = Chain(["a", "b"], ["1", "2"], [0.90, 0.88])
    verdict = judged({"a": -0.90, "b": -0.88})
    _, (axes,) = plots.factors(
        [Factor("units", ["1", "2"], [chain])], ranking(verdict, "accuracy"), LOOKS, noise=0.01
    )
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (band.y0, band.y1) == pytest.approx((0.89, 0.90))


def test_lines_that_leave_on_one_side_are_counted() -> None:
    leaving = [Label(1.5, "a … b", "red"), Label(2.5, "c … d", "red"), Label(0.5, "e … f", "red")]
    assert [label.text for label in plots.summed_up(leaving)] == ["e … f", "2 lines leave ↑"]
    assert [label.text for label in plots.summed_up([Label(-0.5, "a … b", "red")])] == ["a … b ↓"]


def test_factor_of_very_many_lines_names_their_median() -> None:
    chains = [Chain(["a", "b"], ["1", "2"], [0.4 + number / 100, 0.5]) for number in range(50)]
    verdict = judged({"a": 0.4, "b": 0.5})
    _, (axes,) = plots.factors([Factor("units", ["1", "2"], chains)], ranking(verdict, "loss"), LOOKS)
    assert texts_of(axes) == ["median of 50"]
    assert axes.lines[-1].get_ydata() == pytest.approx([0.645, 0.5])


def test_levels_of_a_factor_are_left_out_where_they_have_no_room() -> None:
    levels = [f"{number / 1000:.4f}" for number in range(40)]
    chain = Chain(["a"] * 40, levels, [0.5] * 40)
    _, (axes,) = plots.factors([Factor("l2", levels, [chain])], ranking(judged({"a": 0.5})), LOOKS)
    assert axes.get_xticklabels()[0].get_text() == "0.0000"
    check_texts(axes.figure)


# --- the choice ---
def test_choice_shows_the_last_half_and_what_each_run_settled_at(results: Results) -> None:
    looks = plots.looks(results)
    names = ["good", "wide", "both"]
    verdict = results.judge(results.rounds[0])
    assert set(names) <= set(verdict.finite)
    axes = plots.choice(results, results.rounds[0], verdict, looks)
    assert axes is not None
    left, right = axes.figure.axes
    assert left.get_xlim() == (10, 20)
    shown = dict(zip([text.get_text() for text in right.get_xticklabels()], right.lines[::1], strict=False))
    assert list(shown)[:2] == ["wide", "good"]
    small = [line for line in right.lines if line.get_markersize() == 4]
    assert sorted(small[1].get_ydata()) == pytest.approx([0.28, 0.30, 0.32])
    large = [line for line in right.lines if line.get_markersize() == 7]
    assert [line.get_ydata()[0] for line in large[:2]] == pytest.approx([0.295, 0.30])
    assert left.get_ylim() == right.get_ylim()
    check_texts(axes.figure)


def test_choice_among_very_many_is_a_ranking(tmp_path: Path) -> None:
    results = many(tmp_path, 60).load()
    verdict = results.judge(results.rounds[0])
    axes = plots.choice(results, results.rounds[0], verdict, plots.looks(results))
    assert axes is not None and len(axes.get_yticklabels()) == 30


def test_choice_of_nothing_has_no_figure(results: Results) -> None:
    nothing = Verdict({}, {}, Noise(math.nan, 0), {}, ())
    assert plots.choice(results, results.rounds[0], nothing, plots.looks(results)) is None


# --- the test set ---
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
