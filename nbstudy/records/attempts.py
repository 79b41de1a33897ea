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

from nbstudy import __version__
from nbstudy.files import (
    CHECKPOINT,
    FORMAT,
    HISTORY,
    hash_of,
    partial_of,
    read_json,
    sync,
    sync_all,
    write_json,
)
from nbstudy.records.inputs import NOTES, accepted_files, asked_inputs, imported_by
from nbstudy.records.record import MODULES, is_there, read_run, record_of
from nbstudy.records.replaced import keep
from nbstudy.records.runs import (
    Task,
    can_be_accepted,
    can_be_promoted,
    differences,
    goes_on_from_place,
    history_of,
    made_in,
    resume_point,
    usable_directories,
)
from nbstudy.records.states import is_variable, threads_of
from nbstudy.study.modules import hashes_of, write_modules

ATTEMPTS_KEPT = 2  # of one configuration, the one that begins included
RECORDS = (
    "run.json",
    partial_of(Path("run.json")).name,
)  # the runner's own, the second one where it was killed


def begin_attempt(task: Task, cores: int, environment: dict[str, str]) -> Path:
    """Make the directory of a new attempt, with the files of what it resumes from, or with none.

    `cores` are those that it keeps busy, at most one a thread.
    `environment` is what can change the numbers of a run on the host that it is about to run on.
    """
    usable = usable_directories(task)
    start = resume_point(task, usable)
    template = task.context.template
    earlier = task.attempts()
    number = 1
    if earlier:
        number = int(earlier[-1].name) + 1
    attempt = task.incomplete / str(number)
    for directory in (task.incomplete.parent, task.incomplete):  # in outputs that are there, and not anew
        directory.mkdir(exist_ok=True)
    attempt.mkdir()
    run: dict[str, Any] = {
        "format": FORMAT,
        "nbstudy": __version__,
        "configuration": task.name,
        "parameters": task.parameters,
        "code": template.hash,
        "modules": hashes_of(template.modules),
        "environment": environment,
        "environment_changes": [],
        "accepted": [],
        "continued": goes_on_from_place(task, start),
        **asked_inputs(task.context.files),
        "imported": {},
        "flops": task.flops,
        "threads": task.context.threads,
        "cores": cores,
        "seconds": 0.0,
        "attempts": 0,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "finished": False,
        "error": None,
        "resumed_after": 0,  # epochs
    }
    if task.tested is not None:
        run["tested"] = task.tested
    if task.weights is not None:
        run["weights"] = task.weights
    if start is not None:
        carry_over(start, attempt, task.context.checkpoint)
        before = record_of(task.name, start)
        run["environment_changes"] = environment_changes(start, before, environment)
        run["accepted"] = before.get("accepted", [])
        # which are as they were, or it would not be resumed
        run["imported"] = imported_by(start, before)
        if task.context.files.is_here:
            run["imported"] = {path: task.context.files.hash_of(path) for path in run["imported"]}
        carried = history_of(start)
        run["resumed_after"] = carried.epochs
        if carried.cut_short is not None:
            run["cut_history"] = hash_of((start / HISTORY).read_bytes())
    if usable and (start is not None or usable[0] != task.place):
        run |= spent_on(usable[0], record_of(task.name, usable[0]))
    run["attempts"] += 1
    (attempt / f"{task.name}.ipynb").write_text(template.text, encoding="utf-8")
    write_modules(template.modules, attempt / MODULES)
    write_json(attempt / "run.json", run)  # last: from now on the attempt counts
    superfluous = len(earlier) + 1 - ATTEMPTS_KEPT
    for old in earlier[: max(0, superfluous)]:
        discard(task, old)
    return attempt


def discard(task: Task, attempt: Path) -> None:
    """Remove an attempt, or keep it where it has trained what no later one will train again."""
    has_trained = history_of(attempt).epochs > 0 or (attempt / "result.json").exists()
    if has_trained and read_run(attempt) and differences(task, attempt):
        keep_replaced(task, attempt)
    else:
        shutil.rmtree(attempt, ignore_errors=True)


def keep_replaced(task: Task, directory: Path) -> Path:
    """Keep what another run of a configuration takes the place of; return where."""
    checkpoints = {CHECKPOINT, task.context.checkpoint, NOTES}
    return keep(directory, task.name, task.context.lease.outputs, checkpoints)


def carry_over(start: Path, attempt: Path, checkpoint: str) -> None:
    """Copy what an attempt resumes from, logs and record aside."""
    # the checkpoint first: a history that is copied after it is never behind it
    for path in sorted(start.iterdir(), key=lambda path: path.name != checkpoint):
        if path.is_dir():
            shutil.copytree(path, attempt / path.name, symlinks=True)
        elif path.is_file() and path.suffix != ".ipynb" and path.name not in (*RECORDS, NOTES):
            shutil.copy2(path, attempt / path.name)


def spent_on(directory: Path, run: dict[str, Any]) -> dict[str, Any]:
    """Return what the record of an attempt goes on with: the time and the attempts of those before it."""
    seconds = run["seconds"]
    if not run["finished"]:
        seconds = round(seconds + seconds_lived(directory), 1)
    return {"seconds": seconds, "attempts": run["attempts"], "started": run["started"]}


def seconds_lived(attempt: Path) -> float:
    """Return how long an attempt lived that was killed: from its record to its last file.

    A time that is yet to come, of a clock that was set while it ran, says nothing.
    """
    now = time.time()
    written = [path.lstat().st_mtime for path in attempt.iterdir()]
    until_now = [moment for moment in written if moment <= now]
    record = attempt / "run.json"
    if not record.exists():  # it was lost, and with it when the attempt began
        return 0.0
    began = record.stat().st_mtime
    return max([0.0, *(moment - began for moment in until_now)])


def environment_changes(start: Path, run: dict[str, Any], environment: dict[str, str]) -> list[str]:
    """Say what has changed since a run began: before, and in the environment that it resumes in now."""
    changes: list[str] = run.get("environment_changes", [])
    if "environment" not in run:  # an earlier version made it
        return changes
    when = "when it resumed"
    epochs = history_of(start).epochs
    if epochs:
        when = f"after epoch {epochs}"
    before = run["environment"]
    if (
        "threads" not in run
    ):  # what earlier versions did not record is not known to have changed, but for variables
        known = {name: value for name, value in environment.items() if not is_variable(name)}
        before = known | before
    for name in before | environment:
        was, now = before.get(name, "none"), environment.get(name, "none")
        if was != now:
            changes.append(f"{name} {was} -> {now} {when}")
    return changes


def finish_attempt(
    attempt: Path,
    seconds: float,
    error: str | None,
    ending: str | None = None,
    read: dict[str, Any] | None = None,
) -> None:
    """Record that an attempt ran to its end, how long it took, and with which error if any.

    `ending` says how its kernel ended, where it did not as it was asked to: then something may be lost. `read` is what
    its record says of the files that it read.
    """
    run = read_run(attempt) | (read or {})
    seconds = round(run["seconds"] + seconds, 1)
    end = {"seconds": seconds, "finished": True, "error": error, "ending": ending}
    write_json(attempt / "run.json", run | end)
    with suppress(OSError):  # last: until now nothing else tells what was imported
        (attempt / NOTES).unlink()


def mend_attempt(attempt: Path, log: str, record: bytes, error: str | None) -> str | None:
    """Put back the record of an attempt whose template changed it; return what went wrong with the attempt.

    That is its error, or what the template did to what is the runner's: the directory, `run.json` and the log.
    """
    if attempt.is_symlink() or not attempt.is_dir():
        error = "the template removed the directory of its run; let it remove no more than it wrote"
    elif not (attempt / log).is_file():
        error = f"the template removed {log}, the log of its run; let it write and remove other files"
    if not is_as_written(attempt / "run.json", record):
        error = error or "the template changed run.json, which is the runner's; let it write another file"
        put_back(attempt, record)
    if not error and not read_json(attempt / log).get("cells"):
        error = f"the template changed {log}, the log of its run; let it write another file"
    return error


def is_as_written(file: Path, content: bytes) -> bool:
    """Tell whether a file is there and holds what was written to it."""
    with suppress(OSError):
        return file.is_file() and not file.is_symlink() and file.read_bytes() == content
    return False


def put_back(attempt: Path, record: bytes) -> None:
    """Write the record of an attempt anew, whatever is in its place, as far as the disk allows."""
    file = attempt / "run.json"
    with suppress(OSError):
        if attempt.is_symlink() or attempt.is_file():
            attempt.unlink()
        attempt.mkdir(exist_ok=True)
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        file.unlink(missing_ok=True)  # a link would be written through
        file.write_bytes(record)


def record_error(attempt: Path, error: str) -> None:
    """Record why an attempt failed that could not say so itself, as far as the disk allows."""
    run = read_run(attempt)
    if run:
        with suppress(OSError):
            write_json(attempt / "run.json", run | {"error": error})


def promote(task: Task, attempt: Path) -> Path | None:
    """Move a successful attempt to its final place; the old result stays until then, and is kept elsewhere.

    Return where that is; None where there was none, or the new one goes on from it. A power loss finds either of them
    whole: all that is renamed is on the disk before.
    """
    hashes = {}
    (attempt / NOTES).unlink(missing_ok=True)  # of a runner that was killed in between
    others = (*RECORDS, CHECKPOINT, task.context.checkpoint)
    for path in attempt.iterdir():
        if path.is_file() and path.name not in others:
            hashes[path.name] = hash_of(path.read_bytes())
    write_json(attempt / "run.json", read_run(attempt) | {"files": hashes})
    sync_all(attempt)
    earlier = [each for each in task.attempts() if each != attempt]
    if earlier:
        sync(task.incomplete)
    for each in earlier:
        discard(task, each)
    replaces = is_there(task.place)
    if replaces:
        task.place.rename(aside(task))
    remove_if_empty(task.place)
    attempt.rename(task.place)
    if replaces:  # then something is about to be moved or removed that lay here
        sync(task.place.parent)
    return put_away(task)


def aside(task: Task) -> Path:
    """Return where the old result lies while a new one takes its place."""
    return task.incomplete / "replaced"


def put_away(task: Task) -> Path | None:
    """Keep the old result once a new one is in its place that does not go on from it; return where.

    What else is left of the attempts is removed.
    """
    kept = None
    if is_there(aside(task)) and not read_run(task.place).get("continued", False):
        kept = keep_replaced(task, aside(task))
    shutil.rmtree(task.incomplete, ignore_errors=True)  # what stays is removed at the next start
    return kept


def remove_if_empty(directory: Path) -> None:
    """Remove the directory of a run where it holds nothing, as a power loss may leave it."""
    with suppress(OSError):  # it holds something, or is not there
        directory.rmdir()


def finish_promotion(task: Task) -> None:
    """Complete a promotion that was cut short, at whatever point."""
    remove_if_empty(task.place)
    if not task.incomplete.exists():
        return
    remove_if_empty(aside(task))
    if aside(task).exists() and task.place.exists():
        put_away(task)
    attempts = task.attempts()
    if attempts and can_be_promoted(task, attempts[-1]):
        promote(task, attempts[-1])
    elif aside(task).exists():
        aside(task).rename(task.place)
    with suppress(OSError):  # it holds attempts, or is not there
        task.incomplete.rmdir()


def accept_run(task: Task) -> None:
    """Take a complete run as current although code, files that it read, or its threads changed.

    `accepted` in its record goes on with what it was made with: the hash of the template's code where that is
    another one, the path and hash of each module or file that is ("none" for one that it did not have), the number of
    threads.
    """
    made = made_in(task, task.place)
    if not can_be_accepted(task, made):
        return
    run = made.run
    template = task.context.template
    threads = task.context.threads
    accepted = run.get("accepted", [])
    if run["code"] != template.hash:
        accepted.append(run["code"])
    was, now = run.get("modules", {}), hashes_of(template.modules)
    for path in sorted(was.keys() | now.keys()):
        if was.get(path) != now.get(path):
            accepted.append(f"{path} {was.get(path, 'none')}")
    files_before, files_now = accepted_files(run, task.context.files)
    accepted += files_before
    if threads_of(run) != threads:
        accepted.append(f"threads {threads_of(run)}")
    today = {"accepted": accepted, "code": template.hash, "modules": now, "threads": threads}
    write_json(task.place / "run.json", run | today | files_now)
