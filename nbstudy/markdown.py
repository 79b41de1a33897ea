"""Markdown: what makes texts of others fit for it.

A sentence is an f-string in which each text that is not ours (a name, a title, a value, an error, a path) is `plain`, or
`code`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from nbstudy.words import on_a_line

# What Markdown or HTML would read in a text: markup, what makes links of addresses, and what begins an item of a list. An
# underline between letters, as in val_loss, is read by none of those that show a page.
READ = re.compile(
    r"[&<>`*~\[\]|#\\$]|(?<![^\W_])_|_(?![^\W_])"
    r"|:(?=//)|(?<=www)\.|(?<=\S)@(?=\S)|^[-+:](?= |$)|^\d(?=\d*[.)](?: |$))"
)
# MathJax reads these in the finished page, whatever way they came into it, but not in code.
READ_BY_MATHJAX = re.compile(r"[$\\]")
A_NUMBER = re.compile(r"\**[-+]?[\d.,]+(e[-+]?\d+)?\**", re.ASCII)  # as it stands in a cell, perhaps in bold


class Markdown(str):
    """What is Markdown already, and is not made fit for it again."""

    __slots__ = ()


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


def table_of_cells(rows: Sequence[Mapping[str, str]]) -> str:
    """Return rows of cells, which are Markdown, as a table, without the columns that are empty; empty where all are."""
    keys: dict[str, None] = {}
    for row in rows:
        keys.update(dict.fromkeys(row))
    columns = [key for key in keys if any(row.get(key) for row in rows)]
    if not columns:
        return ""
    head = [plain(key).replace("_", "_&#8203;") for key in columns]  # a long name may wrap there
    lines = [head, [alignment(row.get(key, "") for row in rows) for key in columns]]
    for row in rows:
        lines.append([row.get(key, "") for key in columns])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def alignment(cells: Iterable[str]) -> str:
    """Return how Markdown aligns a column: numbers to the right, so that their digits stand below each other."""
    if all(A_NUMBER.fullmatch(cell) for cell in cells if cell):
        return "---:"
    return ":---"
