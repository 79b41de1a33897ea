"""The table of a study's runs, a row a configuration, and their histories, a row an epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbstudy.decision.metrics import Metric
from nbstudy.numbers import as_count
from nbstudy.records.by_epoch import best_epochs, settled_values, values_of
from nbstudy.records.outputs import Outputs
from nbstudy.records.reading import Run

# What the table says of any run, a column each; `Results.table` tells its readers what they hold. A metric's columns
# come after these.
OF_ANY_RUN: dict[str, Callable[[Run], Any]] = {
    "state": lambda run: str(run.state),
    "reason": lambda run: run.reason,
    "error": lambda run: run.error,
    "attempts": lambda run: as_count(run.record.get("attempts")),
    "started": lambda run: run.record.get("started"),
    "minutes": lambda run: run.minutes,
    "device": lambda run: run.own_environment.get("device") or run.recorded_environment.get("processor"),
    "environment_changes": lambda run: "; ".join(run.environment_changes) or None,
    "weights": lambda run: run.weights,
    "epochs": lambda run: run.epochs,
    "diverged": lambda run: run.diverged,
    "ended": lambda run: run.ended,
    "note": lambda run: run.note or None,
}
NAMES = {"configuration", *OF_ANY_RUN, "gap"}  # which a number of result.json cannot have as its own


def table_of(outputs: Outputs) -> pd.DataFrame:
    """Return the table that `Results.table` describes."""
    everything = outputs.everything
    by_epoch: dict[str, list[Any]] = {}
    for name in outputs.curved:
        by_epoch |= columns_by_epoch(list(everything.values()), outputs.metric_called(name))
    numbers = {name: column_of(outputs, name) for name in outputs.numbers}
    rows = []
    for place, run in enumerate(everything.values()):
        rows.append(row_of(run, {name: column[place] for name, column in by_epoch.items()}, numbers))
    table = pd.DataFrame(rows, index=pd.Index(everything, name="configuration"))
    whole = {"weights", "diverged", "attempts"}
    for name, column in numbers.items():
        if all(isinstance(run.numbers.get(name, 0), int) for run in everything.values()):
            whole.add(column)
    for column in table:
        if column in whole or column.endswith("_epoch"):
            table[column] = table[column].astype("Int64")  # whole numbers of which some are missing
    return table


def columns_by_epoch(runs: Sequence[Run], metric: Metric) -> dict[str, list[Any]]:
    """Return the columns of a metric that was watched by epoch."""
    histories = [run.written for run in runs]
    columns: dict[str, list[Any]] = {f"settled_{metric.name}": settled_values(histories, metric.name)}
    if metric.better:
        found = best_epochs(histories, metric)
        columns[f"best_{metric.name}"] = [value for value, _ in found]
        columns[f"best_{metric.name}_epoch"] = [epoch for _, epoch in found]
    return columns


def row_of(run: Run, by_epoch: Mapping[str, Any], numbers: Mapping[str, str]) -> dict[str, Any]:
    """Return a row of the table, given what it says of metrics by epoch, and the columns of further numbers."""
    row = {column: tell(run) for column, tell in OF_ANY_RUN.items()}
    row |= by_epoch
    if "settled_loss" in row and "settled_val_loss" in row:
        row["gap"] = row["settled_val_loss"] - row["settled_loss"]
    for name, column in numbers.items():
        row[column] = run.numbers.get(name)
    for name, value in run.parameters.items():
        row[f"param_{name}"] = value
    return row


def column_of(outputs: Outputs, metric: str) -> str:
    """Return the column of the table that holds what runs came to by a metric."""
    if metric in outputs.curved:
        return f"settled_{metric}"
    if metric in NAMES or metric.startswith(("settled_", "best_", "param_")):
        return f"result_{metric}"
    return metric


def histories_of(outputs: Outputs) -> pd.DataFrame:
    """Return the histories as `Results.histories` describes them."""
    runs = {name: run for name, run in outputs.everything.items() if run.epochs}
    epochs = [run.epochs for run in runs.values()]
    columns = {
        "configuration": pd.Series(list(runs), dtype=str).repeat(epochs).reset_index(drop=True),
        "epoch": np.concatenate([np.arange(1, number + 1) for number in [*epochs, 0]]),
    }
    histories = [run.written for run in runs.values()]
    for name in dict.fromkeys(name for history in histories for name in history.metrics):
        columns[name] = values_of(histories, name)
    return pd.DataFrame(columns)
