"""What a process makes once: classes of libraries that are imported when something runs.

What travels by value to a worker takes no `functools.cache` along. There it is made anew by each run, whose functions have
globals of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any


def made_once(make: Callable[[], type[Any]]) -> type[Any]:
    """Return the class that a function of a module makes, made when it is first asked for."""
    assert isinstance(make, FunctionType)
    made: dict[str, type[Any]] = make.__globals__.setdefault("MADE_ONCE", {})
    if make.__name__ not in made:
        made[make.__name__] = make()
    return made[make.__name__]
