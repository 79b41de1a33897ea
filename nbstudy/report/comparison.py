"""Studies beside each other, in plain text: what they have in common, what differs, and one verdict over all of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from nbstudy.decision.metrics import Metric, written
from nbstudy.decision.odds import odds_of
from nbstudy.decision.settling import settled
from nbstudy.records.parameters import as_key
from nbstudy.records.reading import field_of
from nbstudy.records.results import Results
from nbstudy.records.studies import Contender, Judgement, Studies
from nbstudy.report.phrases import judged_cells, noise_in_words, odds_in_words
from nbstudy.study.configurations import SEED
from nbstudy.words import counted, enumerated

MOST_ROWS = 60  # of a table


def describe(studies: Studies[Results], metric: str | None = None) -> str:
    """Return what there is to say of studies beside each other, judged by a metric, or by the one that decides in all."""
    judgement = studies.judge(metric)
    parts = [
        "\n".join(what_each_is(studies)),
        below("What made them differs", what_made_them(studies)),
        below("The same parameters", common_configurations(studies, judgement.metric)),
        below("The same name, other parameters", changed_configurations(studies)),
        "\n".join(only_in_one(studies)),
        "\n".join([heading_of(judgement), *ranked(studies, judgement), "", *verdict_in_words(judgement)]),
    ]
    return "\n\n".join(part for part in parts if part)


def below(heading: str, lines: Sequence[str]) -> str:
    """Return lines below a heading, nothing where there are none."""
    if not lines:
        return ""
    return "\n".join([heading, *(f"  {line}" for line in lines)])


# --- the studies ---
def what_each_is(studies: Studies[Results]) -> list[str]:
    """Say of each study how far it is, what runs in it, and by what it decides."""
    lines = []
    for study, results in studies.studies.items():
        template = field_of(results.record, "notebooks", dict).get("run", "no template")
        done = f"{len(results.complete)} of {len(results.runs)} complete"
        lines.append(f"{study}: {done}, {template}, decided by {results.metric}")
    return lines


def what_made_them(studies: Studies[Results]) -> list[str]:
    """Say in what the studies were made differently: code, threads, libraries, processors."""
    lines = []
    if len(set(studies.makers.values())) > 1:
        lines.append(
            "the code of the templates or their modules: configurations of equal parameters count as different ones"
        )
    told = {study: environments_of(results) for study, results in studies.studies.items()}
    names = dict.fromkeys(name for environment in told.values() for name in environment)
    for name in names:
        values = {study: environment.get(name, "not used") for study, environment in told.items()}
        if len(set(values.values())) > 1:
            lines.append(f"{name}: " + ", ".join(f"{value} in {study}" for study, value in values.items()))
    return lines


def environments_of(results: Results) -> dict[str, str]:
    """Return what a study's complete runs were made with, by name, all values where they are several."""
    found: dict[str, dict[str, None]] = {}
    for name in results.complete:
        for what, value in results.runs[name].recorded_environment.items():
            found.setdefault(what, {})[value] = None
    return {what: " and ".join(values) for what, values in found.items()}


# --- the configurations ---
def firsts_by_key(studies: Studies[Results]) -> dict[str, dict[str, str]]:
    """Return the first of its replicates for each configuration, by its parameters and by study.

    A parameter that one template does not have counts as the default of another one that has it.
    """
    defaults: dict[str, Any] = {}
    for results in studies.studies.values():
        defaults = field_of(results.record, "defaults", dict) | defaults
    firsts: dict[str, dict[str, str]] = {}
    for study, results in studies.studies.items():
        for name, run in results.runs.items():
            key = as_key(defaults | run.parameters, without=SEED)
            firsts.setdefault(key, {}).setdefault(study, name)
    return firsts


def common_configurations(studies: Studies[Results], metric: Metric) -> list[str]:
    """Return a table of the configurations that several studies have, with what they came to in each."""
    rows = []
    for of in firsts_by_key(studies).values():
        if len(of) < 2:
            continue
        row: dict[str, Any] = {}
        for study, name in of.items():
            row[study] = name
            row[f"{metric} in {study}"] = mean_of(studies.studies[study], name, metric)
        rows.append(row)
    return lines_of(rows)


def mean_of(results: Results, first: str, metric: Metric) -> float:
    """Return the mean of what the complete runs of a configuration settled at; NaN where there is none."""
    runs = [name for name, of in results.parameters.first.items() if of == first and name in results.complete]
    values = [settled(results.values(name, metric.name)) for name in runs]
    return statistics.fmean(values) if values else math.nan


def changed_configurations(studies: Studies[Results]) -> list[str]:
    """Say of each name that several studies have, for what else, which parameters differ."""
    lines = []
    seen: dict[str, tuple[str, dict[str, Any]]] = {}
    for study, results in studies.studies.items():
        for name, run in results.runs.items():
            before, parameters = seen.setdefault(name, (study, run.parameters))
            differing = []
            for parameter in dict.fromkeys([*parameters, *run.parameters]):
                was, now = parameters.get(parameter, "none"), run.parameters.get(parameter, "none")
                if was != now:
                    differing.append(f"{parameter} {was} -> {now}")
            if differing:
                lines.append(f"{name}, {before} -> {study}: {', '.join(differing)}")
    return shown(lines)


def only_in_one(studies: Studies[Results]) -> list[str]:
    """Say how many configurations only one of the studies has, with their names where they are few."""
    only: dict[str, list[str]] = {study: [] for study in studies.studies}
    for of in firsts_by_key(studies).values():
        if len(of) == 1:
            for study, name in of.items():
                only[study].append(name)
    lines = []
    for study, names in only.items():
        if names:
            lines.append(f"Only in {study}, {counted(len(names), 'configuration')}: {enumerated(names)}")
    return lines


# --- the verdict ---
def heading_of(judgement: Judgement) -> str:
    """Say by what all are judged."""
    metric = judgement.metric
    return f"All candidates together, by {metric} ({metric.better} is better)"


def ranked(studies: Studies[Results], judgement: Judgement) -> list[str]:
    """Return a table of all candidates, best first, with what the rule says of each."""
    verdict = judgement.choice.verdict
    lengths = {name: epochs_of(studies, each) for name, each in judgement.contenders.items()}
    rows = []
    for name, cost in verdict.costs.items():
        row: dict[str, Any] = {"candidate": name, "in": " and ".join(judgement.contenders[name].studies)}
        row[judgement.metric.name] = judgement.metric.value(cost)
        row["runs"] = verdict.runs[name]
        if len(set(lengths.values())) > 1:
            row["epochs"] = lengths[name]
        row |= judged_cells(name, verdict)
        rows.append(row)
    return lines_of(rows)


def epochs_of(studies: Studies[Results], contender: Contender) -> int:
    """Return how many epochs the first run of a candidate has."""
    study, run = contender.first
    return studies.studies[study].runs[run].epochs


def verdict_in_words(judgement: Judgement) -> Iterable[str]:
    """Say what the rule drops, what is chosen, and how sure that is."""
    choice = judgement.choice
    verdict = choice.verdict
    if choice.chosen is None:
        return ["None can be chosen: no candidate has a value that is finite."]
    lines = [
        f"The rule keeps {enumerated(verdict.kept)}, and drops {len(verdict.dropped)} of {len(verdict.costs)}."
    ]
    if not verdict.noise.is_known:
        lines = ["The rule drops none."]
    lines.append(noise_in_words(verdict.noise))
    contender = judgement.contenders[choice.chosen]
    value = written(judgement.metric.value(verdict.costs[choice.chosen]))
    chosen = f"Chosen: {choice.chosen} of {enumerated(contender.studies)}, {judgement.metric} {value}"
    if verdict.best != choice.chosen:
        chosen += f"; it is the smallest that the rule keeps, and {verdict.best} is the best"
    lines.append(f"{chosen}.")
    odds = odds_of(verdict)
    if choice.chosen in odds:
        lines.append(
            f"Among these {len(odds)} {odds_in_words(odds[choice.chosen], choice.verdict.costs[choice.chosen])}."
        )
    return lines


# --- tables ---
def lines_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return rows as the lines of a table in plain text, the first ones of many."""
    if not rows:
        return []
    texts = pd.DataFrame([{key: cell(value) for key, value in row.items()} for row in rows]).fillna("")
    texts = texts.loc[:, (texts != "").any()]
    return shown(texts.to_string(index=False).splitlines())


def cell(value: Any) -> str:
    """Return a value as a cell, empty where it is missing."""
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if math.isnan(value) else written(value)
    return str(value)


def shown(lines: Sequence[str]) -> list[str]:
    """Return lines, of very many the first, and how many more there are."""
    if len(lines) <= MOST_ROWS:
        return list(lines)
    return [*lines[:MOST_ROWS], f"and {len(lines) - MOST_ROWS} more"]
