"""What is known of a run or an attempt: its run.json, and its log, where that is damaged or gone."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbstudy.files import hash_of, read_json, read_record
from nbstudy.study.configurations import NAME
from nbstudy.study.template import code_of_log, hash_of_code

# The directories of a run that keep the sources of what it imported: of the modules beside its template, which travel
# with it, and of the project's other files.
MODULES = "modules"
IMPORTED = "imported"
FIELDS: dict[str, Any] = {  # of run.json, without which a run is not known
    "parameters": dict,
    "code": str,
    "started": str,
    "seconds": float,
    "attempts": int,
    "finished": bool,
    "error": str | None,
    "flops": float,
    "cores": int,
}
OPTIONAL_FIELDS: dict[str, type] = {  # which records of earlier versions, or of unfinished runs, lack
    "modules": dict,
    "environment": dict,
    "environment_changes": list,
    "files": dict,
    "accepted": list,
    "threads": int,
    "tested": str,
    "weights": str,
    "nbstudy": str,
    "resumed_after": int,
    "imported": dict,
    "inputs": dict,
    "input_patterns": list,
    "continued": bool,
    "cut_history": str,
}


# --- directories ---
def is_there(directory: Path) -> bool:
    """Tell whether a run's directory is there and holds anything; a power loss may leave an empty one."""
    with suppress(OSError):
        return any(directory.iterdir())
    return directory.exists()


def attempts_in(incomplete: Path) -> list[Path]:
    """Return the directories of a configuration's attempts, oldest first."""
    attempts = [path for path in incomplete.glob("*") if path.name.isdecimal()]
    return sorted(attempts, key=lambda path: int(path.name))


def log_of(name: str, directory: Path, run: dict[str, Any]) -> Path:
    """Return the log of a run by its run.json: a directory that was renamed keeps it under the earlier name."""
    earlier = run.get("configuration")
    if isinstance(earlier, str) and NAME.fullmatch(earlier):
        name = earlier
    return directory / f"{name}.ipynb"


# --- records ---
def read_run(directory: Path) -> dict[str, Any]:
    """Return what run.json says of a run or an attempt, empty where it is missing or damaged."""
    run = read_record(directory / "run.json")
    for field, kind in FIELDS.items():
        if not isinstance(run.get(field, ...), kind):
            return {}
    for field, kind in OPTIONAL_FIELDS.items():
        if field in run and not isinstance(run[field], kind):
            return {}
    return run


def record_of(name: str, directory: Path) -> dict[str, Any]:
    """Return what is known of a run or an attempt of a configuration: its run.json, else what its log tells."""
    return read_run(directory) or told_by_log(directory / f"{name}.ipynb")


def told_by_log(log: Path) -> dict[str, Any]:
    """Return what a log tells of its run, in the fields of run.json; empty where it does not say what made it.

    Neither the threads nor the environment are known, unless the run has ended: then the log says the threads.
    """
    metadata = read_json(log).get("metadata")
    told = metadata.get("papermill") if isinstance(metadata, dict) else None
    cells = code_of_log(log)
    if not isinstance(told, dict) or not isinstance(told.get("parameters"), dict) or not cells:
        return {}
    attempts = 1
    if log.parent.name.isdecimal():
        attempts = int(log.parent.name)
    run: dict[str, Any] = {
        "configuration": log.stem,
        "parameters": told["parameters"],
        "code": hash_of_code(cells),
        "modules": hashes_of_copies(log.parent / MODULES),
        "imported": hashes_of_copies(log.parent / IMPORTED),
        "environment_changes": ["run.json was damaged, and its environment is not known"],
        "started": str(told.get("start_time"))[:19] + "Z",
        "seconds": 0.0,
        "attempts": attempts,
        "finished": False,
        "error": None,
        "flops": 0.0,
    }
    threads = threads_in(log)
    if threads is not None:
        run["threads"] = threads
    return run


def threads_in(log: Path) -> int | None:
    """Return the number of threads that a log says above its parameters, None where it does not."""
    for cell in read_json(log)["cells"]:
        if "injected-parameters" in cell["metadata"].get("tags", []):
            said = re.match(r"# (\d+) threads?\n", "".join(cell["source"]))
            if said:
                return int(said[1])
    return None


def hashes_of_copies(directory: Path) -> dict[str, str]:
    """Return the hashes of the sources that a run keeps copies of in a directory, by path."""
    files = sorted(directory.rglob("*.py"))
    return {file.relative_to(directory).as_posix(): hash_of(file.read_bytes()) for file in files}
