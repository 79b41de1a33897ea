"""Histories that are written plainly: a header, and an epoch a row, in which nothing is but numbers and empty cells.

They say the same to whoever reads them, so that they can be read faster than history.py does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

PLAIN = b"0123456789+-.eE,\n"  # all that stands below the header
UNUSUAL = set('",;\t\N{ZERO WIDTH NO-BREAK SPACE}')  # in the name of a column


@dataclass(frozen=True)
class PlainText:
    """The text of a history that holds numbers alone, an epoch a row, whose names stand in the header."""

    names: tuple[str, ...]
    body: bytes  # without the header; its first and its last row are whole
    rows: int


def plain_text(content: bytes) -> PlainText | None:
    """Return the text of a history that can be read by columns; None for any other."""
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n")
    header, _, body = content.partition(b"\n")
    names = names_in(header)
    if not names or not body.endswith(b"\n") or b"\n\n" in content or body.translate(None, PLAIN):
        return None
    first = body[: body.index(b"\n")]
    last = body[body.rfind(b"\n", 0, -1) + 1 :]
    if not first.count(b",") == last.count(b",") == len(names) - 1:
        return None
    return PlainText(names, body, body.count(b"\n"))


@lru_cache
def names_in(header: bytes) -> tuple[str, ...]:
    """Return the names of columns; none where one is not plainly a name, or they are not those of a row an epoch."""
    try:
        names = header.decode().split(",")
    except UnicodeDecodeError:
        return ()
    if len(set(names)) < len(names) or "step" in names or not all(map(is_plain, names)):
        return ()
    return tuple(names)


def is_plain(name: str) -> bool:
    """Tell whether a text is the name of a column, and of nothing else."""
    begins_as_name = name[:1].isalpha() or name.startswith("_")
    return begins_as_name and name.isprintable() and name == name.strip() and UNUSUAL.isdisjoint(name)
