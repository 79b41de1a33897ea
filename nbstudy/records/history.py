"""What a run's history.csv says, read in this one place: for the runner, the page and load_results.

A value is measured, not measured, or not finite; notebooks/README.md says what that means for a run. What can be read
in one way alone is read, whoever wrote it: pandas, csv, Keras's CSVLogger, which writes "NA" for what it did not measure
and epochs from 0, and Lightning's, which writes several rows an epoch. The rest is refused by its line.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbstudy.decision.metrics import Data, data_of
from nbstudy.files import HISTORY, has_hash, hash_of

Value = float | None  # None where nothing was measured; NaN and infinities are measured, and not finite
ENCODINGS = {  # by the first bytes of a file; UTF-8 without them
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"  # what stands for these bytes in a text
LINE_ENDS = ("\n", "\r")
# What stands for no value, in small letters: of pandas, Keras ("NA"), R, spreadsheets and Python.
NOT_MEASURED = {"", "na", "n/a", "#n/a", "<na>", "nat", "none", "null"}
# what is no metric among the columns of a history: indices, as pandas writes them
NO_METRICS = re.compile(r"(epoch|configuration|Unnamed: \d+)?")
A_NUMBER = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=e))(e[-+]?\d+)?", re.IGNORECASE)
INDICES = ("epoch", "step")
MOST_EPOCHS = 1_000_000  # more are a damaged number


class Unreadable(Exception):
    """What is wrong in a history, at which line, and the cure."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"{HISTORY}, line {line}: {what}")


@dataclass(frozen=True)
class History:
    """The epochs of a run, and what was measured in each."""

    epochs: int = 0
    metrics: Mapping[str, list[Value]] = field(default_factory=dict)  # by column: a value an epoch
    empty: frozenset[str] = frozenset()  # columns in which nothing was ever measured, which are no metrics
    refusal: str = ""  # why it cannot be read, with its line and the cure; it then has no epochs
    cut_short: int | None = None  # the line of a last row that was cut short, which is left out

    @property
    def fault(self) -> str:
        """What is wrong with it once its run has ended; empty where nothing is."""
        if self.cut_short is not None:
            cure = "write all its cells and a line end, and close the file"
            return f"{HISTORY}, line {self.cut_short}: the last row was cut short; {cure}"
        return self.refusal


@dataclass(frozen=True)
class Row:
    """A row of the file."""

    line: int  # 1 is the first
    cells: list[str]


def read_history(directory: Path, run: Mapping[str, Any]) -> History:
    """Return what the history.csv of a run or an attempt says, by its run.json; no epochs where there is none."""
    try:
        return history_in((directory / HISTORY).read_bytes(), run)
    except OSError:
        return History()


def history_in(content: bytes, run: Mapping[str, Any]) -> History:
    """Return what the bytes of a history.csv say, as `read_history` does."""
    try:
        text = decode(content)
        if text.endswith(LINE_ENDS) or was_left_so(content, run):
            return parse(text, is_whole=True)
        return parse(text, is_whole=False)
    except Unreadable as fault:
        return History(refusal=str(fault))


def was_left_so(content: bytes, run: Mapping[str, Any]) -> bool:
    """Tell whether a run has ended in order and left its history so: then its last row needs no line end.

    One that began with a row that was cut short, and has ended with the same, did not write it.
    """
    if not run or not run["finished"] or run["error"] or run.get("cut_history") == hash_of(content):
        return False
    left = run.get("files", {}).get(HISTORY)
    return left is None or has_hash(content, left)


# --- from bytes to rows ---
def decode(content: bytes) -> str:
    """Return a file as text, without a character that was cut at its end."""
    encoding = "utf-8"
    for mark, its_encoding in ENCODINGS.items():
        if content.startswith(mark):
            content, encoding = content.removeprefix(mark), its_encoding
            break
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        before, after = content[: error.start], content[error.start :]
        if b"\n" in after or b"\r" in after:
            raise not_utf_8(before.count(b"\n") + 1) from None
        text = before.decode(encoding)
    return text.replace(MARK, "")  # also where one file was appended to another


def not_utf_8(line: int) -> Unreadable:
    """Say that a file is encoded otherwise."""
    return Unreadable(line, 'is not UTF-8; write it with encoding="utf-8"')


def parse(text: str, is_whole: bool) -> History:
    """Return what the text of a history says. Without `is_whole` its last row may be cut short without a line end."""
    lines = text
    if not is_whole:
        lines = text[: max(text.rfind(end) for end in LINE_ENDS) + 1]
    if "\0" in lines:  # of UTF-16 and UTF-32 without their mark
        raise not_utf_8(lines.count("\n", 0, lines.index("\0")) + 1)
    rows = read_rows(lines, is_whole)
    if not rows:
        return History()
    head, *rows = rows
    names = [cell.strip() for cell in head.cells]
    check_names(names, head.line)
    cut_short = None
    if len(lines) < len(text):
        cut_short = text.count("\n", 0, len(lines)) + 1
    elif rows and len(rows[-1].cells) < len(names):
        cut_short = rows.pop().line
    rows = without_repeated_heads(rows, names)
    for row in rows:
        fill(row, names)
    columns = read_columns(rows, names)
    places = number_rows(rows, columns)
    epochs = max(places, default=0)
    metrics = {}
    for name, values in columns.items():
        if not NO_METRICS.fullmatch(name):
            metrics[name] = by_epoch(values, places, epochs)
    empty = frozenset(name for place, name in enumerate(names) if is_empty(rows, place))
    return History(epochs, metrics, empty.difference(metrics), cut_short=cut_short)


def read_rows(text: str, is_whole: bool) -> list[Row]:
    """Return the rows of a text, blank lines aside."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        for cells in reader:
            if cells:
                rows.append(Row(reader.line_num, cells))
    except csv.Error as error:
        if is_whole:  # else it may be a quotation that was cut short
            raise Unreadable(reader.line_num, f"{error}; write the file with the module csv") from None
    return rows


def check_names(names: Sequence[str], line: int) -> None:
    """Refuse a header that names no columns."""
    for separator in (";", "\t"):
        if len(names) == 1 and separator in names[0]:
            raise Unreadable(line, f"separates columns by {separator!r}; separate them by commas")
    if any(A_NUMBER.fullmatch(name) for name in names):
        raise Unreadable(line, "holds numbers and no names; write a header, as in `epoch,val_loss`")


def without_repeated_heads(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Return rows without the headers that a resumed logger wrote again."""
    kept: list[Row] = []
    is_after_head = False
    for row in rows:
        if [cell.strip() for cell in row.cells] == names:
            is_after_head = True
            continue
        if is_after_head and kept and row.cells == kept[0].cells:
            cure = "let a logger that resumes append what is new, or write a new file"
            raise Unreadable(row.line, f"begins anew with what stands in line {kept[0].line}; {cure}")
        kept.append(row)
        is_after_head = False
    return kept


def fill(row: Row, names: Sequence[str]) -> None:
    """Give a row as many cells as there are columns: a missing one is empty, and none that is not may be left over."""
    while len(row.cells) > len(names) and not row.cells[-1].strip():
        row.cells.pop()
    if len(row.cells) > len(names):
        if all(is_text(cell) for cell in row.cells):
            raise other_header(row)
        cure = "write all columns from the first row on, and end each row with a line end"
        raise Unreadable(
            row.line, f"has {len(row.cells)} cells, and the header names {len(names)} columns; {cure}"
        )
    row.cells.extend([""] * (len(names) - len(row.cells)))


def other_header(row: Row) -> Unreadable:
    """Say that a row is a header with other columns."""
    cure = "write one header that names all columns, and leave cells empty where nothing is measured"
    return Unreadable(row.line, f"is a header again, with other columns than the first; {cure}")


# --- from rows to columns ---
def read_columns(rows: Sequence[Row], names: Sequence[str]) -> dict[str, list[Value]]:
    """Return the columns that hold numbers, each once."""
    columns: dict[str, list[Value]] = {}
    for place, name in enumerate(names):
        values = read_column(rows, place, name)
        if values is None:
            continue
        if name and name in columns and not are_equal(columns[name], values):
            raise Unreadable(1, f"names two columns {name!r}, which differ; give each a name of its own")
        columns[name] = values
    return columns


def read_column(rows: Sequence[Row], place: int, name: str) -> list[Value] | None:
    """Return a column, None where it holds no number: texts are no metric."""
    values: list[Value] = []
    texts = []
    for row in rows:
        value = None
        cell = row.cells[place]
        if is_text(cell):
            texts.append(row)
        elif cell.strip().lower() not in NOT_MEASURED:
            value = float(cell)
        values.append(value)
    if all(value is None for value in values):
        return None
    if texts and (name == "epoch" or not NO_METRICS.fullmatch(name)):
        row = texts[0]
        if all(is_text(cell) for cell in row.cells):
            raise other_header(row)
        cure = "write a number, or leave the cell empty where nothing was measured"
        raise Unreadable(row.line, f"{name} is {row.cells[place][:40]!r}, which is no number; {cure}")
    return values


def is_empty(rows: Sequence[Row], place: int) -> bool:
    """Tell whether nothing was measured in a column."""
    return all(row.cells[place].strip().lower() in NOT_MEASURED for row in rows)


def is_text(cell: str) -> bool:
    """Tell whether a cell holds neither a number nor what stands for none."""
    if cell.strip().lower() in NOT_MEASURED:
        return False
    try:
        float(cell)
    except ValueError:
        return True
    return False


def are_equal(values: Sequence[Value], others: Sequence[Value]) -> bool:
    """Tell whether two columns say the same."""
    return [str(value) for value in values] == [str(value) for value in others]


# --- from rows to epochs ---
def number_rows(rows: Sequence[Row], columns: dict[str, list[Value]]) -> list[int]:
    """Return the epoch of each row, from 1; 0 for one of an epoch that is not there yet.

    Without a column `epoch` a row is an epoch. Where there is a `step` too, as Lightning's CSVLogger writes it, several
    rows may be one epoch.
    """
    told = columns.get("epoch")
    if told is None:
        return list(range(1, len(rows) + 1))
    for row, epoch in zip(rows, told, strict=True):
        if epoch is not None and not (epoch.is_integer() and 0 <= epoch <= MOST_EPOCHS):
            raise Unreadable(row.line, f"epoch is {epoch:g}; number epochs by whole numbers, from 0 or 1")
    if "step" in columns:
        return number_by_steps(rows, columns)
    return number_one_by_one(rows, told)


def number_one_by_one(rows: Sequence[Row], told: Sequence[Value]) -> list[int]:
    """Return the epochs of rows of which each is one, as its number must say where it says anything.

    A first number that stands in all rows says nothing, as where Keras's `fit` is called for each epoch.
    """
    places = list(range(1, len(rows) + 1))
    if len(rows) > 1 and set(told) in ({0}, {1}):
        return places
    first: float | None = None
    for place, row, epoch in zip(places, rows, told, strict=True):
        if epoch is None:
            raise Unreadable(row.line, "epoch is empty; number every row, or none")
        if first is None:
            first = check_first(row, epoch)
        following = first + place - 1
        if epoch != following:
            cure = (
                "write a row an epoch, in their order, with empty cells where nothing was measured; "
                "a run that resumes first removes the rows that it will write again"
            )
            raise Unreadable(row.line, f"epoch is {epoch:g}, where {following:g} is next; {cure}")
    return places


def number_by_steps(rows: Sequence[Row], columns: dict[str, list[Value]]) -> list[int]:
    """Return the epochs of rows of which several may be one.

    An epoch in which nothing was logged has no row, which can be told where they are numbered from 0. A row that does
    not say its epoch, as one of Lightning's LearningRateMonitor, is of the one that the next row says.
    """
    places: list[int] = []
    first: float | None = None
    before = 0.0
    for row, epoch in zip(rows, columns["epoch"], strict=True):
        if epoch is None:
            places.append(0)
            continue
        if first is None:
            first = before = check_first(row, epoch)
        if epoch < before or (first and epoch > before + 1):
            cure = "write the rows in their order, and begin a new file where training begins anew"
            raise Unreadable(row.line, f"epoch {epoch:g} comes after epoch {before:g}; {cure}")
        before = epoch
        places.append(int(epoch - first) + 1)
    following = 0
    for at in reversed(range(len(places))):
        following = places[at] or following
        places[at] = following
    return of_training(places, columns)


def check_first(row: Row, epoch: float) -> float:
    """Return the number of the first epoch, or refuse it."""
    if epoch not in (0, 1):
        cure = "number them from 0 or 1, and keep earlier rows when a run resumes"
        raise Unreadable(row.line, f"epochs begin with {epoch:g}; {cure}")
    return epoch


def of_training(places: list[int], columns: Mapping[str, list[Value]]) -> list[int]:
    """Return the epochs of rows; those that Lightning adds after the last one, when a model is tested, belong to it.

    `Trainer.test` logs under the number of an epoch that was never trained: one with metrics of the test set alone.
    """
    last = max(places)
    trained = max((place for place in places if place < last), default=0)
    if not trained:
        return places
    measured = set()
    for name, values in columns.items():
        if name in INDICES:
            continue
        if any(value is not None for value, place in zip(values, places, strict=True) if place == last):
            measured.add(data_of(name))
    if measured != {Data.TEST} or all(data_of(name) is Data.TEST for name in columns if name not in INDICES):
        return places
    return [min(place, trained) for place in places]


def by_epoch(values: Sequence[Value], places: Sequence[int], epochs: int) -> list[Value]:
    """Return a column by epoch: of several rows of one epoch, the last value that was measured."""
    by_epoch: list[Value] = [None] * epochs
    for place, value in zip(places, values, strict=True):
        if place and value is not None:
            by_epoch[place - 1] = value
    return by_epoch
