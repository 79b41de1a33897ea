"""What several sections say in the same words: of a run, of chance, of a candidate against another."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nbstudy.decision.elimination import Verdict
from nbstudy.decision.metrics import LAST_DIGIT, Better, Metric, written
from nbstudy.decision.noise import Noise
from nbstudy.decision.odds import Odds
from nbstudy.markdown import Markdown, code, plain
from nbstudy.records.reading import Run
from nbstudy.records.record import log_of
from nbstudy.records.results import Results
from nbstudy.records.states import State
from nbstudy.report.markdown import listed
from nbstudy.study.configurations import REFIT, SEED
from nbstudy.study.study_file import as_yaml
from nbstudy.words import enumerated

PAGE = "summary.html"


# --- of a run ---
def link(run: Run, text: str = "") -> Markdown:
    """Return the name of a run, or a text instead, as a link to its log where there is one."""
    shown = plain(text or run.name)
    if run.state is State.MISSING:
        return shown
    log = log_of(run.name, run.directory, run.record)
    return Markdown(f"[{shown}]({address_of(log)})")


def address_of(path: Path) -> str:
    """Return a path as the address of a link."""
    return quote(os.fsencode(path.as_posix()), safe="/=,+")


def progress(run: Run) -> str:
    """Say in which state a run is, and how far it has come."""
    if run.state is State.MISSING:
        return "missing"
    if not run.epochs:
        return run.word
    return f"{run.word} at epoch {run.epochs}"


def no_value_after(metric: str, epoch: int) -> str:
    """Say that a metric has no value at the end of a run, which counts as one that is not finite."""
    return f"no {metric} after epoch {epoch}, which counts as not finite"


def why_refitted(results: Results, run: Run) -> str:
    """Say of a final run that is refitted what nobody should judge it by, and how that is known."""
    if run.parameters.get(REFIT) is True:
        return "refitted: it learned from the validation data, too"
    return f"no {results.metric} to judge it by, as of one that learned from the validation data, too"


# --- of what decides ---
def why_nothing_decides(results: Results, metric: Metric) -> str:
    """Say why nothing can be decided by a metric, with the cure; empty where it can, or there is no complete run."""
    if not results.complete:
        return ""
    if not results.metrics:
        return "no run left a number to judge it by, in `history.csv` or `result.json`"
    if metric.name not in results.metrics:
        return f"no run has a {code(metric)}; what runs have is {listed(results.metrics)}"
    if metric.better is None:
        return f"whether lower or higher values of {code(metric)} are better, its name does not say; {say_better(results, metric)}"
    return ""


def say_better(results: Results, metric: Metric) -> str:
    """Say which line the study file needs for a metric of which nobody knows what is better."""
    lines = "`better: lower` or `better: higher`"
    if metric.name == results.metric.name:
        return f"write {code(f'metric: {as_yaml(metric.name)}')} and {lines} into the study file, and run it again"
    return f"write {lines} beside it into the round of the study file, and run it again"


def noise_in_words(noise: Noise) -> str:
    """Say by how much chance changes a run, and how that is known."""
    if not noise.is_known:
        return "By how much chance changes a run is unknown, as there are no replicates."
    if not noise.deviation and not noise.is_guess:
        same = "All replicates are equal, so chance seems to change nothing, and any difference decides"
        return f"{same}: see that the template uses its `{SEED}`, best for how data are split, too."
    varies = f"Chance alone changes a run by a standard deviation of {written(noise.deviation)}"
    if noise.is_guess:
        epochs = f"the last {noise.degrees + 1} epochs of {plain(noise.run)}"
        return f"{varies}, a guess from {epochs}, as there are no replicates."
    if noise.between is not None:
        varies = f"Chance alone changes a run by a standard deviation of {written(noise.between.deviation)}"
        within = (
            f"between runs of the same seed, which is what is compared here, by {written(noise.deviation)}"
        )
        return f"{varies}, as replicates show; {within} ({noise.degrees} degrees of freedom)."
    return f"{varies}, as replicates show ({noise.degrees} degrees of freedom)."


# --- of a candidate ---
def comparison_cells(name: str, verdict: Verdict) -> dict[str, Any]:
    """Return the cells that say by how much a candidate is worse than another, and how much is allowed."""
    cells: dict[str, Any] = {"worse by": None, "than": None, "allowed": None}
    comparison = verdict.against.get(name)
    if comparison and name != verdict.best:
        cells |= {"worse by": comparison.worse_by, "than": comparison.other}
        if verdict.noise.is_known:
            cells["allowed"] = comparison.allowed
    return cells


def judged_cells(name: str, verdict: Verdict) -> dict[str, Any]:
    """Return the cells that say what the rule does with a candidate, why, and what to be careful of."""
    cells = comparison_cells(name, verdict)
    cells["rule"] = decision(name, verdict)
    cells["note"] = ""
    if name != verdict.best:
        cells["note"] = borrowed(name, verdict)
    return cells


def decision(name: str, verdict: Verdict) -> str:
    """Say what the rule does with a candidate."""
    if name not in verdict.costs:
        return "not judged"
    if verdict.drops(name):
        return "dropped"
    return "kept"


def borrowed(name: str, verdict: Verdict) -> str:
    """Say whose deviation is borrowed in what the rule says of a candidate; empty where none is."""
    of = verdict.borrowed(name)
    if not of:
        return ""
    if of == [name]:
        return "borrowed deviation: 1 run"
    return f"borrowed deviation of {enumerated(of)}: 1 run"


def probability(value: float) -> str:
    """Return a probability as it is written, which is never certain."""
    if value > 0.995:
        return "more than 0.99"
    if value < 0.005:
        return "less than 0.01"
    return f"{value:.2f}"


def loss_in_words(odds: Odds, cost: float) -> str:
    """Return what one loses on average by a candidate that comes to a cost; what that does not show is said to be less."""
    if 0 < odds.loss < LAST_DIGIT / 2 and abs(cost) >= LAST_DIGIT:
        return f"less than {LAST_DIGIT:.4f}"
    return written(odds.loss)


def odds_in_words(odds: Odds, cost: float) -> str:
    """Say with which probability a candidate that comes to a cost is the best, and what one loses on average by it."""
    loss = loss_in_words(odds, cost)
    return f"it is the best with a probability of {probability(odds.best)}, and on average {loss} worse than the best"


def interval(verdict: Verdict, name: str, metric: Metric) -> str:
    """Return the 95 % interval of a candidate's mean, empty where chance is unknown.

    It is as wide to both sides, and so may reach to losses below zero, which it says is due to the runs.
    """
    half = verdict.half_width(name)
    if math.isnan(half):
        return ""
    value = metric.value(verdict.costs[name])
    text = f"{written(value - half)} to {written(value + half)}"
    if metric.better is Better.LOWER and value - half < 0 < value:
        text += " (below zero because the runs are few)"
    return text
