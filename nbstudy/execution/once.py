"""What a process makes or finds out once: classes of libraries that are imported when something runs, facts of its host.

What travels by value to a worker takes no `functools.cache` along. There it is made anew by each run, whose functions have
globals of their own.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FunctionType
from typing import Any


def known_to_this_process(what: str) -> tuple[threading.Lock, dict[Any, Any]]:
    """Return what this process knows of something, and the lock under which that is looked at.

    It is no global of a room: what travels by value to a worker has others each time.
    """
    known: tuple[threading.Lock, dict[Any, Any]]
    known = vars(sys).setdefault(f"nbstudy_{what}", (threading.Lock(), {}))
    return known


def made_once(make: Callable[[], type[Any]]) -> type[Any]:
    """Return the class that a function of a module makes, made when it is first asked for."""
    assert isinstance(make, FunctionType)
    made: dict[str, type[Any]] = make.__globals__.setdefault("MADE_ONCE", {})
    lock, _ = known_to_this_process("classes")
    with lock:
        if make.__name__ not in made:
            made[make.__name__] = make()
    return made[make.__name__]


def find_classes_of_traits(*kinds: Any) -> None:
    """Have the classes found that the traits of these kinds name as text, while no other thread does.

    traitlets 5.16 (`Instance._resolve_classes`) finds them when the first object is made. Two threads that make it at once
    disturb each other: "TypeError: import_item accepts strings".
    """
    for kind in kinds:
        kind.__new__(kind)
