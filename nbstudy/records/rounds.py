"""The rounds of a study: those that its file names, or its rungs and the laps of its race as far as they are reached."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nbstudy.decision.critical import ERROR_RATE
from nbstudy.decision.elimination import Choice, Family, Verdict, choice_on, choose, judge
from nbstudy.decision.halving import Stage, judge_rung
from nbstudy.decision.metrics import Metric, metric_called
from nbstudy.decision.race import Lap, runs_at_last
from nbstudy.decision.scores import Score
from nbstudy.records.outputs import Outputs, read_better, rounds_in
from nbstudy.records.race import laps_of, runs_in_race, runs_with_new_seeds, scores_in_race
from nbstudy.records.reading import field_of
from nbstudy.records.rungs import runs_at, scores_at, stages_of, witnesses_at
from nbstudy.records.scores import scores_of
from nbstudy.study.halving import Halving
from nbstudy.study.race import Race
from nbstudy.words import counted

Length = tuple[Metric, int | None]  # by what runs are compared, and over how many epochs


@dataclass(frozen=True)
class Round:
    """A round of elimination, as the study asks for it."""

    number: int  # 1 is the first
    title: str
    candidates: tuple[str, ...]
    metric: Metric
    epochs: int | None  # only the first ones are looked at; None: all of them
    originally_dropped: tuple[str, ...]
    is_overview: bool  # the first, in which the original dropped nothing
    stage: Stage | None = None  # the rung that it is, where that is one
    lap: Lap | None = None  # the lap of a race that it is, likewise
    family: Family | None = None  # with whose error rate the rule decides; None where it does not


def has_original(rounds: Sequence[Round]) -> bool:
    """Tell whether a study file says what was dropped in an original elimination."""
    return any(each.originally_dropped for each in rounds)


# --- which there are ---
def rounds_of(outputs: Outputs) -> list[Round]:
    """Return the rounds of elimination: rungs and laps as far as they are reached, or those of the study file."""
    rounds = []
    if outputs.halving is not None:
        rounds += rounds_of_rungs(outputs.halving, stages_of(outputs))
    if outputs.race is not None:
        rounds += rounds_of_laps(outputs.race, laps_of(outputs), len(rounds) + 1)
    return rounds or named_rounds(outputs)


def rounds_of_rungs(halving: Halving, stages: Sequence[Stage]) -> list[Round]:
    """Return a round for each rung."""
    rounds = []
    for number, stage in enumerate(stages, 1):
        rounds.append(
            Round(
                number=number,
                title=title_of(number, stage),
                candidates=tuple(stage.candidates),
                metric=halving.metric,
                epochs=stage.rung.epochs,
                originally_dropped=(),
                is_overview=False,
                stage=stage,
                family=stage.family,
            )
        )
    return rounds


def title_of(number: int, stage: Stage) -> str:
    """Return the heading of a rung."""
    title = (
        f"Rung {number}: {counted(len(stage.candidates), 'candidate')}, {counted(stage.rung.epochs, 'epoch')}"
    )
    if stage.rung.replicates:
        title += f", {stage.rung.replicates} new seeds each"
    return title


def rounds_of_laps(race: Race, laps: Sequence[Lap], first: int) -> list[Round]:
    """Return a round for each lap of a race, of which the first has this number."""
    rounds = []
    for number, lap in enumerate(laps, first):
        candidates = tuple(lap.candidates)
        rounds.append(
            Round(
                number=number,
                title=title_of_lap(lap, race),
                candidates=candidates,
                metric=race.metric,
                epochs=race.epochs,
                originally_dropped=(),
                is_overview=False,
                lap=lap,
                family=Family(candidates, lap.verdict.error_rate),
            )
        )
    return rounds


def title_of_lap(lap: Lap, race: Race) -> str:
    """Return the heading of a lap."""
    runs = counted(lap.runs, "run")
    if race.follows_rungs:
        runs = f"{lap.runs} new seeds"
    return f"Lap {lap.number} of the race: {counted(len(lap.candidates), 'candidate')}, {runs} each"


def named_rounds(outputs: Outputs) -> list[Round]:
    """Return the rounds that a study names, or one of all configurations but `final`, replicates aside."""
    given = rounds_in(outputs.record) or round_of_all(outputs)
    has_original = any(field_of(each, "originally_dropped", list) for each in given)
    rounds = []
    for number, each in enumerate(given, 1):
        dropped = known(each, "originally_dropped", outputs.runs)
        name = field_of(each, "metric", str) or outputs.metric.name
        rounds.append(
            Round(
                number=number,
                title=field_of(each, "title", str),
                candidates=known(each, "candidates", outputs.runs),
                metric=metric_called(name, read_better(each) or outputs.directions.get(name)),
                epochs=field_of(each, "epochs", int) or None,
                originally_dropped=dropped,
                is_overview=number == 1 and has_original and not dropped,
            )
        )
    return in_families(outputs, rounds)


def in_families(outputs: Outputs, rounds: Sequence[Round]) -> list[Round]:
    """Return rounds with their families: those by one metric at one length are one; all share ERROR_RATE evenly."""
    members: dict[Length, dict[str, None]] = {}
    for each in rounds:
        members.setdefault(length_of(outputs, each), {}).update(dict.fromkeys(each.candidates))
    rate = ERROR_RATE / max(1, len(members))
    families = {length: Family(tuple(names), rate) for length, names in members.items()}
    return [replace(each, family=families[length_of(outputs, each)]) for each in rounds]


def length_of(outputs: Outputs, each: Round) -> Length:
    """Return by what a round compares, and over how many epochs; None where these are all that its runs have."""
    epochs = each.epochs
    longest = max((outputs.runs[name].epochs for name in each.candidates), default=0)
    if not outputs.is_by_epoch(each.metric) or (epochs and epochs >= longest):
        epochs = None
    return each.metric, epochs


def round_of_all(outputs: Outputs) -> list[dict[str, Any]]:
    """Return the one round of a study that names none, as study.json would have it; none where there is no candidate."""
    everyone = candidates_of_all(outputs)
    if not everyone:
        return []
    return [{"title": "All configurations", "candidates": everyone}]


def candidates_of_all(outputs: Outputs) -> list[str]:
    """Return the first of the replicates of each configuration, but of the final one's none."""
    return [name for name in dict.fromkeys(outputs.parameters.first.values()) if name != outputs.final]


def known(content: dict[str, Any], name: str, names: Collection[str]) -> tuple[str, ...]:
    """Return a list of names in a JSON object, each that is known once."""
    given = [each for each in field_of(content, name, list) if isinstance(each, str)]
    return tuple(each for each in dict.fromkeys(given) if each in names)


# --- what the rule says of them ---
def runs_in(outputs: Outputs, each: Round) -> dict[str, list[str]]:
    """Return the runs that a rung or a lap judges by candidate; none in any other round, where all count.

    What nobody has asked for yet, as the runner has only just come to it, is left out.
    """
    runs: dict[str, list[str]] = {}
    for name in each.candidates:
        if each.stage is not None:
            runs[name] = runs_at(outputs, name, each.stage.rung)
        if each.lap is not None:
            runs[name] = runs_in_race(outputs, name, each.lap.runs)
    return {name: [run for run in own if run in outputs.runs] for name, own in runs.items()}


def decisive_runs(outputs: Outputs, rounds: Sequence[Round]) -> dict[str, list[str]]:
    """Return the runs that judge on the last rung or in a race after rungs, by candidate; none where all runs count.

    Others have not trained as long, or brought a candidate there by their luck.
    """
    racing = runs_of_racers(rounds)
    if racing and outputs.halving is None:
        return {}
    if racing:
        return {name: runs_in_race(outputs, name, number) for name, number in racing.items()}
    for last in rounds[-1:]:
        return runs_in(outputs, last)
    return {}


def decisive_scores(outputs: Outputs, rounds: Sequence[Round]) -> dict[str, Score]:
    """Return what these runs are judged by on the last rung or in the race after it."""
    for last in rounds[-1:]:
        if last.stage is not None:
            return scores_at(outputs, last.stage)
    return scores_in_race(outputs, runs_of_racers(rounds))


def runs_of_racers(rounds: Sequence[Round]) -> dict[str, int]:
    """Return how many runs each has that takes part in a race; empty without one."""
    return runs_at_last([each.lap for each in rounds if each.lap is not None])


def judge_round(outputs: Outputs, each: Round) -> Verdict:
    """Return what the rule says of a round. A rung that keeps a number of candidates drops the others."""
    if each.lap is not None:
        return each.lap.verdict
    if each.stage is not None:
        new = runs_with_new_seeds(outputs, stages_of(outputs), laps_of(outputs))
        witnesses = witnesses_at(outputs, each.stage.rung, new)
        return judge_rung(scores_at(outputs, each.stage), each.stage, witnesses)
    return judge(scores_of(outputs, each.metric, each.epochs), each.candidates, each.family)


def choose_in(outputs: Outputs, rounds: Sequence[Round], judged: Callable[[Round], Verdict]) -> Choice:
    """Choose among the candidates of the last round, of the last rung or of the lap that ends the race, as it judges them.

    `judged` returns what the rule says of a round.
    """
    if not rounds:
        return choose({}, (), {})
    last = rounds[-1]
    if last.lap is not None and last.lap.end is not None:
        return choice_on(last.lap.verdict, outputs.sizes)
    if last.stage is None and last.lap is None:
        return choice_on(judged(last), outputs.sizes)
    if last.stage is not None and last.stage.rung.keep is None:
        return choose(scores_at(outputs, last.stage), last.candidates, outputs.sizes, last.family)
    return choose({}, (), {})  # nothing is chosen on the way
