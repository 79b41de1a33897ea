"""The head of a log: what was run, on what, with which result, and how to run it again; facts in, Markdown out."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from nbstudy.checks import shorten
from nbstudy.decision.metrics import Better, Metric, written
from nbstudy.markdown import Markdown, code, plain, table_of_cells
from nbstudy.numbers import is_whole
from nbstudy.records.settled import Settled
from nbstudy.records.states import is_variable
from nbstudy.study.origin import Origin
from nbstudy.words import counted, duration, enumerated

SHOWN = 12  # metrics, numbers or files: the run's own files have all


@dataclass(frozen=True)
class Facts:
    """What the head of a log tells."""

    name: str  # of the configuration
    template: str  # the name of its file
    defaults: Mapping[str, Any]  # what the template says of its parameters
    run: Mapping[str, Any]  # run.json
    origin: Origin | None = None
    selects: bool = True  # whether `--only` names it: not the notebook that opens the test set
    epochs: int = 0
    early_end: str = ""  # why it ended before its last epoch
    data: str = ""  # a hash of what it was trained on, as its result says
    device: str = ""  # likewise
    judged_by: Metric | None = None
    metrics: Sequence[Settled] = ()  # of its history
    numbers: Mapping[str, float] = field(default_factory=dict)  # of its result, where it has no history
    failed_in: str = ""  # which cell, in Markdown
    summary: str = ""  # the path from the log to the summary


def head_of(facts: Facts) -> str:
    """Return the head of a log, in Markdown."""
    parts = [
        title(facts),
        failure(facts),
        what_was_run(facts),
        result(facts),
        parameters(facts),
        made_with(facts),
        how_to_run_it_again(facts),
        link_to_summary(facts),
    ]
    return "\n\n".join(part for part in parts if part)


def title(facts: Facts) -> str:
    """Name the configuration and its study."""
    if facts.origin is None:
        return f"# {code(facts.name)}"
    return f"# {code(facts.name)} of the study {code(facts.origin.study)}"


def failure(facts: Facts) -> str:
    """Say what failed, where, and in which attempt; empty where nothing did."""
    if not facts.run["error"]:
        return ""
    where = f"attempt {facts.run['attempts']}"
    if facts.failed_in:
        where += f", {facts.failed_in}"
    return f"**Failed** in {where}: {plain(facts.run['error'])}"


# --- what was run, with which result ---
def what_was_run(facts: Facts) -> str:
    """Say which notebook was run, when, for how long, and how far it came."""
    run = facts.run
    started = run["started"][:16].replace("T", " ")
    sentence = f"{code(facts.template)}, run on {plain(started)} UTC, took {duration(run['seconds'] / 60)}"
    if facts.epochs:
        sentence += f" for {counted(facts.epochs, 'epoch')}"
    sentence += f", in {counted(run['attempts'], 'attempt')}"
    sentences = [f"{sentence}."]
    if facts.early_end:
        sentences.append(f"It {plain(facts.early_end)}.")
    if run.get("ending"):
        sentences.append(f"What became of its kernel: {plain(run['ending'])}.")
    return " ".join(sentences)


def result(facts: Facts) -> str:
    """Show what a run came to: its metrics as they settle, else the numbers of its result."""
    if facts.metrics:
        return table_of_metrics(facts)
    rows = [{"result": code(name), "value": number(value)} for name, value in facts.numbers.items()]
    return table_with_remark(rows, "`result.json` has")


def table_of_metrics(facts: Facts) -> str:
    """Show the metrics of a history: what each settles at, and its value in the last epoch."""
    epochs = math.ceil(facts.epochs / 10)
    judged = ""
    if facts.judged_by is not None:
        judged = facts.judged_by.name
    rows = []
    for each in facts.metrics:
        row: dict[str, str] = {"metric": code(each.metric)}
        if epochs > 1:
            row["settled"] = number(each.settled)
        row["last epoch"] = number(each.last)
        if each.metric == judged:
            _, decisive, *_ = row
            row[decisive] = f"**{row[decisive]}**"
        rows.append(row)
    text = table_with_remark(rows, "`history.csv` has")
    return "\n\n".join(part for part in (text, how_it_is_judged(facts.judged_by, epochs)) if part)


def how_it_is_judged(metric: Metric | None, epochs: int) -> str:
    """Say by what the study judges a run, and what settled means, where that is the mean over several epochs."""
    meaning = ""
    if epochs > 1:
        meaning = f"Settled is the mean over the last {epochs} epochs"
    if metric is None:
        return f"{meaning}." if meaning else ""
    better = ""
    if metric.better is Better.LOWER:
        better = " (lower is better)"
    if metric.better is Better.HIGHER:
        better = " (higher is better)"
    if meaning:
        return f"{meaning}; the study judges by the settled {code(metric)}{better}."
    return f"The study judges by {code(metric)}{better}."


def table_with_remark(rows: Sequence[Mapping[str, str]], file: str) -> str:
    """Return a table, cut where it would be long, with a sentence that says which file has the rest."""
    text = table_of_cells(rows[:SHOWN])
    if len(rows) > SHOWN:
        text += f"\n\n{file} {len(rows) - SHOWN} more."
    return text


def number(value: float | None) -> str:
    """Return a number as the page writes it, empty where it was not measured."""
    if value is None:
        return ""
    if is_whole(value):
        return f"{value:,}"
    if not math.isfinite(value):
        return str(value)
    return written(value)


# --- on what ---
def parameters(facts: Facts) -> str:
    """Show which parameters are not the template's default, and name the others."""
    rows = []
    others = []
    for name, value in facts.run["parameters"].items():
        if name not in facts.defaults or value != facts.defaults[name]:
            default = Markdown()
            if name in facts.defaults:
                default = code(shorten(facts.defaults[name]))
            rows.append({"parameter": code(name), "value": code(shorten(value)), "default": default})
        else:
            others.append(f"{code(name)} {code(shorten(value))}")
    if rows and others:
        return f"{table_of_cells(rows)}\n\nThe defaults hold for {enumerated(others)}."
    if rows:
        return table_of_cells(rows)
    if facts.run["parameters"]:
        return "All parameters are the template's defaults."
    return ""


def made_with(facts: Facts) -> str:
    """Say with which code, files, threads, processor and versions it was made."""
    run = facts.run
    sources = [f"code {code(run['code'])}"]
    sources += with_hashes("module", run.get("modules", {}))
    sources += with_hashes("imported", run.get("imported", {}))
    sources += with_hashes("reads", run.get("inputs", {}))
    if facts.data:
        sources.append(f"data {code(facts.data)}")
    words = [", ".join(sources)]
    environment = dict(run.get("environment", {}))
    hardware = [told for told in (environment.get("processor"), facts.device) if told]
    where = []
    if "threads" in run:
        where.append(counted(run["threads"], "thread"))
    if hardware:
        where.append(f"on {' with '.join(map(plain, hardware))}")
    words.append(" ".join(where))
    words.append(", ".join(versions_in(environment)))
    sentences = [f"Made with {'; '.join(word for word in words if word)}."]
    changes = run.get("environment_changes", [])
    if changes:
        sentences.append(f"What changed on the way: {enumerated(map(plain, changes))}.")
    return " ".join(sentences)


def with_hashes(what: str, files: Mapping[str, str]) -> list[str]:
    """Name files with their hashes, the first of them where they are many."""
    named = [f"{what} {code(path)} {code(digest)}" for path, digest in list(files.items())[:SHOWN]]
    if len(files) > SHOWN:
        named.append(f"{len(files) - SHOWN} more in `run.json`")
    return named


def versions_in(environment: Mapping[str, str]) -> list[str]:
    """Return the versions of an environment, and the variables that change numbers."""
    found = []
    for name, value in environment.items():
        if is_variable(name):
            found.append(f"{plain(name)}={plain(value)}")
        elif name not in ("processor", "instructions"):
            found.append(f"{plain(name)} {plain(value)}")
    return found


# --- how to run it again ---
def how_to_run_it_again(facts: Facts) -> str:
    """Show the command that runs it again, in the directory of its project, among the others that say whether it is asked for."""
    if facts.origin is None:
        return ""
    words = [*facts.origin.command]
    if facts.selects:
        words += ["--only", facts.name]
    commands, remark = [code(shlex.join(words))], ""
    if not facts.run["error"]:
        commands.insert(0, code(shlex.join(["mv", f"{facts.origin.outputs}/{facts.name}", "."])))
        remark = (
            "\n\nWhat is complete and in its place is left as it is, so this run is moved out of it first."
        )
    return f"To run it again, in the project's directory: {', then '.join(commands)}{remark}"


def link_to_summary(facts: Facts) -> str:
    """Link to the summary of the study, where it has one."""
    if not facts.summary:
        return ""
    address = quote(os.fsencode(facts.summary), safe="/=,+")
    return f"[The summary of the study]({address}) sets it beside the others."
