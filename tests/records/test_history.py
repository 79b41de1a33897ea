"""What is read of a history: by epoch, whoever wrote it, or refused by its line."""

from __future__ import annotations

import csv
import io
import math
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbstudy.files import hash_of
from nbstudy.records import progress, runs
from nbstudy.records.histories import Columns, plain_text, read_histories
from nbstudy.records.history import History, Value, history_in, read_history
from planted import Planted

NAN, INF = math.nan, math.inf
ENDED: dict[str, Any] = {"finished": True, "error": None}  # of run.json, as far as a history asks for it
UNDER_WAY: dict[str, Any] = {"finished": False, "error": None}
ONE = "notebooks: {run: train.ipynb}\nconfigurations: {a: , b: {units: 8}}\n"
HEADER = "epoch,loss,val_loss\n"
THREE = [1.0, 2.0, 3.0]
OTHER = b"epoch,loss,val_loss\n1,1,1\n2,2.0,2e0\n3,3,3\n"  # of the runs beside it


def read(tmp_path: Path, content: str | bytes, run: dict[str, Any] = ENDED) -> History:
    """Return what is read of a history with this content, which is the same where those of many runs are read together."""
    if isinstance(content, str):
        content = content.encode()
    (tmp_path / "history.csv").write_bytes(content)
    history = read_history(tmp_path, run)
    before, *_, after = together = list(read_histories([(OTHER, ENDED), (content, run), (OTHER, ENDED)]))
    assert all(
        as_text(each) == as_text(read_alone)
        for each, read_alone in zip(together, [before, history, after], strict=True)
    )
    assert before.metrics == after.metrics == {"loss": THREE, "val_loss": THREE}
    return history


def as_text(history: History) -> str:
    """Return a text that differs for histories that do, in a bit or in what was not measured."""
    metrics = {name: [value and value.hex() for value in values] for name, values in history.metrics.items()}
    return f"{history.epochs} {metrics} {sorted(history.empty)} {history.refusal} {history.cut_short}"


def same(values: Iterable[Value], others: Iterable[Value]) -> bool:
    """Tell whether values are equal, where not a number is equal to itself, and to nothing else."""
    return [str(value) for value in values] == [str(value) for value in others]


# --- values ---
@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "", "3"], [1.0, None, 3.0]),  # as pandas writes NaN
        (["NA", "2", "<NA>"], [None, 2.0, None]),  # as Keras does what it did not measure
        (["1", "nan", "None"], [1.0, NAN, None]),
        (["1", "NaN", "-inf"], [1.0, NAN, -INF]),
        (["inf", " 2.5 ", "1e400"], [INF, 2.5, INF]),
    ],
)
def test_value_is_measured_or_not_or_not_finite(
    tmp_path: Path, cells: list[str], expected: list[Value]
) -> None:
    rows = "".join(f"{epoch},{epoch},{cell}\n" for epoch, cell in enumerate(cells, 1))
    history = read(tmp_path, HEADER + rows)
    assert history.epochs == 3 and same(history.metrics["loss"], THREE)
    assert same(history.metrics["val_loss"], expected)


def test_column_without_a_value_is_no_metric(tmp_path: Path) -> None:
    history = read(tmp_path, "epoch,loss,val_loss,when\n0,1,NA,noon\n1,2,NA,later\n")
    assert history.metrics == {"loss": [1.0, 2.0]}
    assert (history.epochs, history.empty) == (2, {"val_loss"})


# --- rows ---
@pytest.mark.parametrize(
    "content",
    [
        "loss\n1\n2\n3\n",
        "loss\r\n1\r\n2\r\n3\r\n",
        "loss\r1\r2\r3\r",
        b"\xef\xbb\xbfloss\n1\n2\n3\n",
        "\ufeffloss\n1\n2\n3\n".encode("utf-16-le"),
        "\ufeffloss\n1\n2\n3\n".encode("utf-16-be"),
        ",loss\n0,1\n1,2\n2,3\n",  # with the index of pandas
        " epoch , loss\n1, 1\n2, 2\n3, 3\n\n",
        "epoch,loss\n1,1,\n2,2,\n3,3,\n",  # with a comma at each row's end
        "epoch,loss,loss\n1,1,1\n2,2,2\n3,3,3\n",  # twins
        "epoch,loss\n0,1\n0,2\n0,3\n",  # `fit`, called for each epoch
        "epoch,loss\n1,1\n2,2\nepoch,loss\n3,3\n",  # a logger that was resumed
        "\ufeffepoch,loss\r\n1,1\r\n\ufeffepoch,loss\r\n2,2\r\n3,3\r\n",
        "loss,val_loss\n1,5\n2\n3,\n",  # a missing column of a row
    ],
)
def test_history_is_read_whoever_wrote_it(tmp_path: Path, content: str | bytes) -> None:
    history = read(tmp_path, content)
    assert history.fault == ""
    assert (history.epochs, history.metrics["loss"]) == (3, THREE)


@pytest.mark.parametrize("ending", ["", "\n"])
@pytest.mark.parametrize("last", ["3", "3,0.", "3,0.2"])
def test_only_a_last_row_that_was_cut_short_is_left_out(tmp_path: Path, last: str, ending: str) -> None:
    history = read(tmp_path, f"epoch,val_loss\n1,0.5\n2,0.25\n{last}{ending}", UNDER_WAY)
    is_whole = "," in last and ending != ""
    assert history.refusal == ""
    assert history.epochs == (3 if is_whole else 2) and history.metrics["val_loss"][:2] == [0.5, 0.25]
    assert history.cut_short == (None if is_whole else 4)


def test_last_row_of_a_run_that_ended_in_order_needs_no_line_end(tmp_path: Path) -> None:
    assert read(tmp_path, "epoch,val_loss\n1,0.5\n2,0.25").epochs == 2
    cut_later = ENDED | {"files": {"history.csv": "hash of another content"}}
    assert read(tmp_path, "epoch,val_loss\n1,0.5\n2,0.25", cut_later).epochs == 1
    without_its_end = ENDED | {"files": {"history.csv": hash_of("epoch,val_loss\n1,0.5\n2,0.25\n")}}
    assert read(tmp_path, "epoch,val_loss\n1,0.5\n2,0.25", without_its_end).epochs == 2  # an editor took that


@pytest.mark.parametrize("cut", range(1, len(HEADER) + 14))
def test_history_that_is_still_written_is_never_refused(tmp_path: Path, cut: int) -> None:
    content = f'{HEADER}1,1,1\n2,2,"ü"\n'.replace(',"ü"', ',2,"ü"').encode()[:-1]
    history = read(tmp_path, content[:-cut], UNDER_WAY)
    assert history.refusal == "" and history.epochs <= 1


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        (f"{HEADER}1,1,1\nepoch,loss,val_f1\n2,2,2\n", 3, "is a header again, with other columns"),
        (f"{HEADER}1,1,1\nepoch,loss,val_loss,f1\n2,2,2,2\n", 3, "is a header again, with other columns"),
        (f"{HEADER}1,1,1\n2,2,2,2\n", 3, "has 4 cells, and the header names 3 columns"),
        (f"{HEADER}1,1,1\n2,2,1.#IND\n", 3, "val_loss is '1.#IND', which is no number"),
        ("loss,loss\n1,1\n2,3\n", 1, "names two columns 'loss', which differ"),
        ("epoch;loss\n1;0,5\n", 1, "separates columns by ';'"),
        ("1,0.5\n2,0.4\n", 1, "holds numbers and no names"),
        (b"epoch,\xe4\n1,1\n", 1, "is not UTF-8"),
        ('loss\n1\n"2\n3\n', 4, "unexpected end of data"),
        (f"{HEADER}1,1,1\n2,2,2\n2,2,2\n3,3,3\n", 4, "epoch is 2, where 3 is next"),
        (f"{HEADER}1,1,1\n3,3,3\n", 3, "epoch is 3, where 2 is next"),
        (f"{HEADER}5,1,1\n6,3,3\n", 2, "epochs begin with 5"),
        (f"{HEADER}1,1,1\n,2,2\n", 3, "epoch is empty; number every row"),
        (f"{HEADER}0.5,1,1\n1,3,3\n", 2, "epoch is 0.5; number epochs by whole numbers"),
        (f"{HEADER}1,1,1\n{HEADER}1,1,1\n", 4, "begins anew with what stands in line 2"),
        ("loss\n1\n2\nloss\n1\n2\n", 5, "begins anew with what stands in line 2"),
        ("epoch,step,loss\n0,1,1\n2,2,1\n1,3,1\n", 4, "epoch 1 comes after epoch 2"),
    ],
)
def test_history_that_says_two_things_is_refused_by_its_line(
    tmp_path: Path, content: str | bytes, line: int, what: str
) -> None:
    history = read(tmp_path, content)
    assert history.refusal.startswith(f"history.csv, line {line}: {what}"), history
    assert "; " in history.refusal  # the cure
    assert (history.epochs, history.metrics) == (0, {})


# --- several rows an epoch ---
LIGHTNING = (  # log_every_n_steps of 2, validation every second epoch, a LearningRateMonitor, a test at the end
    "epoch,lr,step,test_acc,train_loss,val_loss\r\n"
    ",0.1,0,,,\r\n0,,1,,0.9,\r\n0,,3,,0.8,\r\n"
    ",0.01,4,,,\r\n1,,5,,0.7,\r\n1,,7,,,0.75\r\n"
    "3,,15,,0.5,\r\n3,,15,,,0.55\r\n"
    "4,,16,0.9,,\r\n"
)


def test_rows_of_an_epoch_are_one_where_a_logger_counts_steps(tmp_path: Path) -> None:
    history = read(tmp_path, LIGHTNING)
    assert history.epochs == 4  # the third logged nothing, and the test is no epoch
    assert history.metrics["train_loss"] == [0.8, 0.7, None, 0.5]
    assert history.metrics["val_loss"] == [None, 0.75, None, 0.55]
    assert history.metrics["lr"] == [0.1, 0.01, None, None]
    assert history.metrics["test_acc"] == [None, None, None, 0.9]


# --- whoever writes given values ---
Written = dict[str, list[Value]]
Writer = Callable[[Written], str]
NAMES = ["loss", "val_loss", "val_f1", "Präzision", "a b", "x|y", "12"]
values = st.one_of(st.none(), st.floats(), st.sampled_from([NAN, INF, -INF, 0.0, 5e-324]))


@st.composite
def columns_of_values(draw: st.DrawFn) -> Written:
    """Draw the values of a few metrics over a few epochs."""
    epochs = draw(st.integers(0, 25))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    column = st.lists(values, min_size=epochs, max_size=epochs)
    return {name: draw(column) for name in names}


def length_of(columns: Written) -> int:
    """Return the number of epochs of drawn values."""
    return len(next(iter(columns.values())))


def rows_by_csv(head: Sequence[str], rows: Iterable[dict[str, Any]], nothing: str, end: str) -> str:
    """Return rows as csv.DictWriter writes them."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, head, restval=nothing, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def measured_at(columns: Written, epoch: int) -> dict[str, float]:
    """Return what was measured in an epoch, from 0."""
    return {name: column[epoch] for name, column in columns.items() if column[epoch] is not None}  # type: ignore[misc]


def by_pandas(columns: Written) -> str:
    """Write values as DataFrame.to_csv does, with its index."""
    return str(pd.DataFrame(columns, dtype=float).to_csv())


def by_pandas_without_index(columns: Written) -> str:
    """Write values as DataFrame.to_csv does without its index."""
    return str(pd.DataFrame(columns, dtype=float).to_csv(index=False))


def by_csv(columns: Written) -> str:
    """Write values with the module csv, beside an epoch from 1."""
    rows = [{"epoch": epoch + 1} | measured_at(columns, epoch) for epoch in range(length_of(columns))]
    return rows_by_csv(["epoch", *columns], rows, "", "\n")


def by_keras(columns: Written) -> str:
    """Write values as keras.callbacks.CSVLogger does (3.15: sorted, "NA" where nothing is, epochs from 0)."""
    rows = [{"epoch": epoch} | measured_at(columns, epoch) for epoch in range(length_of(columns))]
    return rows_by_csv(["epoch", *sorted(columns)], rows, "NA", "\r\n")


def by_lightning(columns: Written) -> str:
    """Write values as Lightning's CSVLogger does (2.x): each metric of an epoch in a row of its own."""
    rows: list[dict[str, Any]] = []
    for epoch in range(length_of(columns)):
        rows.append({"epoch": epoch, "step": 10 * epoch})
        for name, value in measured_at(columns, epoch).items():
            rows.append({"epoch": epoch, "step": 10 * epoch + 9, name: value})
    return rows_by_csv(sorted(["epoch", "step", *columns]), rows, "", "\r\n")


@settings(max_examples=100, deadline=None)
@given(
    columns_of_values(), st.sampled_from([by_pandas, by_pandas_without_index, by_csv, by_keras, by_lightning])
)
def test_runner_and_reader_agree_with_the_values_that_were_written(columns: Written, write: Writer) -> None:
    if write in (by_pandas, by_pandas_without_index):  # which writes NaN as an empty cell
        columns = {
            name: [None if str(value) == "nan" else value for value in column]
            for name, column in columns.items()
        }
    with tempfile.TemporaryDirectory() as root:
        study = Planted(Path(root), ONE)
        place = study.run("a", [])
        (place / "history.csv").write_text(write(columns), encoding="utf-8", newline="")
        results = study.load()
        history = runs.history_of(place)
        said = progress.describe_progress(place)
    epochs = length_of(columns)
    assert history.fault == "" and history.epochs == epochs == results.table.loc["a", "epochs"]
    assert not epochs or said.startswith(f"{epochs} epoch")
    assert len(results.histories) == epochs
    for name, column in columns.items():
        if any(value is not None for value in column):
            assert same(history.metrics[name], column) and same(results.values("a", name), column)
            finite = [NAN if value is None or not math.isfinite(value) else value for value in column]
            assert same(results.curve("a", name), finite) and same(results.histories[name], finite)
        else:
            assert name not in history.metrics and name in history.empty | {"12"}


# --- those of many runs, read together ---
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-1e9, 1e9).map("{:.20f}".format),
    st.floats(allow_nan=False, allow_infinity=False).map("{:.25e}".format),
    st.integers().map(str),
    st.sampled_from(["", "1e400", "-1e-400", "007", "+.5", "5.", "-0", "9007199254740993"]),
)
CELLS = st.one_of(NUMBERS, NUMBERS, st.text("01.-+eE", max_size=4))


@st.composite
def plain_contents(draw: st.DrawFn) -> bytes:
    """Draw what may pass for a plain history: rows of cells, most of them numbers, most of them as many as there are names."""
    names = draw(st.sampled_from([["loss"], ["epoch", "loss"], ["loss", "val_loss", "Unnamed: 0"]]))
    rows = []
    for epoch in range(1, draw(st.integers(0, 6)) + 1):
        width = draw(st.sampled_from([len(names)] * 8 + [len(names) - 1, len(names) + 1]))
        cells = draw(st.lists(CELLS, min_size=width, max_size=width))
        if names[0] == "epoch" and cells:
            cells[0] = str(epoch)
        rows.append(",".join(cells))
    return "\n".join([",".join(names), *rows, ""]).encode()


@settings(max_examples=300, deadline=None)
@given(st.lists(plain_contents(), max_size=5))
def test_histories_read_together_say_what_each_says_alone(contents: list[bytes]) -> None:
    together = read_histories([(content, ENDED) for content in contents])
    assert list(map(as_text, together)) == [as_text(history_in(content, ENDED)) for content in contents]


@pytest.mark.parametrize("write", [by_csv, by_pandas_without_index])
def test_history_of_numbers_and_gaps_is_read_by_columns(write: Writer) -> None:
    content = write({"loss": [0.5, None, 0.25], "val_loss": [None, 1e-05, 3.0]}).encode()
    assert plain_text(content) is not None
    (history,) = read_histories([(content, ENDED)])
    assert isinstance(history.metrics, Columns) and as_text(history) == as_text(history_in(content, ENDED))


def test_history_that_is_not_there_has_no_epochs() -> None:
    assert list(read_histories([(None, {})])) == [History()]
