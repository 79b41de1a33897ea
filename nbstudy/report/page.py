"""What the summary says, in Markdown: tables and sentences, computed from Results, Verdicts and a Choice.

Whatever does not apply to a study is an empty text, which `show` leaves out.
"""

from __future__ import annotations

import inspect
import math
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import pandas as pd

from nbstudy.checks import StudyError
from nbstudy.decision.elimination import (
    MOST_REPLICATES,
    POWER,
    Choice,
    Noise,
    Stage,
    Verdict,
    best_epoch,
    least_step,
    replicates_needed,
    settled,
    settled_epochs,
)
from nbstudy.decision.metrics import Better, Metric, written
from nbstudy.records.openings import Opening, read_openings
from nbstudy.records.results import SEED, Factor, Ranking, Results, Round, Run, beside
from nbstudy.records.states import State
from nbstudy.report.curves import MOST_CURVES
from nbstudy.words import counted

COMMON = 0.75  # a parameter that more than this share of runs have in common gets no column
METRICS_SHOWN = 2  # of those watched by epoch in the table of runs
NUMBERS_SHOWN = 6  # of the results in the table of runs
SHOWN = 50  # rows of a long table: results.csv has all
NAMED = 12  # names in a sentence
BEST_SHOWN = 3  # of a rung's candidates
NEAR_THE_CUT = 5  # on each side
FIRST_REPLICATES = 3  # what to begin with where there are none
PENALTY = 1e-6  # a loss above the cross-entropy by more than this contains a penalty


# --- words and tables ---
def show(*texts: str) -> None:
    """Display texts as Markdown, one below the other; empty ones show nothing."""
    from IPython.display import Markdown, display

    filled = [text for text in texts if text]
    if filled:
        display(Markdown("\n\n".join(filled)))


def joined(*sentences: str) -> str:
    """Return sentences as a paragraph, without those that are empty."""
    return " ".join(sentence for sentence in sentences if sentence)


def listed(names: Collection[str], most: int = NAMED) -> str:
    """Return names as words of a sentence; of many, only the first, and how many more there are."""
    words = list(names)
    if len(words) > most:
        words[most - 1 :] = [f"{len(words) - most + 1} more"]
    *others, last = words
    if not others:
        return last
    return f"{', '.join(others)} and {last}"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a table in Markdown, without the columns that are empty; empty where all are."""
    texts = [{key: cell(value) for key, value in row.items()} for row in rows]
    keys: dict[str, None] = {}
    for row in texts:
        keys.update(dict.fromkeys(row))
    columns = [key for key in keys if any(row.get(key) for row in texts)]
    if not columns:
        return ""
    head = [key.replace("_", "_&#8203;") for key in columns]  # a long name may wrap there
    lines = [head, ["---"] * len(columns)]
    for row in texts:
        lines.append([row.get(key, "") for key in columns])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table_of_many(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a table that is cut where it would be long, which a sentence then says."""
    text = table(rows[:SHOWN])
    if len(rows) > SHOWN:
        text += f"\n\nThese are the first {SHOWN} of {len(rows):,}, best first; `results.csv` has all."
    return text


def cell(value: Any) -> str:
    """Return a value as a cell of a table, empty where it is missing."""
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    return str(value).replace("|", "&#124;")


def number(value: float) -> str:
    """Return a number as it is written, empty where it is missing."""
    if math.isnan(value):
        return ""
    return written(value)


def link(run: Run) -> str:
    """Return the name of a run, as a link to its log where there is one."""
    if run.state is State.MISSING:
        return run.name
    return f"[{run.name}]({run.directory.as_posix().replace(' ', '%20')}/{run.name}.ipynb)"


def source_of(*functions: Callable[..., Any]) -> str:
    """Show functions as they are written."""
    sources = [inspect.getsource(function).strip() for function in functions]
    return "```python\n" + "\n\n\n".join(sources) + "\n```"


# --- load the runs ---
def no_study(directory: Path) -> str:
    """Say that there is no study, and the cure."""
    there = f"**There is no study in `{directory.as_posix()}`**{beside(directory)}"
    return f"{there}. `python runner.py` makes one."


def loaded(results: Results) -> str:
    """Say what was found of a study, and in what runs differ that should not; or that there is no study."""
    if not results.runs:
        return no_study(results.directory)
    return f"{accounts(results)}\n\n{environments(results)}"


def accounts(results: Results) -> str:
    """Name every run that is not complete, is not as it was asked for, or is not in the study."""
    count = f"**{len(results.complete)} of {len(results.runs)} configurations are complete.**"
    lines = []
    for run in results.runs.values():
        if not run.state.is_done:
            lines.append(f"- {link(run)}: {progress(run)}{because(run)}")
        for oddity in oddities(run):
            lines.append(f"- {link(run)}: {oddity}")
    for name in results.extras:
        lines.append(f"- {name}: extra, on disk but not in the study")
    if len(lines) > SHOWN:
        lines[SHOWN:] = [f"- and {len(lines) - SHOWN:,} more: `results.csv` has the state of each"]
    return "\n".join([count, "", *lines])


def progress(run: Run) -> str:
    """Say in which state a run is, and how far it has come."""
    if run.state is State.MISSING:
        return "missing"
    if run.history.empty:
        return run.word
    return f"{run.word} at epoch {len(run.history)}"


def because(run: Run) -> str:
    """Say why a run failed or is stale."""
    if run.error:
        return f": `{on_a_line(run.error)}`"
    if run.state is State.STALE:
        return ": " + with_arrows(", ".join(run.changes.values()))
    return ""


def oddities(run: Run) -> list[str]:
    """Say what is not usual in what a run left: that it ended early, or went on under other circumstances."""
    oddities = []
    if run.diverged:
        oddities.append(f"its loss was no longer finite at epoch {run.diverged}, and training ended there")
    if run.ended:
        oddities.append(f"ended early: {on_a_line(run.ended)}")
    if run.environment_changes:
        changes = with_arrows(on_a_line(listed(run.environment_changes)))
        oddities.append(f"not from one environment, so be careful with small differences: {changes}")
    return oddities


def on_a_line(text: str) -> str:
    """Return a text of somebody else's on one line, fit to stand in Markdown."""
    return " ".join(text.replace("`", "'").split())


def with_arrows(text: str) -> str:
    """Return a text with its arrows as people write them."""
    return text.replace(" -> ", " → ")


def environments(results: Results) -> str:
    """Say with which processor and libraries the runs were made; warn where these were not the same for all."""
    alike: dict[str, list[str]] = {}
    for name, environment in results.environments.items():
        alike.setdefault(str(sorted(environment.items())), []).append(name)
    made = [results.environments[names[0]] for names in alike.values()]
    if not made:
        return ""
    if len(made) == 1:
        versions = [f"{name} {value}" for name, value in made[0].items()]
        return f"Runs were made with {listed(versions, most=len(versions))}."
    rows = []
    for environment, names in zip(made, alike.values(), strict=True):
        differing = {key: environment.get(key, "") for key in differing_keys(made)}
        rows.append({"runs": len(names), **differing, "configurations": listed(names, most=4)})
    warning = "**Warning: runs differ in library versions or hardware,** and perhaps in their results because of it."
    return f"{warning}\n\n{table(rows)}"


def differing_keys(environments: Sequence[Mapping[str, str]]) -> list[str]:
    """Return what is not the same in all environments."""
    keys: dict[str, None] = {}
    for environment in environments:
        keys.update(dict.fromkeys(environment))
    return [key for key in keys if len({environment.get(key) for environment in environments}) > 1]


def what_decides(results: Results) -> str:
    """Say which metric decides and which values of it are better, or what is missing to know that."""
    missing = why_nothing_decides(results, results.metric)
    if missing:
        return f"**Nothing decides yet:** {missing}."
    decides = f"**{results.metric} decides** ({results.metric.better} is better)"
    if results.halving is not None:
        return f"{decides}: `metric` in the study file says which."
    return f"{decides}, where a round does not name another metric: `metric` in the study file says which."


def why_nothing_decides(results: Results, metric: Metric) -> str:
    """Say why nothing can be decided by a metric, with the cure; empty where it can, or there is no complete run."""
    if not results.complete:
        return ""
    if not results.metrics:
        return "no run left a number to judge it by, in `history.csv` or `result.json`"
    if metric.name not in results.metrics:
        return f"no run has a `{metric}`; what runs have is {listed(results.metrics)}"
    if metric.better is None:
        return f"whether lower or higher values of `{metric}` are better, its name does not say; {say_better(results, metric)}"
    return ""


def say_better(results: Results, metric: Metric) -> str:
    """Say which line the study file needs for a metric of which nobody knows what is better."""
    lines = "`better: lower` or `better: higher`"
    if metric.name == results.metric.name:
        return f"write `metric: {metric}` and {lines} into the study file, and run it again"
    return f"write {lines} beside it into the round of the study file, and run it again"


# --- all runs ---
def table_of_runs(results: Results) -> str:
    """Show what each run came to, and its parameters as far as they vary; of many, the best."""
    common = common_parameters(results)
    rows = []
    for name, values in most_important(results).to_dict("index").items():
        run = results.runs[name]
        row = {"configuration": "<br>".join([link(run), *uncommon(run, common)])}
        row["weights"] = values["weights"]
        row |= metrics_of(results, values)
        row["minutes"] = f"{run.minutes:.1f}"
        row["state"] = ""
        if not run.state.is_done:
            row["state"] = run.word
        for parameter in results.varying:
            if parameter not in common:
                row[parameter] = str(run.parameters.get(parameter))
        row["note"] = note_of(run)
        rows.append(row)
    return table_of_many(rows)


def metrics_of(results: Results, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of a run's metrics: the most important ones by epoch, and numbers of its result."""
    metric = results.metric
    cells = {}
    if results.has_epochs:
        cells["epochs"] = values["epochs"]
    if results.is_by_epoch(metric):
        cells[f"best {metric}"] = values.get(f"best_{metric}")
        cells["at epoch"] = values.get(f"best_{metric}_epoch")
    by_epoch = [each for each in results.watched if each.name in results.curved]
    for each in by_epoch[:METRICS_SHOWN]:
        cells[results.title(each)] = values[results.column(each.name)]
    watched = [each.name for each in results.watched if each.name in results.numbers]
    others = [name for name in results.numbers if name not in watched]
    for name in [*watched, *others][:NUMBERS_SHOWN]:
        cells[name] = values[results.column(name)]
    cells["gap"] = values.get("gap")
    return cells


def note_of(run: Run) -> str:
    """Return what to be careful of with a run, in short."""
    notes = []
    if run.ended:
        notes.append(f"ended early: {on_a_line(run.ended)}")
    notes += [with_arrows(on_a_line(change)) for change in run.environment_changes]
    return "; ".join(notes)


def most_important(results: Results) -> pd.DataFrame:
    """Return the table of results in the study's order; of many runs, best first."""
    column = results.column(results.metric.name)
    if len(results.runs) <= SHOWN or column not in results.table or results.metric.better is None:
        return results.table
    costs = [results.metric.cost(value) for value in results.table[column].astype(float)]
    return results.table.iloc[pd.Series(costs).argsort(kind="stable")]


def common_parameters(results: Results) -> dict[str, str]:
    """Return the parameters that nearly all runs have in common, and what they have."""
    common = {}
    for name in results.varying:
        texts = Counter(str(run.parameters.get(name)) for run in results.runs.values())
        text, count = texts.most_common(1)[0]
        if count > COMMON * len(results.runs):
            common[name] = text
    return common


def uncommon(run: Run, common: Mapping[str, str]) -> list[str]:
    """Name the parameters in which a run is not as nearly all."""
    texts = {name: str(run.parameters.get(name)) for name in common}
    return [f"{name} {text}" for name, text in texts.items() if text != common[name]]


# --- elimination ---
def before_round(results: Results, each: Round) -> str:
    """Return the heading of a round, and what to look for in its figure."""
    heading = f"### {each.number} · {each.title}"
    metric = each.metric
    if not results.is_by_epoch(metric):
        better = ""
        if metric.better:
            better = f" ({metric.better} is better)"
        ends = ""
        if each.epochs:
            ends = f" at the end of each run, as no history has it: `epochs: {each.epochs}` has no effect"
        return f"{heading}\n\nBy {metric}{better}{ends}."
    epochs = "all epochs"
    if each.epochs:
        epochs = f"the first {each.epochs} epochs"
    if metric.better is None:
        return f"{heading}\n\n{metric} over {epochs}."
    look = "Look for the lines that end lowest"
    if metric.better is Better.HIGHER:
        look = "Look for the lines that end highest"
    if len(each.candidates) > MOST_CURVES:
        look = "The best are on top"
    return f"{heading}\n\n{look}: {metric} over {epochs}."


def table_of_round(results: Results, each: Round, verdict: Verdict) -> str:
    """Show the candidates of a round, best first, with what to be careful of; of a rung, those nearest its cut."""
    if each.stage is not None and each.stage.rung.keep is not None:
        return table_of_rung(results, each, verdict)
    not_judged = [name for name in each.candidates if name not in verdict.costs]
    rows = []
    for name in [*verdict.costs, *not_judged]:
        row: dict[str, Any] = {"candidate": link(results.runs[name])}
        row[each.metric.name] = value_in_round(results, each, name, verdict)
        row["runs"] = verdict.runs.get(name)
        row |= compared(name, verdict)
        row["rule"] = decision(name, verdict)
        if results.has_original:
            row["original"] = "kept"
        if name in each.originally_dropped:
            row["original"] = "dropped"
        row["differs from the best in"] = ", ".join(differing_from_best(results, name, verdict))
        row["note"] = "; ".join(notes(results, each, name, verdict))
        rows.append(row)
    return table_of_many(rows)


def value_in_round(results: Results, each: Round, name: str, verdict: Verdict) -> float:
    """Return what a candidate is judged by; where nothing decides, what it comes to."""
    if each.metric.better is None:
        return settled(results.curve(name, each.metric.name, each.epochs).tolist())
    return each.metric.value(verdict.costs.get(name, math.inf))


def compared(name: str, verdict: Verdict) -> dict[str, Any]:
    """Return the cells that say by how much a candidate is worse than another, and how much is allowed."""
    cells: dict[str, Any] = {"worse by": None, "than": None, "allowed": None}
    comparison = verdict.against.get(name)
    if comparison and name != verdict.best:
        cells |= {"worse by": comparison.worse_by, "than": comparison.other}
        if verdict.noise.is_known:
            cells["allowed"] = comparison.allowed
    return cells


def differing_from_best(results: Results, name: str, verdict: Verdict) -> list[str]:
    """Return the parameters, the seed aside, in which a candidate differs from the best one."""
    return results.differing(name, verdict.best or name, results.factors)


def notes(results: Results, each: Round, name: str, verdict: Verdict) -> list[str]:
    """Return what to be careful of with a candidate."""
    run = results.runs[name]
    notes = []
    dropped_before = rounds_of_dropping(results.rounds[: each.number - 1])
    if name in dropped_before:
        notes.append(f"brought back, dropped in round {dropped_before[name]}")
    differing = differing_from_best(results, name, verdict)
    if len(differing) > 1:
        notes.append(f"{len(differing)} parameters at once")
    if name in verdict.spared:
        most = verdict.runs[verdict.best or name]
        notes.append(
            f"kept because it has {counted(verdict.runs[name], 'run')}: with {most} it would be dropped"
        )
    stands_for_it = results.first[name]
    if run.state is not State.COMPLETE:
        notes.append(progress(run))
    elif name not in verdict.costs and stands_for_it in verdict.costs:
        notes.append(f"a replicate of {stands_for_it}")
    elif results.curve(name, each.metric.name).empty:
        notes.append(f"has no {each.metric}")
    return notes


def rounds_of_dropping(rounds: Sequence[Round]) -> dict[str, int]:
    """Return in which of these rounds the original dropped a candidate, the last one if in several."""
    return {name: each.number for each in rounds for name in each.originally_dropped}


def decision(name: str, verdict: Verdict) -> str:
    """Say what the rule does with a candidate."""
    if name not in verdict.costs:
        return "not judged"
    if name in verdict.dropped:
        return "dropped"
    return "kept"


def after_round(results: Results, each: Round, verdict: Verdict) -> str:
    """Say what the rule drops in a round and why, and whether the original did the same."""
    if each.stage is not None and each.stage.rung.keep is not None:
        return after_rung(each, each.stage, verdict)
    if not verdict.costs:
        missing = why_nothing_decides(results, each.metric)
        if missing:
            return f"**Nothing is decided here:** {missing}."
        return "None of the candidates can be judged yet."
    sentences = [what_is_dropped(verdict), noise_in_words(verdict.noise)]
    if each.is_overview:
        sentences.append("The original decided nothing here: this is its overview.")
    elif results.has_original:
        sentences.append(original_in_words(each, verdict))
    return " ".join(sentences)


def what_is_dropped(verdict: Verdict) -> str:
    """Say what a verdict drops and keeps."""
    if not verdict.dropped:
        return "**The rule keeps all that are judged.**"
    if not verdict.kept:
        return "**The rule drops all that are judged**, which are no longer finite."
    return f"**The rule drops {listed(verdict.dropped)}** and keeps {listed(verdict.kept)}."


def original_in_words(each: Round, verdict: Verdict) -> str:
    """Say what the original dropped in a round, and whether the rule agrees."""
    did = "The original dropped none."
    if each.originally_dropped:
        did = f"The original dropped {listed(each.originally_dropped)}."
    disputed = verdict.disputed(each.originally_dropped)
    if disputed:
        return f"{did} **They disagree on {listed(disputed)}.**"
    return f"{did} **They agree.**"


def noise_in_words(noise: Noise) -> str:
    """Say by how much chance changes a run, and how that is known."""
    if not noise.is_known:
        return "By how much chance changes a run is unknown, as there are no replicates."
    if not noise.deviation and not noise.is_guess:
        same = "All replicates are equal, so chance seems to change nothing, and any difference decides"
        return f"{same}: see that the template uses its `{SEED}`, best for how data are split, too."
    varies = f"Chance alone changes a run by a standard deviation of {written(noise.deviation)}"
    if noise.is_guess:
        epochs = f"the last {noise.degrees + 1} epochs of {noise.run}"
        return f"{varies}, a guess from {epochs}, as there are no replicates."
    return f"{varies}, as replicates show ({noise.degrees} degrees of freedom)."


def agreement(results: Results, verdicts: Sequence[Verdict]) -> str:
    """Show in which rounds the rule and the original agree, and count their decisions."""
    rows = []
    for each, verdict in zip(results.rounds, verdicts, strict=True):
        if not results.has_original or each.is_overview:
            continue
        disputed = verdict.disputed(each.originally_dropped)
        row: dict[str, Any] = {"round": each.number, "judged": len(verdict.costs)}
        row["agreed"] = len(verdict.costs) - len(disputed)
        row["only the rule drops"] = ", ".join(name for name in disputed if name in verdict.dropped)
        row["only the original dropped"] = ", ".join(name for name in disputed if name not in verdict.dropped)
        rows.append(row)
    if not rows:
        return ""
    judged = sum(row["judged"] for row in rows)
    agreed = sum(row["agreed"] for row in rows)
    entirely = sum(row["judged"] == row["agreed"] for row in rows)
    sentence = f"The rule and the original agree entirely in {entirely} of {len(rows)} rounds"
    return f"{table(rows)}\n\n{sentence}, and on **{agreed} of {judged} decisions**."


# --- rungs ---
def table_of_rung(results: Results, each: Round, verdict: Verdict) -> str:
    """Show the best of a rung's candidates and those nearest its cut, with what the search varies."""
    rows = []
    ranked = [*verdict.costs]
    places = places_near_the_cut(len(ranked), len(verdict.kept))
    for place in places:
        name = ranked[place]
        row: dict[str, Any] = {"place": place + 1, "candidate": link(results.runs[name])}
        row[each.metric.name] = value_in_round(results, each, name, verdict)
        if verdict.runs[name] > 1:
            row["runs"] = verdict.runs[name]
        row["goes on"] = "yes"
        if name in verdict.dropped:
            row["goes on"] = "no"
        for parameter in results.factors:
            row[parameter] = str(results.runs[name].parameters.get(parameter))
        rows.append(row)
    text = table(rows)
    if len(rows) < len(ranked):
        text += f"\n\nThese are the best, and those on both sides of the cut, of {len(ranked)} candidates."
    return text


def places_near_the_cut(number: int, kept: int) -> list[int]:
    """Return which places of a ranking to show, from 0: the first ones, and those on both sides of the cut."""
    shown = set(range(BEST_SHOWN))
    shown |= set(range(kept - NEAR_THE_CUT, kept + NEAR_THE_CUT))
    return [place for place in range(number) if place in shown]


def after_rung(each: Round, stage: Stage, verdict: Verdict) -> str:
    """Say who goes on from a rung, and how close the cut is."""
    if stage.waits_for:
        there = f"{len(stage.costs)} of {len(stage.candidates)} candidates are complete"
        return f"**Not decided yet:** {there}; it waits for {listed(stage.waits_for)}."
    if not stage.survivors:
        return "**None goes on:** all have diverged."
    sentences = [f"**{len(stage.survivors)} of {len(stage.candidates)} go on:** {listed(stage.survivors)}."]
    dropped = [name for name in verdict.dropped if name in verdict.finite]
    if dropped:
        last, first = verdict.kept[-1], dropped[0]
        difference = verdict.costs[first] - verdict.costs[last]
        sentences.append(
            f"The last that does, {last}, is ahead of the first that does not, {first}, by {written(difference)}."
        )
        if verdict.noise.is_known:
            sentences.append(how_sure_the_cut_is(difference, verdict.noise))
        else:
            sentences.append("A single epoch without replicates does not tell what chance does.")
    diverged = len(stage.costs) - len(verdict.finite)
    if diverged:
        sentences.append(f"{diverged} diverged and cannot go on.")
    return " ".join(sentences)


def how_sure_the_cut_is(difference: float, noise: Noise) -> str:
    """Say whether chance explains the difference between both sides of a cut."""
    text = noise_in_words(noise)
    if difference <= least_step(noise, 1, 1):
        return f"{text} So another seed could have changed places near the cut: it is there to save time, and decides nothing else."
    return f"{text} The cut is clear."


def what_halving_saved(results: Results) -> str:
    """Say what the rungs cost, beside training every candidate as the last rung trains its own."""
    cost = results.cost_of_halving
    if cost is None:
        return ""
    spent, whole = cost
    return (
        f"**Cost to the decision:** the rungs took {spent / 1e12:.0f} TFLOP. To train every candidate as the last rung "
        f"trains its own takes {whole / 1e12:.0f}: the share is **{spent / whole:.2f}**."
    )


# --- the factors ---
@dataclass(frozen=True)
class Step:
    """What changing one parameter by one level does to a metric, all others staying."""

    levels: tuple[str, str]  # from which to which
    change: float  # of the metric
    allowed: float  # the least change that the rule sees between these two

    def is_better(self, metric: Metric) -> bool:
        """Whether it is better by more than chance explains."""
        return -metric.cost(self.change) > self.allowed


def steps_of(factor: Factor, verdict: Verdict) -> list[Step]:
    """Return all steps along a parameter, each judged by the rule as a round of two."""
    steps = []
    for chain in factor.chains:
        for place, change in enumerate(chain.steps):
            before, after = chain.names[place : place + 2]
            allowed = least_step(verdict.noise, verdict.runs[before], verdict.runs[after])
            steps.append(Step((chain.levels[place], chain.levels[place + 1]), change, allowed))
    return steps


def effects(factors: Sequence[Factor], ranking: Ranking, epochs: int | None) -> str:
    """Say how often raising or changing each parameter changes a metric by more than chance explains."""
    lines = []
    for factor in factors:
        for what, steps in alike_steps(factor, ranking.verdict).items():
            lines.append(f"- {effect(what, steps, ranking.metric)}")
    if not lines:
        return ""
    over = ""
    if epochs and epochs > 1:
        over = f" over the first {epochs} epochs"
    least = least_step(ranking.verdict.noise, 1, 1)
    told = "."
    if math.isfinite(least):
        told = f"; between single runs the rule sees {written(least)}, between means of several less."
    return "\n".join([f"By {ranking.metric}{over}{told}\n", *lines])


def alike_steps(factor: Factor, verdict: Verdict) -> dict[str, list[Step]]:
    """Return the steps along a parameter by what they do: raise it, or change it from one level to another."""
    alike: dict[str, list[Step]] = {}
    for step in steps_of(factor, verdict):
        what = f"Raising {factor.name}"
        if not factor.is_ordered:
            before, after = step.levels
            what = f"{factor.name} from {before} to {after}"
        alike.setdefault(what, []).append(step)
    return alike


def effect(what: str, steps: Sequence[Step], metric: Metric) -> str:
    """Say how often a step changes a metric by more than chance explains."""
    better = sum(step.is_better(metric) for step in steps)
    worse = sum(abs(step.change) > step.allowed for step in steps) - better
    counts = f"{better} better and {worse} worse by more than chance explains"
    if any(math.isinf(step.allowed) for step in steps):
        better = sum(metric.cost(step.change) < 0 for step in steps)
        counts = f"{better} better, and nobody knows how much is chance"
    noun = "steps"
    if len(steps) == 1:
        noun = "step"
    mean = statistics.fmean(step.change for step in steps)
    return f"{what}: of {len(steps)} {noun} {counts}; mean change {written(mean, '+')}."


# --- what the criterion hides ---
def table_of_criteria(rankings: Sequence[Ranking]) -> str:
    """Show rankings by several criteria side by side, what each keeps in bold."""
    columns: dict[str, list[str]] = {}
    for ranking in rankings:
        columns[ranking.title] = []
        for name, cost in ranking.verdict.costs.items():
            text = f"{name} {number(ranking.metric.value(cost)) or 'not finite'}"
            if name not in ranking.verdict.dropped:
                text = f"**{text}**"
            columns[ranking.title].append(text)
    rows = []
    for place in range(max(map(len, columns.values()), default=0)):
        row: dict[str, Any] = {"rank": place + 1}
        for title, texts in columns.items():
            if place < len(texts):
                row[title] = texts[place]
        rows.append(row)
    return table_of_many(rows)


def criteria_compared(results: Results, choice: Choice, rankings: Sequence[Ranking]) -> str:
    """Say which configurations each criterion would put ahead of the choice, and where stopping earlier matters."""
    if choice.chosen is None:
        return ""
    lines = [criteria_line(choice, rankings), ""]
    for ranking in rankings:
        ahead = ranking.verdict.ahead_of(choice.chosen)
        if ahead:
            more = f"ahead of {choice.chosen} by more than chance explains"
            lines.append(f"- By {ranking.title}, {listed(ahead)} {are(ahead)} {more}.")
    lines += stopping_time(results, rankings)
    return "\n".join(lines)


def are(names: Collection[str]) -> str:
    """Return the verb that fits so many names."""
    if len(names) == 1:
        return "is"
    return "are"


def stopping_time(results: Results, rankings: Sequence[Ranking]) -> list[str]:
    """Say for which run it matters most when it is stopped, where there are epochs."""
    if not results.is_by_epoch(results.metric):
        return []
    by_settled, by_best_epoch, *_ = rankings
    rises = {}
    for name, cost in by_settled.verdict.finite.items():
        rises[name] = cost - by_best_epoch.verdict.costs[name]
    if not rises:
        return []
    name = max(rises, key=rises.__getitem__)
    metric = by_settled.metric
    best, epoch = best_epoch(results.curve(name, metric.name).tolist(), metric)
    change = f"was {written(best)} at epoch {epoch} and settled at {written(by_settled.values[name])}"
    return [f"- The stopping time matters most for {name}: its {metric} {change}."]


# --- which one is best ---
def table_of_choice(results: Results, choice: Choice) -> str:
    """Show the candidates that can be chosen, with the means and intervals that the choice compares."""
    verdict = choice.verdict
    metric = results.rounds[-1].metric
    rows = []
    for name, cost in verdict.finite.items():
        row: dict[str, Any] = {"configuration": link(results.runs[name])}
        row["weights"] = results.runs[name].weights
        row["minutes"] = f"{results.runs[name].minutes:.1f}"
        row[results.title(metric)] = metric.value(cost)
        row["95 % interval"] = interval(choice, name, metric)
        row["runs"] = verdict.runs[name]
        row |= compared(name, verdict)
        row["rule"] = decision(name, verdict)
        rows.append(row)
    return table_of_many(rows)


def interval(choice: Choice, name: str, metric: Metric) -> str:
    """Return the 95 % interval of a candidate's mean, empty where chance is unknown."""
    half = choice.verdict.half_width(name)
    if math.isnan(half):
        return ""
    value = metric.value(choice.verdict.costs[name])
    return f"{written(value - half)} to {written(value + half)}"


def choice_made(results: Results, choice: Choice) -> str:
    """Say what is chosen from what and why, what another rule would choose, and what the original was left with."""
    if choice.chosen is None:
        return "No run can be judged yet, so none is chosen."
    sentences = []
    if len(choice.verdict.costs) > 1:
        sentences.append(f"The candidates are {candidates_in_words(results)}.")
    sentences.append(why_it_is_chosen(results, choice))
    if results.sizes and choice.within_one_error == choice.chosen:
        sentences.append("The one-standard-error rule chooses it, too.")
    elif results.sizes:  # without, that rule chooses the best
        sentences.append(f"The one-standard-error rule chooses {choice.within_one_error}.")
    left = left_by_original(results)
    if left:
        sentences.append(f"The original was left with {listed(left)}.")
    return " ".join(sentences)


def why_it_is_chosen(results: Results, choice: Choice) -> str:
    """Say what makes the choice better than others that the rule keeps."""
    verdict = choice.verdict
    if not verdict.noise.is_known and len(verdict.finite) > 1:
        unknown = "As nobody knows how much is chance, the best value counts"
        return f"{unknown}, that of **{choice.chosen}**: **it is the choice**."
    if len(verdict.kept) == 1:
        return f"The rule keeps **{choice.chosen}** alone: **it is the choice**."
    what = "the best"
    if is_smaller(results, choice):
        what = "the smallest"
    return f"Of what the rule keeps, {listed(verdict.kept)}, **{choice.chosen}** is {what}: **it is the choice**."


def is_smaller(results: Results, choice: Choice) -> bool:
    """Tell whether the choice has fewer weights than others that the rule keeps, so that these decide."""
    sizes = {results.sizes[name] for name in choice.verdict.kept if name in results.sizes}
    return choice.chosen in results.sizes and len(sizes) > 1


def candidates_in_words(results: Results) -> str:
    """Say what the choice is made from."""
    last = results.rounds[-1]
    return f"those of the last round, *{last.title}*: {listed(last.candidates)}"


def left_by_original(results: Results) -> list[str]:
    """Return what the original had not dropped after its last round; none where there is no original."""
    if not results.has_original:
        return []
    last = results.rounds[-1]
    return [name for name in last.candidates if name not in last.originally_dropped]


def more_replicates(results: Results, choice: Choice) -> str:
    """Say how many replicates would tell the two best apart, and the line for the study file, where that is open."""
    verdict = choice.verdict
    if choice.chosen is None or len(verdict.kept) < 2:
        return ""
    first, second, *_ = verdict.kept
    if not isinstance(results.runs[first].parameters.get(SEED), int):
        return f"A parameter `{SEED}` in the template would allow replicates, which say how much is chance."
    if verdict.noise.is_guess or not verdict.noise.is_known:
        line = study_lines(results, first, second, FIRST_REPLICATES)
        return f"There are no replicates, so nobody knows how much is chance. To know it, {line}."
    if not verdict.excess[second]:
        return ""
    number = replicates_needed(verdict)
    apart = f"To tell {first} and {second} apart at the difference seen, {written(verdict.excess[second])},"
    if number is None:
        return f"{apart} takes more than {MOST_REPLICATES:,} runs of each: for practical purposes they are equally good."
    more = 2 * number - verdict.runs[first] - verdict.runs[second]
    minutes = (results.runs[first].minutes + results.runs[second].minutes) / 2 * more
    cost = f"{more} more than there are, about {duration(minutes, digits=0)} of computing"
    chance = f"with a chance of {POWER:.0%}"
    return f"{apart} {chance} takes about {number} runs of each ({cost}): {study_lines(results, first, second, number)}."


def study_lines(results: Results, first: str, second: str, number: int) -> str:
    """Say what to write into the study file for so many runs of two configurations."""
    lines = f"`replicates: {number}` into {first} and {second}"
    if results.halving is not None:
        lines = f"`replicates: {number}` into the last rung"
    return f"write {lines} in the study file, and run it again"


# --- final test evaluation ---
@dataclass(frozen=True)
class Tested:
    """What the test set says of a model."""

    right: int  # images
    images: int
    loss: float  # without penalty

    @property
    def accuracy(self) -> float:
        """The share of images that are classified rightly."""
        return self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        from scipy.stats import binomtest

        low, high = binomtest(self.right, self.images).proportion_ci(method="wilson")
        return float(low), float(high)

    def __str__(self) -> str:
        """Return the accuracy and its interval."""
        low, high = self.interval
        return f"{written(self.accuracy)} (95 % interval {written(low)} to {written(high)})"


def tested_by(answers: pd.DataFrame) -> Tested:
    """Return what answers come to: a row an image, `true` and `said` classes, `loss` the cross-entropy."""
    right = int((answers["true"] == answers["said"]).sum())
    return Tested(right, len(answers), float(answers["loss"].mean()))


def why_shut(results: Results) -> str | None:
    """Say why the test set stays shut; None where it may be opened."""
    if results.overrides:
        changed = listed([f"{name} {value}" for name, value in results.overrides.items()])
        return f"this is a quick look, with {changed} for all configurations, and decides nothing"
    if results.final not in results.runs:
        if results.final_is_made:
            return f"{results.final} is made of the choice, which is not made yet"
        return "the study names no final configuration"
    if results.incomplete:
        return f"{len(results.incomplete)} of {len(results.runs)} configurations are not complete"
    return None


def test_state(results: Results, shut: str | None) -> str:
    """Say whether the test set is open or why it stays shut, and how often it was opened for which models."""
    sentences = [f"**The test set is open** for {results.final}."]
    if shut:
        sentences = [f"**The test set stays shut:** {shut}."]
    openings = openings_of(results)
    if openings:
        sentences.append(openings_in_words(openings))
    return " ".join(sentences)


def openings_of(results: Results) -> list[Opening]:
    """Return the openings on record; none where the record is damaged, which keeps the test set shut."""
    with suppress(StudyError):
        return read_openings(results.directory)
    return []


def openings_in_words(openings: Sequence[Opening]) -> str:
    """Say how often the test set was opened for a study, and for which models."""
    each = [f"on {opening.when[:10]} for {opening.configuration}" for opening in openings]
    others = "Other studies on the same images have records of their own."
    if len(openings) == 1:
        return f"It was opened once, {each[0]}. {others}"
    suspicion = "whoever saw an earlier result may have chosen by it, so be suspicious of this one"
    return f"**It was opened {len(openings)} times:** {listed(each)}; {suspicion}. {others}"


def test_accuracy(tested: Tested, published: Mapping[str, float]) -> str:
    """Say the accuracy on the test set with its uncertainty, and compare it with published ones."""
    low, high = tested.interval
    sentences = [
        f"**Test accuracy: {written(tested.accuracy)}**, with 95 % certainty {written(low)} to {written(high)}."
    ]
    for who, value in published.items():
        where = "too close to call against"
        if value > high:
            where = "below"
        if value < low:
            where = "above"
        sentences.append(f"It is {where} the published {value} of {who}.")
    sentences.append(f"The loss, without penalty, is {written(tested.loss)}.")
    return " ".join(sentences)


def last_epoch(results: Results, choice: Choice) -> str:
    """Say how much the epoch that a model stops at can change its accuracy, where that is known."""
    twin = twin_of_final(results, choice)
    last = settled_epochs(results.curve(twin, "val_accuracy").tolist())
    if len(last) < 2:
        return ""
    return (
        f"A model is what its last epoch left, and epochs differ: over the last {len(last)} of {twin} the "
        f"val_accuracy is {written(statistics.fmean(last))} on average, {written(min(last))} at worst and {written(max(last))} at best."
    )


def confusions(tested: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return how often each class (rows) is taken for each (columns)."""
    numbers = range(len(classes))
    counts = pd.crosstab(tested["true"], tested["said"]).reindex(numbers, columns=numbers, fill_value=0)
    return counts.set_axis(classes, axis=0).set_axis(classes, axis=1)


def table_of_classes(counts: pd.DataFrame) -> str:
    """Show precision and recall of each class, and say which is most often taken for which."""
    rows = []
    pairs = {}
    for true in counts.index:
        said = max(1, counts[true].sum())
        shown = max(1, counts.loc[true].sum())
        right = counts.loc[true, true]
        rows.append({"class": true, "precision": right / said, "recall": right / shown})
        for other in counts.columns:
            if other != true:
                pairs[true, other] = counts.loc[true, other]
    true, other = max(pairs, key=pairs.__getitem__)
    return f"Most often {true} is taken for {other}.\n\n{table(rows)}"


# --- the answer, and the conclusion ---
def answer(
    results: Results,
    choice: Choice,
    rankings: Sequence[Ranking],
    shut: str | None,
    tested: Tested | None,
) -> str:
    """Return the answer in five lines at most, for the top of the page."""
    lines = [
        chosen_line(results, choice),
        runner_up_line(choice),
        criteria_line(choice, rankings),
        test_line(results, choice, shut, tested),
        incomplete_line(results),
    ]
    return "\n>\n".join(f"> {line}" for line in lines if line)


def chosen_line(results: Results, choice: Choice) -> str:
    """Say what was chosen from what, its value, and what it costs."""
    if choice.chosen is None:
        missing = why_nothing_decides(results, deciding_at_last(results)) or where_rungs_stand(results)
        return f"**No configuration can be chosen yet**: {missing or 'no run can be judged'}."
    run = results.runs[choice.chosen]
    return f"**{link(run)} is chosen**{chosen_from(results, choice)}: {what_it_is(results, choice)}."


def where_rungs_stand(results: Results) -> str:
    """Say what the rung that is under way waits for; empty where there are none."""
    if results.halving is None:
        return ""
    top = results.stages[-1]
    where = f"rung {len(results.stages)} of {len(results.halving.rungs)}"
    if top.waits_for:
        return f"{where} waits for {listed(top.waits_for)}"
    return f"on {where} all have diverged"


def deciding_at_last(results: Results) -> Metric:
    """Return the metric by which the choice is made: that of the last round."""
    for last in results.rounds[-1:]:
        return last.metric
    return results.metric


def chosen_from(results: Results, choice: Choice) -> str:
    """Say what a choice is from, by name where these are few; of rungs, from how many they began with."""
    if results.halving is not None:
        return f" from {len(results.halving.candidates):,} candidates"
    names = [name for name in results.rounds[-1].candidates if name in choice.verdict.costs]
    if len(names) == 1:
        return ""
    if len(names) > NAMED:
        return f" from {len(names):,} configurations"
    return f" from {listed(names)}"


def what_it_is(results: Results, choice: Choice) -> str:
    """Say the value of the choice with its interval, its weights and its minutes."""
    run = results.runs[choice.chosen or ""]
    metric = results.rounds[-1].metric
    value = metric.value(choice.verdict.costs[run.name])
    sure = counted(choice.verdict.runs[run.name], "run")
    between = interval(choice, run.name, metric)
    if between:
        sure = f"95 % interval {between}, {sure}"
    words = [f"its {results.title(metric)}{over_epochs(results)} is {written(value)} ({sure})"]
    if run.weights is not None:
        words.append(f"it has {run.weights:,} weights")
    if run.minutes:
        words.append(f"a run takes {duration(run.minutes)}")
    return listed(words)


def duration(minutes: float, digits: int = 1) -> str:
    """Return a duration in words, in seconds where it is short."""
    if minutes < 1:
        return counted(round(60 * minutes), "second")
    return f"{minutes:.{digits}f} minutes"


def over_epochs(results: Results) -> str:
    """Say over which epochs the last round judges, where these are not all."""
    last = results.rounds[-1]
    epochs = last.epochs
    if not epochs or not results.is_by_epoch(last.metric):
        return ""
    return f" over the first {epochs} epochs"


def runner_up_line(choice: Choice) -> str:
    """Say how far the next best candidate is from the choice, or the choice from the best."""
    verdict = choice.verdict
    if choice.chosen is None or len(verdict.finite) < 2:
        return ""
    best, second, *_ = verdict.finite
    if choice.chosen != best:
        worse = verdict.excess[choice.chosen]
        close = "too close to call, so the smaller network is chosen"
        return f"The best mean is that of {best}, better by {written(worse)}: {close}."
    worse = verdict.excess[second]
    if not verdict.noise.is_known:
        return f"The runner-up, {second}, is worse by {written(worse)}, and nobody knows how much is chance."
    if second in verdict.kept:
        return f"The runner-up, {second}, is worse by {written(worse)}, which chance explains: too close to call."
    least = verdict.against[second].allowed
    return f"The runner-up, {second}, is worse by {written(worse)}, where chance explains {written(least)} at most."


def criteria_line(choice: Choice, rankings: Sequence[Ranking]) -> str:
    """Say whether another criterion would choose otherwise, and which configurations."""
    if choice.chosen is None or len(rankings) < 2 or len(rankings[0].verdict.costs) < 2:
        return ""
    by_choice: dict[str, list[str]] = {}
    ahead = []
    ranked = set(rankings[0].verdict.costs)
    for ranking in rankings:
        if ranking.chosen not in (None, choice.chosen):
            by_choice.setdefault(str(ranking.chosen), []).append(ranking.title)
        names = ranking.verdict.ahead_of(choice.chosen)
        if names:
            names[0] += f" ({written(ranking.values[names[0]])})"
            ahead.append(f"{listed(names, most=3)} by {ranking.title}")
    parts = [f"by {listed(titles)} it would be {name}" for name, titles in by_choice.items()]
    if ahead:
        whose = "of all configurations, not the candidates alone, these"
        if ranked <= choice.verdict.costs.keys():
            whose = "these"
        parts.append(f"{whose} are ahead by more than chance explains: {', and '.join(ahead)}")
    if parts:
        return f"**Another criterion would choose otherwise:** {'; '.join(parts)}."
    titles = [ranking.title for ranking in rankings]
    return f"**Each criterion chooses the same:** {listed(titles)}."


def test_line(results: Results, choice: Choice, shut: str | None, tested: Tested | None) -> str:
    """Say what the test set says of which model, or why it stays shut."""
    if not results.test:
        return ""
    if shut or tested is None:
        reason = str(shut).partition(";")[0]  # the cure is where the test set is evaluated
        return f"**The test set stays shut:** {reason}."
    line = f"**The test accuracy is {tested}**, that of {what_is_tested(results, choice)}"
    number = len(openings_of(results))
    if number > 1:
        return f"{line}; **the test set was opened {number} times**, so be suspicious of it."
    return f"{line}."


def incomplete_line(results: Results) -> str:
    """Say what is not complete."""
    if not results.incomplete:
        return ""
    missing = f"{len(results.incomplete)} of {len(results.runs)} configurations"
    return f"**Not complete yet**, so that this may change: {missing} ({listed(results.incomplete, most=6)})."


def conclusion(
    results: Results,
    verdicts: Sequence[Verdict],
    choice: Choice,
    rankings: Sequence[Ranking],
    shut: str | None,
    tested: Tested | None,
) -> str:
    """Say the answer again with its reasons, and what an original elimination could not see."""
    lines = [chosen_line(results, choice)]
    if choice.chosen:
        lines.append(f"**Why.** {joined(choice_made(results, choice), runner_up_line(choice))}")
        sure = joined(noise_in_words(choice.verdict.noise), more_replicates(results, choice))
        lines.append(f"**How sure.** {sure}")
    lines.append(criteria_line(choice, rankings))
    lines.append(test_line(results, choice, shut, tested))
    if tested:
        lines.append(last_epoch(results, choice))
    lines.append(incomplete_line(results))
    parts = ["## Conclusion", "\n".join(f"- {line}" for line in lines if line)]
    unseen = what_the_original_could_not_see(results, verdicts, choice, tested)
    if unseen:
        parts += ["### What the original could not see", unseen]
    return "\n\n".join(parts)


def what_is_tested(results: Results, choice: Choice) -> str:
    """Say which configuration the final one is nearest to, in what it differs, and whether that is the choice."""
    final = str(results.final)
    twin = twin_of_final(results, choice)
    if twin == final:
        return final
    same = "not the choice made here"
    if results.first[twin] == choice.chosen:
        same = "the choice"
    changes = []
    for key in results.differing(final, twin, results.varying):
        changes.append(f"{key} {results.runs[final].parameters.get(key)}")
    if not changes:
        return f"{final}, which is {twin} ({same})"
    return f"{final}, which is {twin} ({same}) but for {listed(changes)}"


def twin_of_final(results: Results, choice: Choice) -> str:
    """Return the configuration that the final one is nearest to, itself where it is the choice."""
    final = str(results.final)
    if results.first[final] == choice.chosen or len(results.runs) == 1:
        return final
    others = [name for name in results.runs if name != final]
    others.sort(key=lambda name: name != choice.chosen)  # of equally near ones the choice
    return min(others, key=lambda name: len(results.differing(final, name, results.varying)))


# --- what the original could not see ---
def what_the_original_could_not_see(
    results: Results, verdicts: Sequence[Verdict], choice: Choice, tested: Tested | None
) -> str:
    """Say what its criterion hid, how many of its decisions chance explains, and what its choice is worth."""
    if not results.has_original or choice.chosen is None:
        return ""
    worth = ""
    if tested:
        what = what_is_tested(results, choice)
        worth = f"What a choice is worth on images that took no part in it, the test set says: {tested} for {what}."
    return joined(what_the_penalty_hid(results), what_chance_explains(results, verdicts), worth)


def what_the_penalty_hid(results: Results) -> str:
    """Compare the accuracy of networks whose loss contains a penalty with that of the others."""
    losses = results.ranking(results.metric_called("val_loss")).values
    errors = results.ranking(results.metric_called("val_cross_entropy")).values
    accuracies = results.ranking(results.metric_called("val_accuracy")).values
    with_penalty = {}
    without = {}
    for name, accuracy in accuracies.items():
        if losses.get(name, 0.0) - errors.get(name, math.inf) > PENALTY:
            with_penalty[name] = accuracy
        elif name in losses and name in errors:
            without[name] = accuracy
    if not with_penalty or not without:
        return ""
    how = "better"
    if statistics.median(without.values()) < statistics.median(with_penalty.values()):
        how = "worse"
    dropped = rounds_of_dropping(results.rounds)
    gone = sum(name in dropped for name in without)
    return (
        f"Its criterion, val_loss, adds to the error of each network the network's own penalty. "
        f"Without a penalty networks classify {how}: {level(without)} without one, {level(with_penalty)} with one. "
        f"The original dropped {gone} of the {len(without)} without."
    )


def level(accuracies: Mapping[str, float]) -> str:
    """Say at which accuracy networks settle."""
    best = max(accuracies, key=accuracies.__getitem__)
    median = statistics.median(accuracies.values())
    return f"a median val_accuracy of {written(median)} and at best {written(accuracies[best])} ({best})"


def what_chance_explains(results: Results, verdicts: Sequence[Verdict]) -> str:
    """Say how many of the original's eliminations are within chance."""
    decisions = 0
    within = []
    for each, verdict in zip(results.rounds, verdicts, strict=True):
        for name in each.originally_dropped:
            if name in verdict.costs:
                decisions += 1
                if name in verdict.kept:
                    within.append(name)
    noise = verdicts[0].noise
    if not decisions or noise.is_guess or not noise.is_known:
        return ""
    deviation = f"a standard deviation of {written(noise.deviation)} in a run's {results.rounds[0].metric}"
    chance = f"It did not know by how much chance alone changes a run: {deviation}, as replicates show."
    if not within:
        return f"{chance} All {decisions} of its eliminations are larger than what chance explains."
    which = listed(dict.fromkeys(within))
    return f"{chance} Of its {decisions} eliminations, chance explains {len(within)}: those of {which}."
