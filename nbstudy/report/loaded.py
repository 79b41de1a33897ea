"""What was found of a study: which runs are there, and in what they differ that should not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbstudy.decision.settling import lost_after
from nbstudy.markdown import code, plain
from nbstudy.records.reading import Run, field_of
from nbstudy.records.results import HOW_TO_MAKE_ONE, Results, beside
from nbstudy.records.states import State, is_variable
from nbstudy.report.markdown import SHOWN, joined, listed, show_texts, table, with_arrows
from nbstudy.report.phrases import link, no_value_after, progress
from nbstudy.words import enumerated

TEMPLATE = "the template's code"


@dataclass(frozen=True)
class Environment:
    """A processor and libraries, and which runs were made with them."""

    values: dict[str, str]
    names: list[str]  # of configurations


@dataclass(frozen=True, eq=False)
class Loaded:
    """What was found of a study."""

    directory: Path
    runs: dict[str, Run]
    complete: int
    oddities: dict[str, list[str]]  # by configuration
    extras: list[str]
    accepted: dict[str, list[str]]  # the runs by what they were made with that `--accept` took as current
    environments: list[Environment]  # each once


def compute(results: Results) -> Loaded:
    """Look at the runs of a study."""
    alike: dict[str, Environment] = {}
    for name, values in recorded_environments(results.runs).items():
        key = str(sorted(values.items()))
        alike.setdefault(key, Environment(values, [])).names.append(name)
    return Loaded(
        directory=results.directory,
        runs=results.runs,
        complete=len(results.complete),
        oddities={name: oddities_of(results, run) for name, run in results.runs.items()},
        extras=results.extras,
        accepted=accepted_in(results.runs),
        environments=list(alike.values()),
    )


def show(loaded: Loaded) -> None:
    """Show what was found."""
    show_texts(write(loaded))


def write(loaded: Loaded) -> str:
    """Say what was found of a study, and in what runs differ that should not; or that there is no study."""
    if not loaded.runs:
        return no_study(loaded.directory)
    parts = [accounts(loaded), acceptances(loaded.accepted), environments(loaded)]
    return "\n\n".join(filter(None, parts))


def no_study(directory: Path) -> str:
    """Say that there is no study, and the cure."""
    here = f"**There is no study in {code(directory.as_posix())}**"
    there = joined(here, plain(beside(directory)))
    return f"{there}. {HOW_TO_MAKE_ONE}."


def accepted_in(runs: Mapping[str, Run]) -> dict[str, list[str]]:
    """Return which runs were made with what else than the study has today, but were accepted."""
    accepted: dict[str, list[str]] = {}
    for name, run in runs.items():
        for note in dict.fromkeys(field_of(run.record, "accepted", list)):
            what, _, was = str(note).rpartition(" ")
            if what == "threads":
                what = f"threads {was}"
            accepted.setdefault(what or TEMPLATE, []).append(name)
    return {what: list(dict.fromkeys(names)) for what, names in accepted.items()}


def acceptances(accepted: Mapping[str, Sequence[str]]) -> str:
    """Name what runs were made with that is not today's, and that `--accept` took as current."""
    if not accepted:
        return ""
    parts = [f"{plain(what)} ({listed(names, most=4)})" for what, names in accepted.items()]
    return (
        f"**Accepted** by `--accept` as they were, though this is not today's any more: {enumerated(parts)}."
    )


def accounts(loaded: Loaded) -> str:
    """Name every run that is not complete, is not as it was asked for, or is not in the study."""
    count = f"**{loaded.complete} of {len(loaded.runs)} runs are complete.**"
    lines = []
    for run in loaded.runs.values():
        if not run.state.is_done:
            lines.append(f"- {link(run)}: {progress(run)}{because(run)}")
        for oddity in loaded.oddities[run.name]:
            lines.append(f"- {link(run)}: {oddity}")
    for name in loaded.extras:
        lines.append(f"- {plain(name)}: extra, on disk but not in the study")
    if len(lines) > SHOWN:
        lines[SHOWN:] = [f"- and {len(lines) - SHOWN:,} more: `results.csv` has the state of each"]
    return "\n".join([count, "", *lines])


def because(run: Run) -> str:
    """Say why a run failed or is stale."""
    if run.error:
        return f": {code(run.error)}"
    if run.state is State.STALE:
        return f": {plain(with_arrows(', '.join(run.changes.values())))}"
    return ""


def oddities_of(results: Results, run: Run) -> list[str]:
    """Say what is not usual in what a run left: no history, an early end, a resumption under other circumstances."""
    oddities: list[str] = []
    if run.fault_of_history:
        oddities.append(plain(run.fault_of_history))
    lost = lost_after(results.values(run.name, results.metric.name))
    if lost is not None and run.state is not State.UNFINISHED:
        oddities.append(plain(no_value_after(results.metric.name, lost)))
    if run.diverged:
        oddities.append(f"its loss was no longer finite at epoch {run.diverged}, and training ended there")
    if run.ended:
        oddities.append(f"ended early: {plain(run.ended)}")
    if run.environment_changes:
        changes = listed(map(with_arrows, run.environment_changes))
        oddities.append(f"not from one environment, so be careful with small differences: {changes}")
    return oddities


# --- environments ---
def recorded_environments(runs: Mapping[str, Run]) -> dict[str, dict[str, str]]:
    """Return the processor and libraries of each run where they are known, all from one source.

    That is what the runner recorded; where it did not for some run, what the runs say themselves, if they do.
    """
    there = [run for run in runs.values() if run.state is not State.MISSING]
    recorded = {run.name: run.recorded_environment for run in there if run.recorded_environment}
    if any("instructions" not in environment for environment in recorded.values()):
        recorded = without_what_is_unknown(recorded)
    own = {run.name: run.own_environment for run in there if run.own_environment}
    if own and len(recorded) < len(there):
        return own
    return recorded


def without_what_is_unknown(recorded: Mapping[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Leave out what an earlier version did not record of some run, variables aside: nobody knows that it differs."""
    known = [set(environment) for environment in recorded.values()]
    for_all = set.intersection(*known)
    return {
        name: {key: value for key, value in environment.items() if key in for_all or is_variable(key)}
        for name, environment in recorded.items()
    }


def environments(loaded: Loaded) -> str:
    """Say with which processor and libraries the runs were made; warn where these were not the same for all."""
    made = [environment.values for environment in loaded.environments]
    if not made:
        return ""
    if len(made) == 1:
        versions = [f"{name} {value}" for name, value in made[0].items()]
        return f"Runs were made with {listed(versions, most=len(versions))}."
    keys = differing_keys(made)
    rows = []
    for environment in loaded.environments:
        differing = {key: environment.values.get(key, "") for key in keys}
        names = listed(environment.names, most=4)
        rows.append({"runs": len(environment.names), **differing, "configurations": names})
    warning = "**Warning: runs differ in library versions or hardware,** and perhaps in their results because of it."
    return f"{warning}\n\n{table(rows)}"


def differing_keys(environments: Sequence[Mapping[str, str]]) -> list[str]:
    """Return what is not the same in all environments."""
    keys: dict[str, None] = {}
    for environment in environments:
        keys.update(dict.fromkeys(environment))
    return [key for key in keys if len({environment.get(key) for environment in environments}) > 1]
