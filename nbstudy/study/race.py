"""The race, as a study file asks for it: who may take part, how many runs each lap has, when it ends.

Those that are left get further runs from lap to lap. Who is left is decided in decision/race.py, by what runs came to
alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nbstudy.checks import Faults, fail, mapping, sequence, shorten
from nbstudy.decision.metrics import Better, Metric
from nbstudy.decision.race import Plan, cost_of
from nbstudy.study.configurations import SEED, Named, replicate_of
from nbstudy.study.halving import (
    Configurations,
    Halving,
    check_candidates_differ,
    read_candidates,
    read_metric,
)
from nbstudy.study.modules import importable
from nbstudy.study.parameters import NUMBER, WHOLE_NUMBER, convert
from nbstudy.study.preflight import Preflight

KEYS = ("candidates", "metric", "better", "epochs", "replicates", "margin", "budget")
SAID_BY_RUNGS = ("candidates", "metric", "better")  # where the race follows them
RUNS, TFLOP = "runs", "tflop"  # what a budget can count
FEWEST_RUNS = 2  # of each candidate at the first lap: one says nothing of chance


@dataclass(frozen=True)
class Race:
    """Who may take part in the race of a study, and how it goes."""

    candidates: dict[
        str, list[str]
    ]  # and the runs of each that the study asks for anyway, in the study's order
    metric: Metric
    plan: Plan
    unit: str = RUNS  # of its budget
    epochs: int | None = None  # of its runs where it follows rungs; None: as the configurations say
    costs: dict[str, float] = field(default_factory=dict)  # of a run of each candidate, in that unit

    @property
    def follows_rungs(self) -> bool:
        """Whether its candidates are the survivors of rungs, so that new seeds alone judge them."""
        return self.epochs is not None

    @property
    def beginning(self) -> dict[str, int]:
        """How many runs each candidate is asked for before anything is decided; empty where rungs come first."""
        if self.follows_rungs:
            return {}
        return dict.fromkeys(self.candidates, self.plan.replicates[0])

    def record(self) -> dict[str, Any]:
        """Return what study.json says of it."""
        budget = None
        if math.isfinite(self.plan.budget):
            budget = {self.unit: self.plan.budget}
        return {
            "candidates": self.candidates,
            "metric": self.metric.name,
            "better": self.metric.better,
            "epochs": self.epochs,
            "replicates": list(self.plan.replicates),
            "margin": self.plan.margin,
            "budget": budget,
            "costs": self.costs,
        }

    def may_ask_for(self, name: str) -> bool:
        """Tell whether a run is one of a candidate's, also one that no lap has come to yet."""
        first, _, seed = name.rpartition(f"_{SEED}_")
        return first in self.candidates and seed.isdecimal()

    def runs_of(self, name: str, number: int, configurations: Configurations) -> list[str]:
        """Return the first runs of a candidate by which it is judged, so many of them."""
        runs = [replicate_of(name, seed) for seed in self.seeds_of(name, number, configurations)]
        if self.follows_rungs:
            return runs
        return [name, *runs]

    def seeds_of(self, name: str, number: int, configurations: Configurations) -> range:
        """Return the seeds of so many runs of a candidate, its own first one aside where that counts.

        After rungs they are the next ones after those that brought it there, which were picked for their luck.
        """
        if not self.follows_rungs:
            return range(1, number)
        first = max(configurations[run][SEED] for run in self.candidates[name]) + 1
        return range(first, first + number)

    def asked(
        self, numbers: Mapping[str, int], configurations: Configurations, lengthens: str | None
    ) -> Configurations:
        """Return the configurations that are asked for where candidates are to have so many runs each.

        The new runs of a candidate stand after its others.
        """
        new = {
            self.candidates[name][-1]: self.new_runs(name, number, configurations, lengthens)
            for name, number in numbers.items()
        }
        asked: Configurations = {}
        for name, parameters in configurations.items():
            asked[name] = parameters
            asked |= new.get(name, {})
        return asked

    def new_runs(
        self, name: str, number: int, configurations: Configurations, lengthens: str | None
    ) -> Configurations:
        """Return what so many runs of a candidate are asked for that the study does not ask for anyway."""
        runs: Configurations = {}
        for seed in self.seeds_of(name, number, configurations):
            run = replicate_of(name, seed)
            if run not in self.candidates[name]:
                runs[run] = configurations[name] | {SEED: seed}
                if lengthens is not None and self.epochs is not None:
                    runs[run][lengthens] = self.epochs
        return runs

    def all_that_may_be_asked(self, configurations: Configurations, lengthens: str | None) -> Configurations:
        """Return all configurations that could be asked for, as if every candidate were left to the last lap."""
        most = dict.fromkeys(self.candidates, self.plan.replicates[-1])
        return self.asked(most, configurations, lengthens)


def race_in(record: Mapping[str, Any]) -> Race | None:
    """Return the race that a study.json tells of, None where it tells of none, or nothing that can be read."""
    try:
        said = record["race"]
        unit, most = next(iter((said["budget"] or {RUNS: math.inf}).items()))
        epochs = said["epochs"]
        if epochs is not None:
            epochs = int(epochs)
        return Race(
            candidates={str(name): [str(run) for run in runs] for name, runs in said["candidates"].items()},
            metric=Metric(str(said["metric"]), Better(said["better"])),
            plan=Plan(
                tuple(int(number) for number in said["replicates"]), float(said["margin"]), float(most)
            ),
            unit=str(unit),
            epochs=epochs,
            costs={str(name): float(cost) for name, cost in said["costs"].items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


# --- reading ---
def read_race(
    given: Any,
    place: str,
    runs: Mapping[str, list[str]],
    usual: Mapping[str, Any],
    halving: Halving | None,
) -> Race:
    """Return what a study file says of a race, or refuse all that is wrong in it.

    `runs` and `usual` are as for `read_halving`. Where there is a halving, the race is its last rung.
    """
    said = dict.fromkeys(KEYS) | mapping(given, place, KEYS)
    faults = Faults()
    epochs = None
    if halving is None:
        if said["metric"] is None:
            said |= usual
        with faults:
            if said["epochs"] is not None:
                fail(f"{place}: epochs", "are said by the configurations; leave them out")
        candidates: dict[str, list[str]] = {}
        with faults:
            names = read_candidates(said["candidates"], f"{place}: candidates", runs)
            if len(names) < 2:
                fail(f"{place}: candidates", f"{names[0]} has nobody to race with; name two or more")
            candidates = {name: runs[name] for name in names}
        with faults:
            metric = read_metric(said, place)
    else:
        candidates, metric = halving.candidates, halving.metric
        with faults:
            check_left_to_rungs(said, place)
        with faults:
            epochs = read_epochs(said["epochs"], f"{place}: epochs", halving)
    replicates: tuple[int, ...] = ()
    with faults:
        replicates = read_replicates(said["replicates"], f"{place}: replicates")
    margin = 0.0
    with faults:
        if said["margin"] is not None:
            margin = read_amount(said["margin"], f"{place}: margin")
    unit, most = RUNS, math.inf
    with faults:
        if said["budget"] is not None:
            unit, most = read_budget(said["budget"], f"{place}: budget")
    faults.end()
    return Race(candidates, metric, Plan(replicates, margin, most), unit, epochs)


def check_left_to_rungs(said: Mapping[str, Any], place: str) -> None:
    """Refuse what a race says that the rungs before it say."""
    faults = Faults()
    for key in SAID_BY_RUNGS:
        with faults:
            if said[key] is not None:
                cure = "after `halving` the race takes what its last rung keeps, by its metric; leave it out"
                fail(f"{place}: {key}", f"is said by the rungs: {cure}")
    faults.end()


def read_epochs(given: Any, place: str, halving: Halving) -> int:
    """Return how long the runs of a race train that follows rungs, or refuse it."""
    if given is None:
        fail(place, "are missing; write how long the runs of the race train, as a rung does")
    epochs: int = convert(given, WHOLE_NUMBER, place)
    for top in halving.rungs[-1:]:
        if epochs < top.epochs:
            fail(place, f"{epochs} are fewer than the {top.epochs} of the last rung; raise them")
    return epochs


def read_replicates(given: Any, place: str) -> tuple[int, ...]:
    """Return how many runs each has that is left at the end of each lap, or refuse it."""
    if not given:
        fail(place, "are missing; write how many runs each has at which the rule looks, as in [3, 5, 8, 12]")
    replicates: list[int] = [convert(number, WHOLE_NUMBER, place) for number in sequence(given, place)]
    if replicates[0] < FEWEST_RUNS:
        fail(place, f"must begin with {FEWEST_RUNS} or more, as single runs do not tell what chance does")
    for number, following in itertools.pairwise(replicates):
        if following <= number:
            fail(place, f"must rise from lap to lap, and {following} follows {number}")
    return tuple(replicates)


def read_amount(given: Any, place: str) -> float:
    """Return a number that is not below zero, or refuse it."""
    amount: float = convert(given, NUMBER, place)
    if not 0 <= amount < math.inf:
        fail(place, f"must be at least 0, not {shorten(given)}")
    return amount


def read_budget(given: Any, place: str) -> tuple[str, float]:
    """Return the unit of a budget, and how much of it there is; or refuse it."""
    said = mapping(given, place, (RUNS, TFLOP))
    if len(said) != 1:
        fail(place, f"must be {{{RUNS}: N}} or {{{TFLOP}: X}}, one of the two")
    unit, most = next(iter(said.items()))
    if unit == RUNS:
        return unit, convert(most, WHOLE_NUMBER, f"{place}: {unit}")
    return unit, read_amount(most, f"{place}: {unit}")


# --- beside the rest of the study ---
def check_race(
    race: Race,
    halving: Halving | None,
    document: Mapping[str, Any],
    named: Named,
    configurations: Configurations,
    overridden: Collection[str],
    preflight: Preflight,
    file: str,
) -> Race:
    """Return a race with what its runs cost; refuse one that contradicts something else in the study or the command."""
    place = f"{file}: race"
    faults = Faults()
    with faults:
        if document["rounds"]:
            fail(place, "cannot stand beside `rounds`: its laps are the rounds; remove one of the two")
    with faults:
        if type(preflight.template.defaults.get(SEED)) is not int:
            fail(
                place,
                f"needs a parameter `{SEED}: int` in {preflight.template.file}, in which its runs differ",
            )
    with faults:
        if SEED in overridden:
            fail(f"-p {SEED}", f"would give all runs of the race the same {SEED}; leave it out")
    faults.end()
    with faults:
        if halving is None:
            check_candidates_differ(race.candidates, named, configurations, place, preflight.lengthens)
    for name in race.candidates:
        with faults:
            check_new_runs(race, name, configurations, place)
    faults.end()
    race = with_costs(race, configurations, preflight, place)
    check_first_lap(race, halving, place)
    return race


def check_new_runs(race: Race, name: str, configurations: Configurations, place: str) -> None:
    """Refuse a candidate whose further runs would have the name of another, or the seed of its own first."""
    most = race.plan.replicates[-1]
    own = configurations[name][SEED]
    if not race.follows_rungs and own in race.seeds_of(name, most, configurations):
        cure = f"write `{SEED}: 0` into it"
        fail(place, f"{replicate_of(name, own)} would repeat {name}, which has {SEED} {own}; {cure}")
    for run in race.new_runs(name, most, configurations, None):
        if run in configurations:
            fail(place, f"a configuration {run} is there already, which the race would make; rename it")


def with_costs(race: Race, configurations: Configurations, preflight: Preflight, place: str) -> Race:
    """Return a race with what a run of each candidate costs; refuse a budget in what the template does not tell."""
    if race.unit == RUNS:
        return replace(race, costs=dict.fromkeys(race.candidates, 1.0))
    costs = {}
    with importable(preflight.template.modules):
        for name in race.candidates:
            parameters = dict(configurations[name])
            if preflight.lengthens is not None and race.epochs is not None:
                parameters[preflight.lengthens] = race.epochs
            costs[name] = preflight.run(name, parameters, f"{place}: configuration {name}") / 1e12
    if not all(costs.values()):
        cure = f"write {{{RUNS}: N}}, or let its preflight cell set `flops`"
        fail(f"{place}: budget", f"{preflight.template.file} does not say what runs cost; {cure}")
    return replace(race, costs=costs)


def check_first_lap(race: Race, halving: Halving | None, place: str) -> None:
    """Refuse a budget that the first lap may exceed, whoever comes to it."""
    dearest_first = sorted(race.candidates, key=lambda name: -race.costs[name])
    most = len(dearest_first)
    if halving is not None:
        most = halving.rungs[-1].limit or most
    takes = cost_of(dearest_first[:most], race.plan.replicates[0], race.costs)
    if takes > race.plan.budget:
        cure = "raise it, or name fewer candidates or runs"
        fail(
            f"{place}: budget",
            f"the first lap may take {takes:g} {race.unit}, more than {race.plan.budget:g}; {cure}",
        )
