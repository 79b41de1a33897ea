"""Markdown: how texts are shown, how numbers and tables are written, and what makes texts of others fit for it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from nbstudy.decision.metrics import written
from nbstudy.numbers import is_whole

SHOWN = 50  # rows of a long table: results.csv has all
NAMED = 12  # names in a sentence


def show_texts(*texts: str) -> None:
    """Display texts as Markdown, one below the other; empty ones show nothing."""
    from IPython.display import Markdown, display

    filled = [text for text in texts if text]
    if filled:
        display(Markdown("\n\n".join(filled)))


def joined(*sentences: str) -> str:
    """Return sentences as a paragraph, without those that are empty."""
    return " ".join(sentence for sentence in sentences if sentence)


def listed(names: Collection[str], most: int = NAMED) -> str:
    """Return names as words of a sentence; of many, only the first, and how many more there are."""
    words = list(names)
    if len(words) > most:
        words[most - 1 :] = [f"{len(words) - most + 1} more"]
    *others, last = words
    if not others:
        return last
    return f"{', '.join(others)} and {last}"


# --- tables ---
def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a table in Markdown, without the columns that are empty; empty where all are."""
    texts = [{key: cell(value) for key, value in row.items()} for row in rows]
    keys: dict[str, None] = {}
    for row in texts:
        keys.update(dict.fromkeys(row))
    columns = [key for key in keys if any(row.get(key) for row in texts)]
    if not columns:
        return ""
    head = [key.replace("_", "_&#8203;") for key in columns]  # a long name may wrap there
    lines = [head, ["---"] * len(columns)]
    for row in texts:
        lines.append([row.get(key, "") for key in columns])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table_of_many(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a table that is cut where it would be long, which a sentence then says."""
    text = table(rows[:SHOWN])
    if len(rows) > SHOWN:
        text += f"\n\nThese are the first {SHOWN} of {len(rows):,}, best first; `results.csv` has all."
    return text


def cell(value: Any) -> str:
    """Return a value as a cell of a table, empty where it is missing."""
    if value is None or value is pd.NA:
        return ""
    if is_whole(value):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    return str(value).replace("|", "&#124;")


def number(value: float) -> str:
    """Return a number as it is written, empty where it is missing."""
    if math.isnan(value):
        return ""
    return written(value)


# --- texts of others ---
def on_a_line(text: str) -> str:
    """Return a text of somebody else's on one line, fit to stand in Markdown."""
    return " ".join(text.replace("`", "'").split())


def with_arrows(text: str) -> str:
    """Return a text with its arrows as people write them."""
    return text.replace(" -> ", " → ")


def source_of(*functions: Callable[..., Any]) -> str:
    """Show functions as they are written."""
    sources = [inspect.getsource(function).strip() for function in functions]
    return "```python\n" + "\n\n\n".join(sources) + "\n```"
