"""The section on the choice: why it is chosen, how sure that is, and its figure."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from drawn import check_texts, curve, falling, judged_twice, many
from nbstudy.decision.elimination import Noise, Verdict
from nbstudy.records.results import Results
from nbstudy.report import choice
from nbstudy.report.answer import runner_up_line
from nbstudy.report.choice import choice_made, more_replicates, scale_of_choice, table_of_choice
from nbstudy.report.looks import looks_of
from planted import Planted, column, flat, rows
from told import chosen_in


def test_choice_is_explained(results: Results) -> None:
    table = rows(table_of_choice(chosen_in(results)))
    assert list(table) == ["wide", "good", "near"]
    assert column(table, "settled val_loss") == ["0.2950", "0.3000", "0.3350"]
    assert column(table, "runs") == ["2", "3", "1"] and column(table, "weights") == [
        "32,000",
        "16,000",
        "16,000",
    ]
    half = 3.18245 * 0.0182574 / math.sqrt(3)
    assert table["good"]["95 % interval"] == f"{0.3 - half:.4f} to {0.3 + half:.4f}"
    assert choice_made(chosen_in(results)) == (
        "The candidates are those of the last round, *The choice*: good, near and wide. "
        "Of what the rule keeps, wide, good and near, **good** is the smallest: **it is the choice**. "
        "The one-standard-error rule chooses it, too. The original was left with good and wide."
    )


def test_choice_without_known_chance_is_the_best_and_says_so(single: Results) -> None:
    words = choice_made(chosen_in(single))
    assert (
        "As nobody knows how much is chance, the best value counts, that of **one**: **it is the choice**."
        in words
    )


def test_replicates_needed_are_said_with_the_line_for_the_study_file(results: Results) -> None:
    words = more_replicates(chosen_in(results))
    found = re.fullmatch(
        r"To tell wide and good apart at the difference seen, 0\.0050, with a chance of 80% takes about (\d+) runs of "
        r"each \((\d+) more than there are, about \2 minutes of computing\): write `replicates: \1` into wide and good "
        r"in the study file, and run it again\.",
        words,
    )
    assert found and int(found[2]) == 2 * int(found[1]) - 5


def test_first_replicates_are_advised_where_there_are_none(single: Results) -> None:
    line = "write `replicates: 3` into one and two in the study file, and run it again."
    assert more_replicates(chosen_in(single)).endswith(line)


def test_replicates_are_not_advised_where_the_choice_is_clear(tmp_path: Path) -> None:
    study = Planted(
        tmp_path, "notebooks: {run: train.ipynb}\nconfigurations: {a: {replicates: 2}, b: {units: 8}}"
    )
    for name, end in [("a", 0.3), ("a_seed_1", 0.301), ("b", 0.9)]:
        study.run(name, flat(end))
    results = study.load()
    choice = results.choose()
    assert more_replicates(chosen_in(results)) == ""
    assert "The rule keeps **a** alone: **it is the choice**." in choice_made(chosen_in(results))
    explained = choice.verdict.against["b"].allowed
    words = f"The runner-up, b, is worse by 0.5995, where chance explains {explained:.4f} at most."
    assert runner_up_line(choice) == words


# --- the figure ---
def test_choice_shows_the_last_half_and_what_each_run_settled_at(results: Results) -> None:
    looks = looks_of(results)
    names = ["good", "wide", "both"]
    verdict = results.judge(results.rounds[0])
    assert set(names) <= set(verdict.finite)
    axes = choice.draw(choice.contest_of(results, results.rounds[0], verdict), looks)
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
    axes = choice.draw(choice.contest_of(results, results.rounds[0], verdict), looks_of(results))
    assert axes is not None and len(axes.get_yticklabels()) == 30


def test_choice_of_nothing_has_no_figure(results: Results) -> None:
    nothing = Verdict({}, {}, Noise(math.nan, 0), {}, ())
    assert choice.draw(choice.contest_of(results, results.rounds[0], nothing), looks_of(results)) is None


def test_scale_of_the_choice_holds_bands_and_intervals() -> None:
    shown = [curve("a", falling(0.40), falling(0.42), value=0.41), curve("b", falling(0.43), value=0.43)]
    verdict = judged_twice({"a": 0.41, "b": 0.43}, deviation=0.001)
    scale = scale_of_choice(shown, verdict)
    assert 0.39 < scale.low < 0.40 and 0.43 < scale.high < 0.44
    scale = scale_of_choice(shown, judged_twice({"a": 0.41, "b": 0.43}, deviation=0.1))
    assert scale.low < 0.2 and scale.high > 0.6
