"""A race on the page: its laps, how it ended, and the choice that follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbstudy.checks import StudyError
from nbstudy.decision.race import run_race
from nbstudy.files import write_json
from nbstudy.records.results import Results, load_results
from nbstudy.report import next_steps, overview, race, rankings, rounds, search_space
from nbstudy.report.answer import chosen_line, sure_line, write
from nbstudy.report.next_steps import more_replicates
from nbstudy.report.overview import Role
from nbstudy.report.race import Raced, table_of_laps, what_it_took, where_it_stands
from nbstudy.report.rule import how_a_race_works, sources_of_the_rule
from nbstudy.report.runs import what_came_of, what_decides
from nbstudy.study.study import load_study
from planted import RACE, RACE_ENDS, Planted, column, raced, rows
from told import answer_of, chosen_in, criteria_of, judged_in, opened_of, round_of, runs_in


@pytest.fixture(scope="session")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What a study left whose race has ended in a tie after two of three laps."""
    return raced(tmp_path_factory.mktemp("tied")).load()


def told_of(results: Results) -> Raced:
    """Return what there is to say of a race."""
    told = race.compute(results)
    assert told is not None
    return told


# --- its laps ---
def test_laps_are_rounds_of_those_that_are_left_by_as_many_runs(tied: Results) -> None:
    assert [each.title for each in tied.rounds] == [
        "Lap 1 of the race: 4 candidates, 2 runs each",
        "Lap 2 of the race: 3 candidates, 4 runs each",
    ]
    first, said = round_of(tied, 1)
    assert column(first, "runs") == ["2"] * 4 and column(first, "val_loss") == [
        "0.3100",
        "0.3200",
        "0.3700",
        "0.7100",
    ]
    assert said.startswith("**The rule drops far** and keeps one, two and six.")
    second, _ = round_of(tied, 2)
    assert column(second, "runs") == ["4"] * 3 and column(second, "val_loss") == [
        "0.3150",
        "0.3200",
        "0.3750",
    ]
    drawn = rounds.compute(tied, tied.rounds[0]).curves
    assert list(drawn[0].runs) == ["one", "one_seed_1"]


def test_table_of_laps_says_who_was_dropped_when(tied: Results) -> None:
    table = rows(table_of_laps(told_of(tied)))
    assert column(table, "candidates") == ["4", "3"] and column(table, "runs each") == ["2", "4"]
    assert column(table, "runs so far") == ["8", "14"]
    assert column(table, "dropped") == ["far", "six"]
    assert column(table, "left") == ["one, two and six", "one and two"]
    assert "TFLOP so far" not in table["1"]


def test_what_a_race_took_is_beside_all_runs_that_it_could_have_taken(tied: Results) -> None:
    assert what_it_took(told_of(tied)) == (
        "It took 14 runs; all 4 with 6 runs each would have taken 24: the share is **0.58**."
    )


def test_budget_in_tflop_is_counted_lap_by_lap(tmp_path: Path) -> None:
    results = raced(tmp_path, RACE + "  budget: {tflop: 1000}\n").load()
    table = rows(table_of_laps(told_of(results)))
    cost = results.race.plan.budget if results.race else 0
    assert cost == 1000
    spent = [float(text) for text in column(table, "TFLOP so far")]
    assert 0 < spent[0] < spent[1]


# --- how it ended ---
def test_tie_is_an_answer_with_its_margin(tied: Results) -> None:
    said = where_it_stands(told_of(tied))
    assert said == (
        "**The race ended in a tie:** after lap 2 of 3 one and two differ by 0.0184 at most, with 95 % confidence, which is "
        "within the margin of 0.04."
    )
    # the smaller network of the two, though the other's mean is better
    answer = write(answer_of(tied, ""))
    assert answer.startswith("> **[two](") and "is chosen** from 4 candidates: " in answer
    assert f"{said} The odds of being the best: two 0." in answer
    assert more_replicates(chosen_in(tied)) == ""
    assert next_steps.write(next_steps.compute(chosen_in(tied), criteria_of(tied))) == (
        "## What to do next\n\nNothing: the choice is clear."
    )


def test_decision_names_the_one_that_is_left(tmp_path: Path) -> None:
    results = raced(
        tmp_path, ends={"one": [0.3, 0.31], "two": [0.5, 0.52], "six": [0.6, 0.6], "far": [0.7, 0.7]}
    ).load()
    assert where_it_stands(told_of(results)) == "**The race is decided:** after lap 1 of 3 one alone is left."
    assert results.choose().chosen == "one"


def test_budget_and_last_lap_leave_it_undecided(tmp_path: Path) -> None:
    margin = "margin: 0.04"
    (tmp_path / "budget").mkdir()
    results = raced(tmp_path / "budget", RACE.replace(margin, "budget: {runs: 17}")).load()
    assert where_it_stands(told_of(results)) == (
        "**The race ended undecided:** after lap 2 of 3 one and two are left, and with the next lap it would take 18 runs, more "
        "than the budget of 17. They differ by 0.0184 at most, with 95 % confidence."
    )
    more = more_replicates(chosen_in(results))
    assert "write `replicates: [2, 4, 6, 34]` and a larger budget into the race in the study file" in more
    (tmp_path / "last").mkdir()
    last = raced(tmp_path / "last", RACE.replace(margin, "").replace("[2, 4, 6]", "[2, 4]")).load()
    assert "one and two are left, and that was the last lap." in where_it_stands(told_of(last))
    assert "write `replicates: [2, 4, 25]` into the race" in more_replicates(chosen_in(last))


def test_diverged_leave_none(tmp_path: Path) -> None:
    study = raced(tmp_path, ends={name: [] for name in RACE_ENDS})
    study.record = load_study(tmp_path / "params" / "mine.yaml").at([], dict.fromkeys(RACE_ENDS, 2)).record()
    write_json(study.outputs / "study.json", study.record)
    for name in study.record["configurations"]:
        study.run(name, [0.4, float("nan")], result={"diverged": 2})
    results = study.load()
    assert (
        where_it_stands(told_of(results))
        == "**The race ended in lap 1 of 3 with none left:** all have diverged."
    )
    assert (
        chosen_line(chosen_in(results))
        == "**No configuration can be chosen yet**: in the race all have diverged."
    )


def test_race_that_is_under_way_says_for_whom_it_waits_and_chooses_none(tmp_path: Path) -> None:
    results = raced(
        tmp_path, ends=RACE_ENDS | {"two": RACE_ENDS["two"][:3]}
    ).load()  # study.json lacks a run, too
    assert where_it_stands(told_of(results)) == "**The race is not decided yet:** lap 2 of 3 waits for two."
    assert what_it_took(told_of(results)) == ""
    table, said = round_of(results, 2)
    assert said == "**Not decided yet:** 2 of 3 candidates are complete; it waits for two."
    assert column(table, "rule") == ["not decided yet"] * 3
    chosen = chosen_in(results)
    assert chosen_line(chosen) == "**No configuration can be chosen yet**: lap 2 of 3 waits for two."
    assert sure_line(chosen) == ""


# --- the rest of the page ---
def test_ranking_by_its_metric_keeps_what_the_race_keeps(tied: Results) -> None:
    ranking = rankings.ranking_of(tied)
    assert ranking.verdict.kept == ["one", "two"] and ranking.chosen == "two"
    assert list(ranking.verdict.costs) == ["one", "two", "six", "far"]
    assert what_decides(runs_in(tied)) == "**val_loss decides** (lower is better)."


def test_first_figure_shows_who_was_dropped_in_the_race(tied: Results) -> None:
    shown = overview.compute(tied, chosen_in(tied), opened_of(tied))
    assert shown is not None
    roles = {point.name: point.role for point in shown.points}
    assert roles == {"one": Role.KEPT, "two": Role.CHOSEN, "six": Role.DROPPED, "far": Role.DROPPED}


def test_table_shows_means_of_the_runs_that_each_has(tied: Results) -> None:
    shown = runs_in(tied)
    for came in (what_came_of(shown, name) for name in shown.groups):
        names = [came.run.name, *(run.name for run in came.replicates)]
        mean = tied.table.loc[names, "settled_val_loss"].mean()
        assert came.values["settled val_loss"].value == pytest.approx(mean, rel=1e-12)


def test_race_is_explained_where_there_is_one(tied: Results, results: Results) -> None:
    told = how_a_race_works(tied)
    assert "have 2, 4 and 6 each" in told and "differ by 0.04 at most" in told and "new seeds" not in told
    assert how_a_race_works(results) == "" and race.compute(results) is None


AFTER_RUNGS = """
notebooks: {run: train.ipynb}
configurations:
  first: {}
  second: {dropout: 0.1}
  third: {dropout: 0.2}
halving: {candidates: "*", metric: val_loss, rungs: [{epochs: 2, keep: 2}]}
race: {epochs: 4, replicates: [2, 3]}
"""


@pytest.fixture(scope="session")
def raced_after_rungs(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What a study left whose race after a rung is decided. An epoch of each run takes 1 TFLOP."""
    root = tmp_path_factory.mktemp("raced_after_rungs")
    study = Planted(root, AFTER_RUNGS)
    loaded = load_study(root / "params" / "mine.yaml")
    study.record = loaded.at(loaded.beginning, {"first": 2, "second": 2}).record()
    write_json(study.outputs / "study.json", study.record)
    ends = {"first": 0.30, "second": 0.32, "third": 0.7, "first_seed_1": 0.5, "first_seed_2": 0.51}
    ends |= {"second_seed_1": 0.3, "second_seed_2": 0.31}
    for name, end in ends.items():
        epochs = study.record["configurations"][name]["epochs"]
        study.run(name, [0.9, end, 0.8, end][:epochs], flops=1e12 * epochs)
    return study.load()


def test_race_after_rungs_is_judged_by_new_seeds_alone(raced_after_rungs: Results) -> None:
    titles = [each.title for each in raced_after_rungs.rounds]
    assert titles == ["Rung 1: 3 candidates, 2 epochs", "Lap 1 of the race: 2 candidates, 2 new seeds each"]
    table, said = round_of(raced_after_rungs, 2)
    assert column(table, "val_loss") == ["0.3050", "0.5050"]
    assert said.startswith("**The rule drops first** and keeps second.")
    assert raced_after_rungs.choose().chosen == "second"
    answer = write(answer_of(raced_after_rungs, ""))
    assert "is chosen** from 3 candidates" in answer and "after lap 1 of 2 second alone is left" in answer
    assert "new seeds, and these alone count" in how_a_race_works(raced_after_rungs)


def test_search_space_says_how_far_candidates_came_and_what_the_race_cost(raced_after_rungs: Results) -> None:
    space = search_space.compute(raced_after_rungs, judged_in(raced_after_rungs))
    assert space is not None and space.levels == ["reached rung 1", "reached lap 1"]
    assert space.reached == {"first": 1, "second": 1, "third": 0}
    # 2 epochs of three, 4 of four new runs; 3 candidates with 3 runs of 4 epochs each, or with one, and the four new runs
    assert search_space.what_halving_saved(space.cost) == (
        "**Cost to the decision:** the rungs and the race took 22 TFLOP. To train every candidate as its last lap trains those "
        "that are left takes 36: the share is **0.61**. To train every candidate to the end once, and the same race after that, "
        "takes 28: of this it is **0.79**."
    )


def test_studies_are_judged_together_by_the_runs_of_a_race(raced_after_rungs: Results, tied: Results) -> None:
    judged = load_results([raced_after_rungs.directory]).judge()
    assert judged.choice.chosen == "second" and judged.choice.verdict.runs == {"second": 2, "first": 2}
    assert load_results([tied.directory]).judge().choice.verdict.runs == {
        "one": 4,
        "two": 4,
        "six": 4,
        "far": 2,
    }


def test_race_that_has_not_ended_is_not_judged_with_others(tmp_path: Path) -> None:
    study = raced(tmp_path, ends=RACE_ENDS | {"two": RACE_ENDS["two"][:3]})
    with pytest.raises(StudyError, match="its race are not decided yet; run it to the end"):
        load_results([study.outputs]).judge()


def test_source_of_a_race_is_shown_where_there_is_one(tied: Results, results: Results) -> None:
    assert run_race in sources_of_the_rule(tied) and run_race not in sources_of_the_rule(results)


def test_first_lap_says_how_likely_the_best_has_come_to_it(raced_after_rungs: Results) -> None:
    _, rung = round_of(raced_after_rungs, 1)
    assert "The best at these epochs is among those that go on with a probability of" in rung
    assert (
        "The best of all candidates has come through with a probability of"
        in round_of(raced_after_rungs, 2)[1]
    )
