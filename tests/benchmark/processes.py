"""Run programs and commands, each in a process of its own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = Path(__file__).resolve().parent / "programs"


def run(command: list[str], cwd: Path | None = None, **variables: str) -> str:
    """Run a command; return what it printed, and raise RuntimeError with its errors where it fails."""
    environment = os.environ | variables
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is imported is compiled once, as for most people
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        raise RuntimeError(message)
    return done.stdout


def run_program(name: str, *arguments: str, cwd: Path | None = None, **variables: str) -> str:
    """Run a file of programs/; return the last line that it prints, empty if there is none."""
    printed = run([sys.executable, str(PROGRAMS / name), *arguments], cwd, **variables)
    return printed.strip().rpartition("\n")[2]


def timed(command: list[str], cwd: Path | None = None) -> tuple[float, str]:
    """Run a command; return the seconds that it took, and what it printed."""
    start = time.perf_counter()
    printed = run(command, cwd)
    return time.perf_counter() - start, printed


def processor_seconds_of(command: list[str], cwd: Path) -> float:
    """Return the processor seconds, user's and system's, of a command and all that it started and waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(command, cwd)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def seconds_of(command: list[str]) -> float:
    """Return the seconds that a command takes."""
    seconds, _ = timed(command)
    return seconds


def seconds_of_import(*modules: str) -> float:
    """Return the seconds that a new Python takes to import modules and to end."""
    return seconds_of([sys.executable, "-c", f"import {', '.join(modules)}"])
