"""What the summary says, in Markdown: tables and sentences, computed from Results, Verdicts and a Choice."""

from __future__ import annotations

import inspect
import math
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import pandas as pd

from nbstudy.elimination import DEVIATIONS, Choice, Noise, Verdict, best_epoch, lower_is_better, value_of
from nbstudy.results import Factor, Ranking, Results, Round, Run, beside
from nbstudy.runs import State

COMMON = 0.75  # a parameter that more than this share of runs have in common gets no column


# --- words and tables ---
def listed(names: Collection[str]) -> str:
    """Return names as words of a sentence."""
    *others, last = names or ["nothing"]
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
    """Return a number with four decimals, empty where it is missing."""
    if math.isnan(value):
        return ""
    return f"{value:.4f}"


def link(run: Run) -> str:
    """Return the name of a run, as a link to its log where there is one."""
    if run.state is State.MISSING:
        return run.name
    return f"[{run.name}]({run.directory.as_posix().replace(' ', '%20')}/{run.name}.ipynb)"


def better(metric: str) -> str:
    """Say which values of a metric are better."""
    if lower_is_better(metric):
        return "lower"
    return "higher"


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
    """Name every run that is not complete, ended early, or is not in the study."""
    count = f"**{len(results.complete)} of {len(results.runs)} configurations are complete.**"
    lines = [count, ""]
    for run in results.runs.values():
        if not run.state.is_done:
            lines.append(f"- {link(run)}: {progress(run)}{because(run)}")
        if run.diverged:
            lines.append(
                f"- {link(run)}: its loss was no longer finite at epoch {run.diverged}, and training ended there"
            )
    for name in results.extras:
        lines.append(f"- {name}: extra, on disk but not in the study")
    return "\n".join(lines)


def progress(run: Run) -> str:
    """Say in which state a run is, and how far it has come."""
    if run.state is State.MISSING:
        return "missing"
    return f"{run.word} at epoch {len(run.history)}"


def because(run: Run) -> str:
    """Say why a run failed or is stale."""
    if run.error:
        text = " ".join(run.error.replace("`", "'").split())  # as code, on one line
        return f": `{text}`"
    if run.state is State.STALE:
        return ": " + ", ".join(run.changes).replace(" -> ", " → ")
    return ""


def environments(results: Results) -> str:
    """Show the devices and versions of libraries that runs were made with; warn where there are several."""
    made: list[dict[str, str]] = []
    runs: list[int] = []
    for run in results.runs.values():
        if not run.environment:
            continue
        if run.environment not in made:
            made.append(run.environment)
            runs.append(0)
        runs[made.index(run.environment)] += 1
    rows = [{"runs": count, **environment} for count, environment in zip(runs, made, strict=True)]
    if len(made) < 2:
        return table(rows)
    warning = "**Warning: runs differ in library versions or hardware,** and perhaps in their results because of it."
    return f"{warning}\n\n{table(rows)}"


# --- all runs ---
def table_of_runs(results: Results) -> str:
    """Show what each run came to, and its parameters as far as they vary."""
    metric = results.metric
    common = common_parameters(results)
    rows = []
    for name, values in results.table.to_dict("index").items():
        run = results.runs[name]
        row = {"configuration": "<br>".join([link(run), *uncommon(run, common)])}
        row["weights"] = values["weights"]
        row["epochs"] = values["epochs"]
        row[f"best {metric}"] = values.get(f"best_{metric}")
        row["at epoch"] = values.get(f"best_{metric}_epoch")
        for each in results.watched[:2]:  # results.csv has all
            row[f"settled {each}"] = values[f"settled_{each}"]
        row["gap"] = values.get("gap")
        row["minutes"] = f"{run.minutes:.1f}"
        row["state"] = ""
        if not run.state.is_done:
            row["state"] = run.word
        for parameter in results.varying:
            if parameter not in common:
                row[parameter] = str(run.parameters.get(parameter))
        rows.append(row)
    return table(rows) or "There is no run."


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
def before_round(each: Round) -> str:
    """Return the heading of a round, and what to look for in its figure."""
    ends = "highest"
    if lower_is_better(each.metric):
        ends = "lowest"
    epochs = "all epochs"
    if each.epochs:
        epochs = f"the first {each.epochs} epochs"
    look = f"Look for the lines that end {ends}: {each.metric} over {epochs}."
    return f"### {each.number} · {each.title}\n\n{look}"


def table_of_round(results: Results, each: Round, verdict: Verdict) -> str:
    """Show the candidates of a round, best first, with what to be careful of."""
    not_judged = [name for name in each.candidates if name not in verdict.costs]
    dropped_before = rounds_of_dropping(results.rounds[: each.number - 1])
    rows = []
    for name in [*verdict.costs, *not_judged]:
        differing = results.differing(name, verdict.best or name, results.factors)
        notes = []
        if name in dropped_before:
            notes.append(f"brought back, dropped in round {dropped_before[name]}")
        if len(differing) > 1:
            notes.append(f"{len(differing)} parameters at once")
        if not results.runs[name].state.is_done:
            notes.append(progress(results.runs[name]))
        elif name in not_judged:
            notes.append(f"has no {each.metric}")
        row: dict[str, Any] = {"candidate": link(results.runs[name])}
        row[each.metric] = value_of(verdict.costs.get(name, math.inf), each.metric)
        row["worse by"] = verdict.excess.get(name)
        row["rule"] = decision(name, verdict)
        if results.has_original:
            row["original"] = "kept"
        if name in each.originally_dropped:
            row["original"] = "dropped"
        row["differs from the best in"] = ", ".join(differing)
        row["note"] = "; ".join(notes)
        rows.append(row)
    return table(rows)


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
    sentences = [f"**The rule drops {listed(verdict.dropped)}**, and keeps {what_is_kept(verdict)}."]
    if each.is_overview:
        sentences.append("The original decided nothing here: this is its overview.")
    elif results.has_original:
        sentences.append(f"The original dropped {listed(each.originally_dropped)}.")
        disputed = verdict.disputed(each.originally_dropped)
        if disputed:
            sentences.append(f"**They disagree on {listed(disputed)}.**")
        else:
            sentences.append("**They agree.**")
    return " ".join(sentences)


def what_is_kept(verdict: Verdict) -> str:
    """Say what a verdict keeps, and how much it allows."""
    if verdict.best is None:
        return "the rest, since none of them can be judged"
    if math.isnan(verdict.threshold):
        return "the rest, since the noise within a single settled epoch is unknown"
    allowed = f"{DEVIATIONS:g} standard deviations {origin(verdict.noise)}"
    return f"what is within {verdict.threshold:.4f} of {verdict.best}: {allowed}"


def origin(noise: Noise) -> str:
    """Say where a deviation was seen."""
    if noise.run is None:
        return "between replicates"
    return f"within the last {noise.degrees + 1} epochs of {noise.run}, as there are no replicates"


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
        return "The study file names nothing that was dropped before, so there is nothing to agree with."
    judged = sum(row["judged"] for row in rows)
    agreed = sum(row["agreed"] for row in rows)
    entirely = sum(row["judged"] == row["agreed"] for row in rows)
    sentence = f"The rule and the original agree entirely in {entirely} of {len(rows)} rounds"
    return f"{table(rows)}\n\n{sentence}, and on **{agreed} of {judged} decisions**."


# --- the factors ---
def effects(factors: Sequence[Factor], metric: str, epochs: int | None, noise: float) -> str:
    """Say how often raising each parameter changes a metric by more than the noise."""
    lines = []
    for factor in factors:
        steps = [step for chain in factor.chains for step in chain.steps]
        if steps:
            lines.append(f"- {effect(factor.name, steps, metric, noise)}")
    if not lines:
        return "No two judged runs differ in one parameter alone."
    return "\n".join([f"By {metric} over the first {epochs} epochs, with a noise of {noise:.4f}:\n", *lines])


def effect(name: str, steps: Sequence[float], metric: str, noise: float) -> str:
    """Say how often raising a parameter changes a metric by more than the noise."""
    falls = sum(step < -noise for step in steps)
    rises = sum(step > noise for step in steps)
    good, bad = rises, falls
    if lower_is_better(metric):
        good, bad = falls, rises
    counts = f"of {len(steps)} steps {good} better and {bad} worse by more than the noise"
    return f"Raising {name}: {counts}; mean change {statistics.fmean(steps):+.4f}."


# --- what the criterion hides ---
def table_of_criteria(rankings: Sequence[Ranking]) -> str:
    """Show rankings by several criteria side by side, what each keeps in bold."""
    columns: dict[str, list[str]] = {}
    for ranking in rankings:
        columns[ranking.title] = []
        for name, cost in ranking.verdict.costs.items():
            text = f"{name} {value_of(cost, ranking.metric):.4f}"
            if name not in ranking.verdict.dropped:
                text = f"**{text}**"
            columns[ranking.title].append(text)
    rows = []
    for place in range(max(map(len, columns.values()))):
        row: dict[str, Any] = {"rank": place + 1}
        for title, texts in columns.items():
            if place < len(texts):
                row[title] = texts[place]
        rows.append(row)
    return table(rows)


def criteria_compared(results: Results, rankings: Sequence[Ranking]) -> str:
    """Say which runs another criterion would put first, and whether all would keep the best.

    The first ranking is by the settled value of the deciding metric, the second by the value of its best epoch.
    """
    best = rankings[0].verdict.best
    if best is None:
        return "There is no run that can be judged."
    lines = []
    for ranking in rankings:
        ahead = names_ahead(rankings[0].verdict, ranking.verdict)
        if ahead:
            lines.append(
                f"- By {ranking.title}, {listed(ahead)} would be ahead of {best} by more than the noise."
            )
    lines.append(f"- {stopping_time(results, *rankings[:2])}")
    change = "would be kept by each of these rankings"
    against = dropped_by(best, rankings)
    if against:
        change = f"would be dropped by {listed(against)}"
    lines.append(f"- **{best}, the best by {rankings[0].title}, {change}.**")
    return "\n".join(lines)


def names_ahead(ranking: Verdict, verdict: Verdict) -> list[str]:
    """Return what a ranking drops that another would put ahead of its best by more than the noise."""
    at_best = verdict.excess.get(ranking.best or "", math.nan)
    ahead = []
    for name in ranking.dropped:
        if at_best - verdict.excess.get(name, math.nan) > verdict.threshold:
            ahead.append(name)
    return ahead


def stopping_time(results: Results, by_settled: Ranking, by_best_epoch: Ranking) -> str:
    """Say for which run it matters most when it is stopped."""
    rises = {}
    for name, cost in by_settled.verdict.costs.items():
        rise = cost - by_best_epoch.verdict.costs[name]
        if math.isfinite(rise):
            rises[name] = rise
    name = max(rises, key=rises.__getitem__)
    metric = by_settled.metric
    best, epoch = best_epoch(results.curve(name).tolist(), metric)
    change = f"was {best:.4f} at epoch {epoch} and settled at {by_settled.values[name]:.4f}"
    return f"The stopping time matters most for {name}: its {metric} {change}."


def dropped_by(name: str | None, rankings: Sequence[Ranking]) -> list[str]:
    """Return the criteria that would drop a configuration."""
    return [ranking.title for ranking in rankings if name in ranking.verdict.dropped]


# --- which one is best ---
def table_of_choice(results: Results, choice: Choice) -> str:
    """Show the configurations that can be chosen, with the means that the choice compares."""
    rows = []
    for name, mean in choice.means.items():
        row: dict[str, Any] = {"configuration": link(results.runs[name])}
        row["replicates"] = len(choice.runs[name])
        row["weights"] = results.runs[name].weights
        row[f"mean settled {results.metric}"] = value_of(mean, results.metric)
        row["within one standard error"] = "no"
        if name in choice.kept:
            row["within one standard error"] = "yes"
        rows.append(row)
    return table(rows)


def choice_made(results: Results, choice: Choice) -> str:
    """Say what is chosen and by what, and what the original was left with."""
    if choice.chosen is None:
        return "There is no run to choose from."
    error = f"{choice.error:.4f}, from the deviation {origin(choice.noise)}"
    sentences = [f"The best mean above is that of {choice.best}. One standard error is {error}."]
    sentences.append(f"Of what is within it, **{choice.chosen}** is the smallest: **the rule's choice**.")
    if results.has_original:
        last = results.rounds[-1]
        left = [name for name in last.candidates if name not in last.originally_dropped]
        sentences.append(f"The original was left with {listed(left)}.")
    return " ".join(sentences)


# --- final test evaluation ---
def why_closed(results: Results) -> str | None:
    """Say why the test set stays closed; None where it may be opened."""
    if results.final not in results.runs:
        return "the study names no final configuration"
    if not results.incomplete:
        return None
    names = listed(results.incomplete)
    return f"{len(results.incomplete)} of {len(results.runs)} configurations are not complete ({names})"


def test_state(final: str | None, closed: str | None) -> str:
    """Say whether the test set is opened, or why it stays closed."""
    if closed:
        return f"**The test set stays closed:** {closed}."
    return f"**The test set is opened** for {final}."


def test_accuracy(tested: pd.DataFrame, published: Mapping[str, float]) -> str:
    """Say the accuracy on the test set with its uncertainty, and compare it with published ones.

    `tested` has a row an image, as `table_of_classes` takes it, and the cross-entropy of each as `loss`.
    """
    from scipy.stats import binomtest

    right = int((tested["true"] == tested["said"]).sum())
    low, high = binomtest(right, len(tested)).proportion_ci(method="wilson")
    accuracy = right / len(tested)
    sentences = [f"**Test accuracy: {accuracy:.4f}**, with 95 % certainty {low:.4f} to {high:.4f}."]
    for who, value in published.items():
        where = "too close to call against"
        if value > high:
            where = "below"
        if value < low:
            where = "above"
        sentences.append(f"It is {where} the published {value} of {who}.")
    sentences.append(f"The loss, without penalty, is {tested['loss'].mean():.4f}.")
    return " ".join(sentences)


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


# --- conclusion ---
def conclusion(
    results: Results,
    choice: Choice,
    rankings: Sequence[Ranking],
    closed: str | None,
    tested: pd.DataFrame | None,
) -> str:
    """Say what was chosen, what it costs, what the test set says of it, and what is undecided."""
    lines = ["## Conclusion", ""]
    if choice.chosen is None:
        lines.append("- **Nothing is chosen yet:** there is no run that can be judged.")
    else:
        run = results.runs[choice.chosen]
        smallest = f"the smallest within one standard error of {choice.best}'s mean, the best"
        lines.append(f"- **Chosen: {choice.chosen}**, {smallest}.")
        lines.append(f"- **It costs** {run.weights or 0:,} weights and {run.minutes:.1f} minutes a run.")
    if results.final in results.runs and len(results.runs) > 1:
        lines.append(f"- **Tested:** {what_is_tested(results, choice)}.")
    lines.append(f"- **Test:** {test_result(closed, tested)}.")
    for what, names in undecided(results, choice, rankings).items():
        if names:
            lines.append(f"- **Undecided,** {what}: {listed(names)}.")
    return "\n".join(lines)


def what_is_tested(results: Results, choice: Choice) -> str:
    """Say which run the final one is nearest to, in what it differs, and whether that is the chosen one."""
    final = str(results.final)
    differing = {}
    for name in results.runs:
        if name != final:
            differing[name] = results.differing(final, name, results.varying)
    twin = min(differing, key=lambda name: len(differing[name]))
    changes = [f"{key} {results.runs[final].parameters.get(key)}" for key in differing[twin]]
    same = "not the one chosen here"
    if results.first[twin] == choice.chosen:
        same = "the chosen one"
    return f"{final}, which is {twin} but for {listed(changes)}; {same}"


def test_result(closed: str | None, tested: pd.DataFrame | None) -> str:
    """Say what the test set says, or why it stays closed."""
    if closed or tested is None:
        return f"it stays closed: {closed}"
    accuracy = (tested["true"] == tested["said"]).mean()
    return f"accuracy {accuracy:.4f}, loss {tested['loss'].mean():.4f}"


def undecided(results: Results, choice: Choice, rankings: Sequence[Ranking]) -> dict[str, list[str]]:
    """Return what speaks against a quick conclusion, and which names it concerns."""
    ranking = rankings[0].verdict
    at_choice = ranking.excess.get(choice.chosen or "", math.nan)
    too_close = []
    for name, excess in ranking.excess.items():
        if name != choice.chosen and abs(excess - at_choice) <= ranking.threshold:
            too_close.append(name)
    return {
        f"too close to {choice.chosen} to call": too_close,
        "better than the best mean, but in a single run": list(choice.single),
        f"rankings that would drop {ranking.best}": dropped_by(ranking.best, rankings),
        "not complete": results.incomplete,
    }
