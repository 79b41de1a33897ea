"""How texts are shown on the page, and how numbers and tables are written there.

Tables and lists of names make what they are given fit for Markdown: it is a text of others, unless it is Markdown.
"""

from __future__ import annotations

import inspect
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import pandas as pd
from IPython import display as ipython

from nbstudy.decision.metrics import written
from nbstudy.markdown import Markdown, plain, table_of_cells
from nbstudy.numbers import is_whole
from nbstudy.words import NAMED, enumerated

SHOWN = 20  # rows of a long table: results.csv has all
Thing = TypeVar("Thing")  # that a row of a table tells of
TAGS = re.compile(r"<(?!br>|/?code>)")  # all but those that are used here


# --- texts ---
def with_arrows(text: str) -> str:
    """Return a text with its arrows as people write them."""
    return text.replace(" -> ", " → ")


# --- showing ---
def show_texts(*texts: str) -> None:
    """Display texts as Markdown, one below the other; empty ones show nothing."""
    if any(texts):
        ipython.display(displayed(*texts))


def displayed(*texts: str) -> ipython.Markdown:
    """Return what a notebook shows of texts in Markdown, in which no tag of HTML is active but those that are used here.

    `plain` leaves none: this is for the text of others that somebody forgets to make plain.
    """
    return ipython.Markdown("\n\n".join(without_tags(text) for text in texts if text))


def without_tags(text: str) -> Markdown:
    """Return a text in which no tag of HTML is active but those that are used here."""
    if isinstance(text, Markdown):
        return text
    return Markdown(TAGS.sub("&#60;", text))


def folded(summary: str, text: str) -> Markdown:
    """Return a text that is folded away below a line, until somebody unfolds it."""
    return Markdown(f"<details><summary>{plain(summary)}</summary>\n\n{without_tags(text)}\n\n</details>")


def source_of(*functions: Callable[..., Any]) -> Markdown:
    """Show functions as they are written."""
    sources = [textwrap.dedent(inspect.getsource(function)).strip() for function in functions]
    return Markdown("```python\n" + "\n\n\n".join(sources) + "\n```")


# --- sentences ---
def joined(*sentences: str) -> str:
    """Return sentences as a paragraph, without those that are empty."""
    return " ".join(sentence for sentence in sentences if sentence)


def listed(names: Iterable[str], most: int = NAMED) -> Markdown:
    """Return names, or Markdown, as words of a sentence; of many, only the first, and how many more there are."""
    return Markdown(enumerated(map(plain, names), most))


# --- tables ---
def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a table in Markdown, without the columns that are empty; empty where all are."""
    return table_of_cells([{key: cell(value) for key, value in row.items()} for row in rows])


def table_of_many(
    things: Sequence[Thing],
    row_of: Callable[[Thing], Mapping[str, Any]],
    also: Thing | None = None,
    called: str | None = None,
) -> str:
    """Return things, best first, as a table that is cut where it would be long, which a sentence then says.

    `row_of` returns the row of one; it is asked for those that are shown. One of those that are cut off can be shown also,
    below the others, and is called so in the sentence.
    """
    shown = [*things[:SHOWN]]
    first = f"the first {SHOWN} of {len(things):,}, best first"
    if also is not None:
        shown.append(also)
        first += f", and {plain(called)}"
    text = table([row_of(thing) for thing in shown])
    if len(things) > SHOWN:
        text += f"\n\nThese are {first}; `results.csv` has all."
    return text


def cell(value: Any) -> str:
    """Return a value as a cell of a table, empty where it is missing; a text is plain unless it is Markdown."""
    if value is None or value is pd.NA:
        return ""
    if is_whole(value):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    return plain(value)


def number(value: float) -> str:
    """Return a number as it is written, empty where it is missing."""
    if math.isnan(value):
        return ""
    return written(value)
