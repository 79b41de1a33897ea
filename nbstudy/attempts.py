"""From an attempt to a result: begin with what was trained before, and promote what succeeded.

Only the runner that holds a study promotes. A directory is renamed into its final place in one step, the old
result being renamed aside first; a promotion that was cut short is finished at the next start.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbstudy.files import FORMAT, hash_of, write_json
from nbstudy.runs import CHECKPOINT, Task, differences, read_run, resume_point

ATTEMPTS_KEPT = 2  # of one configuration, the one that begins included


def begin_attempt(task: Task, cores: int) -> Path:
    """Make the directory of a new attempt, with the files of the one that it resumes from."""
    start = resume_point(task)
    before = task.attempts()
    number = 1
    if before:
        number = int(before[-1].name) + 1
    attempt = task.incomplete / str(number)
    attempt.mkdir(parents=True)
    run: dict[str, Any] = {
        "format": FORMAT,
        "configuration": task.name,
        "parameters": task.parameters,
        "code": task.context.template.hash,
        "flops": task.flops,
        "cores": cores,
        "seconds": 0.0,
        "attempts": 0,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "finished": False,
        "error": None,
    }
    if start:
        run |= carry_over(start, attempt)
    run["attempts"] += 1
    (attempt / f"{task.name}.ipynb").write_text(task.context.template.text, encoding="utf-8")
    write_json(attempt / "run.json", run)  # last: from now on the attempt counts
    superfluous = len(before) + 1 - ATTEMPTS_KEPT
    for old in before[: max(0, superfluous)]:
        shutil.rmtree(old)
    return attempt


def carry_over(start: Path, attempt: Path) -> dict[str, Any]:
    """Copy the files that an attempt resumes from, logs aside; return what its record goes on with."""
    run = read_run(start)
    # oldest first: a history that is copied after its checkpoint is never behind it
    files = sorted(start.iterdir(), key=lambda path: path.stat().st_mtime)
    seconds = run["seconds"]
    if not run["finished"]:  # it was killed, and lived to its last file
        lived = files[-1].stat().st_mtime - (start / "run.json").stat().st_mtime
        seconds = round(seconds + lived, 1)
    for file in files:
        if file.is_file() and file.suffix != ".ipynb" and file.name != "run.json":
            shutil.copy2(file, attempt / file.name)
    return {"seconds": seconds, "attempts": run["attempts"], "started": run["started"]}


def finish_attempt(attempt: Path, seconds: float, error: str | None) -> None:
    """Record that an attempt ran to its end, how long it took, and with which error if any."""
    run = read_run(attempt)
    seconds = round(run["seconds"] + seconds, 1)
    write_json(attempt / "run.json", run | {"seconds": seconds, "finished": True, "error": error})


def record_error(attempt: Path, error: str) -> None:
    """Record why an attempt failed that could not say so itself, as far as the disk allows."""
    run = read_run(attempt)
    if run:
        with suppress(OSError):
            write_json(attempt / "run.json", run | {"error": error})


def promote(task: Task, attempt: Path) -> None:
    """Move a successful attempt to its final place; the old result stays until then."""
    hashes = {}
    for path in attempt.iterdir():
        if path.is_file() and path.name not in ("run.json", CHECKPOINT):
            hashes[path.name] = hash_of(path.read_bytes())
    write_json(attempt / "run.json", read_run(attempt) | {"files": hashes})
    if task.place.exists():
        task.place.rename(task.incomplete / "replaced")
    attempt.rename(task.place)
    shutil.rmtree(task.incomplete)


def finish_promotion(task: Task) -> None:
    """Complete a promotion that was cut short, at whatever point."""
    replaced = task.incomplete / "replaced"
    if replaced.exists() and task.place.exists():
        shutil.rmtree(task.incomplete)
    attempts = task.attempts()
    if attempts and can_be_promoted(task, attempts[-1]):
        promote(task, attempts[-1])
    elif replaced.exists():
        replaced.rename(task.place)


def can_be_promoted(task: Task, attempt: Path) -> bool:
    """Tell whether an attempt ran to its end without an error, with today's parameters and code."""
    run = read_run(attempt)
    return bool(run.get("finished")) and not run["error"] and not differences(task, attempt)


def accept_code(task: Task) -> None:
    """Take a complete run as current although the template's code changed, and record it."""
    run = read_run(task.place)
    template = task.context.template
    if run and differences(task, task.place) == [f"{template.file} changed"]:
        accepted = [*run.get("accepted", []), run["code"]]
        write_json(task.place / "run.json", run | {"accepted": accepted, "code": template.hash})
