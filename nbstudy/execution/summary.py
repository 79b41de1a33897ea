"""The summary of a study: is it current, and execute it again if not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from nbstudy.execution.pools import Hosts
from nbstudy.files import hash_of, read_json, write_json
from nbstudy.records.inputs import OF_A_FILE
from nbstudy.records.record import read_run
from nbstudy.records.runs import Context, Finding, Task, damaged_files, extras
from nbstudy.records.tested import find_test, task_of_test
from nbstudy.study.study import Study

PACKAGE = Path(__file__).parent.parent  # nbstudy
LEFT = ("results.csv", "elimination.png", "summary.html")  # by a summary, beside itself
SOURCE = (".py", ".html", ".css", ".js")  # of the package: its code, and what its page to explore is made of
# what decides how a summary looks
SHOWING = (
    "nbstudy/markdown.py",
    "nbstudy/numbers.py",
    "nbstudy/words.py",
    "nbstudy/study/halving.py",
    "nbstudy/study/race.py",
    "nbstudy/decision/",
    "nbstudy/records/by_epoch.py",
    "nbstudy/records/histories.py",
    "nbstudy/records/history.py",
    "nbstudy/records/inputs.py",
    "nbstudy/records/intact.py",
    "nbstudy/records/latest.py",
    "nbstudy/records/metrics.py",
    "nbstudy/records/openings.py",
    "nbstudy/records/outputs.py",
    "nbstudy/records/parameters.py",
    "nbstudy/records/plain.py",
    "nbstudy/records/progress.py",
    "nbstudy/records/race.py",
    "nbstudy/records/reading.py",
    "nbstudy/records/record.py",
    "nbstudy/records/replaced.py",
    "nbstudy/records/results.py",
    "nbstudy/records/rounds.py",
    "nbstudy/records/rungs.py",
    "nbstudy/records/runs.py",
    "nbstudy/records/scores.py",
    "nbstudy/records/seen.py",
    "nbstudy/records/states.py",
    "nbstudy/records/studies.py",
    "nbstudy/records/table.py",
    "nbstudy/records/tested.py",
    "nbstudy/report/",
)


def summarise(
    study: Study,
    tasks: Mapping[str, Task],
    findings: Mapping[str, Finding],
    hosts: Hosts,
) -> list[str]:
    """Execute the study's summary again if anything that it shows has changed; return its errors."""
    if "summary" not in study.notebooks:
        return []
    lease = hosts.context.lease
    summary = lease.outputs / study.log_of("summary")
    click.echo(f"summary: {summary}")
    shows = hash_of("\n".join(what_it_shows(study, tasks, findings, hosts.context)))
    if is_current(summary, shows):
        return []
    error = execute_summary(study, summary, shows, hosts)
    if error:
        return [error]
    return []


def is_current(summary: Path, shows: str) -> bool:
    """Tell whether a summary shows this, and what it left is as it was."""
    metadata = read_json(summary).get("metadata", {})
    left = metadata.get("left", {})  # which those of earlier versions do not say
    return metadata.get("shows") == shows and not damaged_files(summary.parent, {"files": left})


def execute_summary(study: Study, summary: Path, shows: str, hosts: Hosts) -> str | None:
    """Execute the study's summary and put it in its place, with a hash of what it shows; return its error."""
    # kernels, with all that takes, which a summary that is current can spare
    from nbstudy.execution.work import run_summary

    lease = hosts.context.lease
    log = lease.outputs / "incomplete" / summary.name
    log.parent.mkdir(exist_ok=True)
    log.write_text(study.texts["summary"], encoding="utf-8")
    error = hosts.call_on_any(
        run_summary,
        log.resolve(),
        lease.outputs.resolve(),
        lease.is_held,
        study.modules["summary"] | package_source(),
        study.project,
    )
    lease.check()
    if error:
        return f"{log.name}: {error} ({log})"
    notebook = read_json(log)
    files = [lease.outputs / name for name in LEFT]
    left = {file.name: hash_of(file.read_bytes()) for file in files if file.exists()}
    notebook["metadata"] |= {"shows": shows, "left": left}
    write_json(log, notebook)
    log.replace(summary)
    return None


def what_it_shows(
    study: Study, tasks: Mapping[str, Task], findings: Mapping[str, Finding], context: Context
) -> list[str]:
    """Return what makes a summary stale: its own code, the study, and what its runs left."""
    shown = [study.texts["summary"], *study.modules["summary"].values()]
    shown += [source for path, source in package_source().items() if path.startswith(SHOWING)]
    shown.append(json.dumps(record_shown(study)))
    shown += extras(study.directories, context.lease.outputs)
    for name, finding in findings.items():
        shown.append(f"{name} {finding} {read_run(tasks[name].place)}")
    test = task_of_test(study, context)
    if test is not None:
        shown.append(f"{test.name} {find_test(test)} {read_run(test.place)}")
    return shown


def record_shown(study: Study) -> dict[str, Any]:
    """Return what study.json says, but for the files of the project that runs imported.

    Whether these are as they were is what is found of each run; study.json tells it of runs, too, that are made again then.
    """
    record = study.record()
    del record["imported"]
    record["code"] = [code for code in record["code"] if not code.startswith(OF_A_FILE)]
    return record


def package_source() -> dict[str, str]:
    """Return the source of nbstudy by path: it travels with a summary, to hosts that lack this project too."""
    files = [file for file in sorted(PACKAGE.rglob("*")) if file.suffix in SOURCE]
    return {file.relative_to(PACKAGE.parent).as_posix(): file.read_text(encoding="utf-8") for file in files}
