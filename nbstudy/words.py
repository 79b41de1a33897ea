"""Words of sentences: numbers of things, and texts of somebody else's."""

from __future__ import annotations

from collections.abc import Iterable

NAMED = 12  # words in a sentence
JOINERS = "\u200c\u200d"  # which nobody sees either, but which letters of some scripts and emoji need


def counted(number: float, noun: str) -> str:
    """Return a number of things in words, as in "1 epoch" and "2 epochs"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}s"


def duration(minutes: float, digits: int = 1) -> str:
    """Return a duration in words, in seconds where it is short."""
    if minutes < 1:
        return counted(round(60 * minutes), "second")
    return f"{minutes:.{digits}f} minutes"


def enumerated(words: Iterable[str], most: int = NAMED) -> str:
    """Return words as in a sentence; of many, only the first, and how many more there are."""
    shown = list(words)
    if not shown:
        return ""
    if len(shown) > most:
        shown[most - 1 :] = [f"{len(shown) - most + 1} more"]
    *others, last = shown
    if not others:
        return last
    return f"{', '.join(others)} and {last}"


def on_a_line(text: str) -> str:
    """Return a text of somebody else's on one line, with the codes of characters that nobody can see."""
    line = " ".join(text.split())
    if line.isprintable():  # as most are
        return line
    seen = []
    for letter in line:
        if letter.isprintable() or letter in JOINERS:
            seen.append(letter)
        else:  # a control character, or half of a surrogate pair, which has no UTF-8 and which no font can draw
            seen.append(letter.encode("unicode_escape").decode())
    return "".join(seen)
