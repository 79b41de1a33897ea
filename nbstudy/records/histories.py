"""The histories of many runs, read together: what is written plainly by pandas, in one pass, and the rest one by one.

Both ways come to the same values, to the last bit, and to the same words where a history is refused: those of history.py.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nbstudy.records.history import MOST_EPOCHS, NO_METRICS, History, Value, history_in
from nbstudy.records.plain import PlainText, plain_text

Array = np.ndarray[Any, np.dtype[np.float64]]


class Columns(Mapping[str, list[Value]]):
    """The metrics of a history as arrays, NaN where nothing was measured.

    They are lists, as of any history, when they are asked for: these take four times the memory, and are not kept.
    """

    def __init__(self, arrays: dict[str, Array], with_gaps: Collection[str]) -> None:
        """Take arrays, and the names of those in which something was not measured."""
        self.arrays = arrays
        self.with_gaps = with_gaps

    def __getitem__(self, name: str) -> list[Value]:
        values: list[Value] = self.arrays[name].tolist()
        if name in self.with_gaps:
            for row in np.flatnonzero(np.isnan(self.arrays[name])):
                values[row] = None
        return values

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


def as_array(history: History, metric: str) -> Array:
    """Return a metric of a history, a value an epoch; NaN where it was not measured."""
    metrics = history.metrics
    if metric not in metrics:
        return np.full(history.epochs, np.nan)
    if isinstance(metrics, Columns):
        return metrics.arrays[metric]
    return np.array(metrics[metric], dtype=float)


# --- from bytes to histories ---
def read_histories(runs: Sequence[tuple[bytes | None, Mapping[str, Any]]]) -> Iterator[History]:
    """Yield what each history.csv says, given its bytes, or None where there is none, and the run.json beside it."""
    known = read_plain_texts([plain_text(content or b"") for content, _ in runs])
    for (content, run), history in zip(runs, known, strict=True):
        if content is None:
            yield History()
        else:
            yield history or history_in(content, run)


def read_plain_texts(texts: Sequence[PlainText | None]) -> list[History | None]:
    """Return the histories of texts, those with the same columns together; None where one has to be read by itself."""
    histories: list[History | None] = [None] * len(texts)
    alike: dict[tuple[str, ...], dict[int, PlainText]] = {}
    for place, text in enumerate(texts):
        if text is not None:
            alike.setdefault(text.names, {})[place] = text
    for names, some in alike.items():
        for place, history in zip(some, read_alike(names, list(some.values())), strict=True):
            histories[place] = history
    return histories


def read_alike(names: Sequence[str], texts: Sequence[PlainText]) -> list[History | None]:
    """Return the histories of texts that have the same columns; None where a cell is no number, or an epoch is not the next."""
    try:
        # It takes whole numbers, too, as Python's `float` does, fills rows that are too short, and refuses those that are
        # longer than the first.
        table = pd.read_csv(
            io.BytesIO(b"".join(text.body for text in texts)),
            header=None,
            names=range(len(names)),
            index_col=False,
            dtype="float64",
        )
    except ValueError:  # in one of them, which is found by halves
        if len(texts) == 1:
            return [None]
        middle = len(texts) // 2
        return read_alike(names, texts[:middle]) + read_alike(names, texts[middle:])
    columns = {name: table[place].to_numpy() for place, name in enumerate(names)}
    return cut(columns, [text.rows for text in texts])


def cut(columns: Mapping[str, Array], rows: Sequence[int]) -> list[History | None]:
    """Return the histories that stand one after the other in columns, each of so many rows; None where epochs are amiss."""
    begins = np.cumsum([0, *rows[:-1]])
    is_numbered = np.full(len(rows), True)
    if "epoch" in columns:
        is_numbered = are_numbered(columns["epoch"], begins)
    is_missing = {name: np.isnan(values) for name, values in columns.items()}
    is_empty = {name: np.logical_and.reduceat(missing, begins) for name, missing in is_missing.items()}
    has_gaps = {name: np.logical_or.reduceat(missing, begins) for name, missing in is_missing.items()}
    metrics = {name: values for name, values in columns.items() if not NO_METRICS.fullmatch(name)}
    histories: list[History | None] = []
    for place, (begin, epochs) in enumerate(zip(begins.tolist(), rows, strict=True)):
        if not is_numbered[place]:
            histories.append(None)
            continue
        empty = frozenset(name for name in columns if is_empty[name][place])
        own = {name: values[begin : begin + epochs] for name, values in metrics.items() if name not in empty}
        with_gaps = frozenset(name for name in own if has_gaps[name][place])
        histories.append(History(epochs, Columns(own, with_gaps), empty))
    return histories


def are_numbered(epochs: Array, begins: Any) -> Any:
    """Tell of each of the histories that begin in these places whether its rows are numbered one by one, from 0 or 1."""
    ends = np.append(begins[1:], len(epochs))
    first = epochs[begins]
    following = np.arange(len(epochs)) + np.repeat(first - begins, ends - begins)
    is_following = np.logical_and.reduceat(epochs == following, begins)
    return is_following & np.isin(first, (0, 1)) & (epochs[ends - 1] <= MOST_EPOCHS)
