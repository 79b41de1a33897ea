"""What was found of runs on disk, good for as long as nothing in their directories changes: a second look reads what is new."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbstudy.study.inputs import SETTLED

Identity = tuple[str, int, int, int, int]  # of a file or a directory: its path, inode, size and times
State = list[Identity]


@dataclass(frozen=True)
class Sight:
    """What was found, and what it follows from."""

    state: State
    given: Any
    found: Any


@dataclass
class Seen:
    """What a command has found, by what it looked for."""

    sights: dict[str, Sight] = field(default_factory=dict)
    states: dict[str, State] = field(
        default_factory=dict
    )  # as far as it has looked since it began to look anew

    def look_anew(self) -> None:
        """Ask the disk again what state all is in."""
        self.states.clear()

    def state_of(self, place: Path, incomplete: Path, is_new: bool = False) -> State:
        """Return what changes when anything does that a configuration has in its place or in that of its attempts.

        It is asked for once a look, and again where it `is_new`.
        """
        key = str(place)
        if is_new or key not in self.states:
            attempts = identities_in(incomplete)
            state = [*identities_in(place), *attempts]
            for path, *_ in attempts:
                state += identities_in(path)
            self.states[key] = state
        return self.states[key]

    def recall(self, key: str, state: State, given: Any) -> Any:
        """Return what was found where all was in this state and this was given; None where that is not known."""
        sight = self.sights.get(key)
        if sight is None or sight.state != state or sight.given != given:
            return None
        return sight.found

    def keep(self, key: str, state: State, given: Any, found: Any) -> None:
        """Keep what was found where all had been in this state, unless it may still change and keep its times."""
        self.sights.pop(key, None)
        latest = max((max(changed, changed_too) for *_, changed, changed_too in state), default=0)
        if time.time() - latest / 1e9 > SETTLED:
            self.sights[key] = Sight(state, given, found)

    def __reduce__(self) -> tuple[type[Seen], tuple[()]]:
        """Travel to other hosts without what was found on this one."""
        return Seen, ()


def identities_in(directory: str | Path) -> State:
    """Return what tells the entries of a directory from others, in order; none where it is no directory."""
    found = []
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            try:
                status = entry.stat()
            except OSError:  # a link to nothing
                status = entry.stat(follow_symlinks=False)
            times = (status.st_mtime_ns, status.st_ctime_ns)
            found.append((entry.path, status.st_ino, status.st_size, *times))
    return sorted(found)
