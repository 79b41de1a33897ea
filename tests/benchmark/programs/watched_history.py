"""Watch a history of so many rows to which one is added; print the processor seconds of the look after that.

It is what the runner shows of a run that is under way.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

try:
    from nbstudy.records.latest import Follower
    from nbstudy.records.progress import describe_progress
except ModuleNotFoundError:
    from nbstudy.runs import describe_progress, read_history

    Follower = None


def look(attempt: Path, follower: object) -> None:
    """Find out how far a run is."""
    if follower is None:
        assert read_history(attempt)
        assert describe_progress(attempt)
    else:
        assert describe_progress(attempt, "val_loss", follower.look())


with tempfile.TemporaryDirectory() as place:
    attempt = Path(place)
    history = attempt / "history.csv"
    rows = [f"{epoch},{1 / epoch},{2 / epoch}" for epoch in range(1, int(sys.argv[1]) + 1)]
    history.write_text("\n".join(["epoch,loss,val_loss", *rows, ""]))
    follower = Follower and Follower(attempt)
    look(attempt, follower)
    with history.open("a") as file:
        file.write(f"{len(rows) + 1},0.5,0.5\n")
    began = time.process_time()
    look(attempt, follower)
    print(time.process_time() - began)
