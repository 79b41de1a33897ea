"""The table of a study's runs, a row a configuration, and their histories, a row an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from nbstudy.decision.settling import best_epoch, settled
from nbstudy.numbers import as_count
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
    rows = [row_of(outputs, run) for run in everything.values()]
    table = pd.DataFrame(rows, index=pd.Index(everything, name="configuration"))
    whole = {"weights", "diverged", "attempts"}
    for name in outputs.numbers:
        if all(isinstance(run.numbers.get(name, 0), int) for run in everything.values()):
            whole.add(column_of(outputs, name))
    for column in table:
        if column in whole or column.endswith("_epoch"):
            table[column] = table[column].astype("Int64")  # whole numbers of which some are missing
    return table


def row_of(outputs: Outputs, run: Run) -> dict[str, Any]:
    """Return a row of the table."""
    row = {column: tell(run) for column, tell in OF_ANY_RUN.items()}
    for name in outputs.curved:
        values = outputs.values(run.name, name)
        row[f"settled_{name}"] = settled(values)
        metric = outputs.metric_called(name)
        if metric.better:
            row[f"best_{name}"], row[f"best_{name}_epoch"] = best_epoch(values, metric)
    if "settled_loss" in row and "settled_val_loss" in row:
        row["gap"] = row["settled_val_loss"] - row["settled_loss"]
    for name in outputs.numbers:
        row[column_of(outputs, name)] = run.numbers.get(name)
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
    histories = {name: run.history for name, run in outputs.everything.items() if run.epochs}
    if not histories:
        return pd.DataFrame({"configuration": pd.Series(dtype=str), "epoch": pd.Series(dtype=int)})
    return pd.concat(histories, names=["configuration"]).reset_index()
