"""How far a run has come, in words, and whether it ended by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbstudy.decision.metrics import deciding
from nbstudy.decision.settling import lost_after, measured
from nbstudy.files import read_json
from nbstudy.numbers import as_count, is_number
from nbstudy.records.history import read_history
from nbstudy.records.record import read_run
from nbstudy.words import counted

NUMBERS_SHOWN = 3  # of result.json, for a run without a history


def describe_progress(directory: Path, metric: str | None = None) -> str:
    """Say how many epochs a run has, what it has come to by a metric, and why it ended early.

    Without a metric it is the one that decides where nobody says. Without a history it is the first numbers of the
    result.
    """
    run = read_run(directory)
    history = read_history(directory, run)
    result = read_json(directory / "result.json")
    words = []
    if history.epochs:
        words.append(counted(history.epochs, "epoch"))
    if metric in history.metrics or (history.metrics and metric not in result):
        if metric is None or metric not in history.metrics:
            metric = deciding(history.metrics)
        words += described_values(
            metric, history.metrics.get(metric, []), has_ended=bool(run.get("finished"))
        )
    else:
        words += described_numbers(result, metric)[:NUMBERS_SHOWN]
    early_end = describe_early_end(result)
    if early_end:
        words.append(early_end)
    return ", ".join(words)


def describe_early_end(result: dict[str, Any]) -> str:
    """Say why a run ended before its last epoch, as its result does; empty where that says nothing."""
    diverged = as_count(result.get("diverged"))
    if diverged:
        return f"diverged at epoch {diverged}"
    ended = result.get("ended")
    if isinstance(ended, str) and ended.strip():
        return f"ended early: {' '.join(ended.split())}"
    return ""


def ended_after(directory: Path) -> int | None:
    """Return the number of epochs after which a run ended by itself, None where its result does not say that it did.

    However many it is asked for, it ends there: what it computes with is the same.
    """
    if describe_early_end(read_json(directory / "result.json")):
        return read_history(directory, read_run(directory)).epochs
    return None


def described_values(metric: str, values: Sequence[float | None], has_ended: bool) -> list[str]:
    """Say what was measured last of a metric, or after which epoch it no longer was, in a run that has ended."""
    lost = lost_after(values)
    if has_ended and lost is not None:
        return [f"no {metric} after epoch {lost}"]
    return [f"{metric} {value:.5g}" for value in measured(values)[-1:]]


def described_numbers(result: dict[str, Any], metric: str | None) -> list[str]:
    """Name the numbers of a result, a metric first."""
    words = []
    for name, value in result.items():
        if is_number(value):
            text = f"{value:.4g}"
            if isinstance(value, int):
                text = f"{value:,}"
            words.append(f"{name} {text}")
            if name == metric:
                words.insert(0, words.pop())
    return words
