"""Numbers of things, as in a sentence."""

from __future__ import annotations


def counted(number: float, noun: str) -> str:
    """Return a number of things in words, as in "1 epoch" and "2 epochs"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}s"
