"""How far a run has come, in words, and whether it ended by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbstudy.decision.metrics import deciding
from nbstudy.files import read_json
from nbstudy.numbers import as_count, is_number
from nbstudy.records.history import read_history
from nbstudy.records.latest import Latest, latest_of
from nbstudy.records.record import read_run
from nbstudy.words import counted

NUMBERS_SHOWN = 3  # of result.json, for a run without a history


def describe_progress(directory: Path, metric: str | None = None, latest: Latest | None = None) -> str:
    """Say how many epochs a run has, what it has come to by a metric, and why it ended early.

    Without a metric it is the one that decides where nobody says. Without a history it is the first numbers of the
    result. `latest` is how far its history has come, where that is known.
    """
    run = read_run(directory)
    if latest is None:
        latest = latest_of(read_history(directory, run))
    result = read_json(directory / "result.json")
    words = []
    if latest.epochs:
        words.append(counted(latest.epochs, "epoch"))
    if metric in latest.values or (latest.values and metric not in result):
        if metric is None or metric not in latest.values:
            metric = deciding(latest.values)
        words.append(described_value(metric, latest, has_ended=bool(run.get("finished"))))
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


def described_value(metric: str, latest: Latest, has_ended: bool) -> str:
    """Say what was measured last of a metric, or after which epoch it no longer was, in a run that has ended."""
    if has_ended and metric in latest.lost:
        return f"no {metric} after epoch {latest.lost[metric]}"
    return f"{metric} {latest.values[metric]:.5g}"


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
