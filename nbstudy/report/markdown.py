"""Markdown: how texts are shown, how numbers and tables are written, and what makes texts of others fit for it.

A sentence is an f-string in which each text that is not ours (a name, a title, a value, an error, a path) is `plain`, or
`code`. Tables and lists of names see to that themselves: what they are given is a text of others, unless it is Markdown.
"""

from __future__ import annotations

import inspect
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from IPython import display as ipython

from nbstudy.decision.metrics import written
from nbstudy.numbers import is_whole
from nbstudy.words import NAMED, enumerated, on_a_line

SHOWN = 50  # rows of a long table: results.csv has all
# What Markdown or HTML would read in a text: markup, what makes links of addresses, and what begins an item of a list. An
# underline between letters, as in val_loss, is read by none of those that show a page.
READ = re.compile(
    r"[&<>`*~\[\]|#\\$]|(?<![^\W_])_|_(?![^\W_])"
    r"|:(?=//)|(?<=www)\.|(?<=\S)@(?=\S)|^[-+:](?= |$)|^\d(?=\d*[.)](?: |$))"
)
# MathJax reads these in the finished page, whatever way they came into it, but not in code.
READ_BY_MATHJAX = re.compile(r"[$\\]")
TAGS = re.compile(r"<(?!br>|/?code>)")  # all but those that are used here


class Markdown(str):
    """What is Markdown already, and is not made fit for it again."""

    __slots__ = ()


# --- texts of others ---
def plain(text: object) -> Markdown:
    """Return a text of somebody else's, such that Markdown, HTML and MathJax show it as it is, on one line.

    It stands in a sentence, a heading, a link or the cell of a table. What has no character that they read stays as it
    is; others are written by their numbers, and mathematics is shown as code. Markdown is returned unchanged.
    """
    if isinstance(text, Markdown):
        return text
    line = on_a_line(str(text))
    if READ_BY_MATHJAX.search(line):
        return as_code(line)
    return Markdown(by_numbers(line))


def code(text: object) -> Markdown:
    """Return a text of somebody else's as code, on one line, wherever `plain` may stand."""
    line = on_a_line(str(text))
    if READ.search(line):
        return as_code(line)
    return Markdown(f"`{line}`")


def as_code(line: str) -> Markdown:
    """Return a line as code whose characters are written by their numbers.

    Between backticks they could not be, and there nbconvert 7.17 finds mathematics: its MathBlockParser looks for `$$` in
    the whole text before anything else, so that two pieces of code with one each are swallowed with all between them.
    """
    return Markdown(f"<code>{by_numbers(line)}</code>")


def by_numbers(line: str) -> str:
    """Return a line in which the characters that would be read are written by their numbers, as in `&#36;`."""
    return READ.sub(lambda found: f"&#{ord(found[0])};", line)


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
    shown: list[str] = []
    for text in texts:
        if isinstance(text, Markdown):
            shown.append(text)
        elif text:
            shown.append(TAGS.sub("&#60;", text))
    return ipython.Markdown("\n\n".join(shown))


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
    texts = [{key: cell(value) for key, value in row.items()} for row in rows]
    keys: dict[str, None] = {}
    for row in texts:
        keys.update(dict.fromkeys(row))
    columns = [key for key in keys if any(row.get(key) for row in texts)]
    if not columns:
        return ""
    head = [plain(key).replace("_", "_&#8203;") for key in columns]  # a long name may wrap there
    lines = [head, ["---"] * len(columns)]
    for row in texts:
        lines.append([row.get(key, "") for key in columns])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table_of_many(
    rows: Sequence[Mapping[str, Any]], also: Mapping[str, Any] | None = None, called: str | None = None
) -> str:
    """Return rows as a table that is cut where it would be long, which a sentence then says.

    One of those that are cut off can be shown also, below the others, and is called so in the sentence.
    """
    shown = [*rows[:SHOWN]]
    first = f"the first {SHOWN} of {len(rows):,}, best first"
    if also is not None:
        shown.append(also)
        first += f", and {plain(called)}"
    text = table(shown)
    if len(rows) > SHOWN:
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
