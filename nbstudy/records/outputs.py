"""What lies in outputs/<study>: what was asked for, by study.json, and what each run left."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Self

import pandas as pd

from nbstudy.checks import check_known
from nbstudy.decision.metrics import Better, Metric, deciding, metric_called
from nbstudy.decision.scores import Score
from nbstudy.decision.settling import measured
from nbstudy.files import TEST, hash_of
from nbstudy.numbers import finite
from nbstudy.records.parameters import Parameters
from nbstudy.records.reading import Contents, Found, Run, field_of, find_replaced, find_run, read_runs
from nbstudy.records.replaced import REPLACED
from nbstudy.records.runs import extras
from nbstudy.records.seen import Seen
from nbstudy.records.states import Asked, State
from nbstudy.records.tested import identity_of, is_of_another_run, why_stale
from nbstudy.study.configurations import REFIT
from nbstudy.study.halving import Halving, halving_in
from nbstudy.study.race import Race, race_in

AT_ONCE = 500  # runs whose files are in memory together
# of study.json: by what it says there, any run is told to be as asked, and what it left is found
TOLD_OF_ALL = (
    *("notebooks", "code", "modules", "imported", "inputs", "input_patterns"),
    *("checkpoint", "notes"),
)


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a study asks for, and what its runs left."""

    directory: Path  # outputs/<study>
    record: dict[str, Any]  # study.json
    runs: dict[str, Run]  # by configuration, in the study's order
    metric: Metric  # that decides where a round does not say
    directions: dict[str, Better]  # by metric, as far as the study file says them
    halving: Halving | None  # the rungs that candidates climb
    race: Race | None  # that candidates take part in, or the survivors of rungs
    replaced: dict[str, Run] = field(
        default_factory=dict
    )  # what others took the place of, where that is asked for

    @classmethod
    def read(
        cls, directory: Path, record: dict[str, Any], replaced: bool = False, seen: Seen | None = None
    ) -> Self:
        """Return what runs left in a directory of what a study.json asks for, and what was replaced if that is asked for.

        What was seen before, and has not changed since, is not read again.
        """
        halving, race = halving_in(record), race_in(record)
        runs = find_runs(directory, record, halving, seen)
        names = list(dict.fromkeys(name for run in runs.values() for name in [*run.curves, *run.numbers]))
        name = field_of(record, "metric", str) or deciding(names)
        directions = read_directions(record, name)
        for unfolding in (halving, race):
            if unfolding is not None:
                name = unfolding.metric.name
                directions[name] = unfolding.metric.better or directions[name]
        metric = metric_called(name, directions.get(name))
        earlier: dict[str, Run] = {}
        if replaced:
            earlier = find_all_replaced(directory, record, runs)
        return cls(directory, record, runs, metric, directions, halving, race, earlier)

    # --- what was asked for ---
    @property
    def final(self) -> str | None:
        """The one configuration that meets the test set."""
        return field_of(self.record, "final", str) or None

    @property
    def test(self) -> str | None:
        """The notebook that opens the test set for it."""
        return field_of(field_of(self.record, "test", dict), "notebook", str) or None

    @cached_property
    def test_run(self) -> Run | None:
        """What that notebook left, for the final run that is there; None where the study has no such notebook."""
        if self.test is None:
            return None
        return find_test_run(self.directory, self.record, self.runs.get(str(self.final)))

    @property
    def overrides(self) -> dict[str, Any]:
        """What -p says for all configurations: a quick look, which is not the study."""
        return field_of(self.record, "overrides", dict)

    @property
    def lengthens(self) -> str | None:
        """The parameter whose increase continues a finished run, such as epochs."""
        return field_of(self.record, "lengthens", str) or None

    @property
    def made(self) -> str | None:
        """The final configuration, where it is made of the choice: it takes no part in what it is made by."""
        if isinstance(self.record.get("changes_of_final"), dict):
            return self.final
        return None

    @cached_property
    def parameters(self) -> Parameters:
        """What it asks of each configuration."""
        given = {name: run.parameters for name, run in self.runs.items()}
        return Parameters(given, self.lengthens, self.made, field_of(self.record, "defaults", dict))

    # --- which runs there are ---
    @cached_property
    def everything(self) -> dict[str, Run]:
        """What can be looked at: the runs, and those that they replaced, which no decision is made by."""
        return self.runs | self.replaced

    @cached_property
    def complete(self) -> list[str]:
        """The configurations that are complete."""
        return [name for name, run in self.runs.items() if run.state.is_done]

    @cached_property
    def incomplete(self) -> list[str]:
        """The configurations that are not complete."""
        return [name for name, run in self.runs.items() if not run.state.is_done]

    @cached_property
    def extras(self) -> list[str]:
        """The runs on disk that the study does not have."""
        return [name for name in extras(self.runs, self.directory) if not self.may_ask_for(name)]

    def may_ask_for(self, name: str) -> bool:
        """Tell whether the study asks for a configuration once it is decided that it does."""
        if name == TEST:
            return self.test is not None
        if self.race is not None and self.race.may_ask_for(name):
            return True
        return (self.halving is not None and self.halving.climbs(name)) or name == self.record.get("final")

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The number of weights of each run, where that is known."""
        return {name: run.weights for name, run in self.runs.items() if run.weights is not None}

    def is_refitted(self, name: str) -> bool:
        """Tell whether a run is the final one, and learned from the validation data, too: so it cannot be judged by them.

        Its parameter `refit` says so, where it is not true of all; or it has nothing of the metric by which others are judged.
        """
        if name != self.final:
            return False
        run = self.runs[name]
        if run.parameters.get(REFIT) is True and REFIT in self.parameters.varying:
            return True
        is_judged = self.metric.name in self.metrics
        return run.state.is_done and is_judged and not measured(self.values(name, self.metric.name))

    # --- what they came to ---
    @cached_property
    def scores(self) -> dict[tuple[Metric, int | None, bool], dict[str, Score]]:
        """The scores that were asked for: see `scores.scores_of`."""
        return {}

    @cached_property
    def curved(self) -> list[str]:
        """The metrics of the histories, in the order of their columns."""
        metrics: dict[str, None] = {}
        for run in self.runs.values():
            metrics.update(dict.fromkeys(run.curves))
        return list(metrics)

    @cached_property
    def numbers(self) -> list[str]:
        """The further metrics of the results, in their order; where a history has one, the history counts."""
        metrics: dict[str, None] = {}
        for run in self.runs.values():
            metrics.update(dict.fromkeys(run.numbers))
        return [name for name in metrics if name not in self.curved]

    @property
    def metrics(self) -> list[str]:
        """All that runs can be judged by."""
        return [*self.curved, *self.numbers]

    def metric_called(self, name: str) -> Metric:
        """Return a metric, which is better as the study file says, else as its name does."""
        return metric_called(name, self.directions.get(name))

    @property
    def has_epochs(self) -> bool:
        """Whether any run was watched epoch by epoch."""
        return any(run.epochs > 1 for run in self.runs.values())

    def is_by_epoch(self, metric: Metric) -> bool:
        """Tell whether a metric was watched epoch by epoch, so that there is something to settle."""
        return metric.name in self.curved and self.has_epochs

    def title(self, metric: Metric) -> str:
        """Return the words for what a run comes to by a metric: "settled val_loss" where that was watched by epoch."""
        if self.is_by_epoch(metric):
            return f"settled {metric}"
        return str(metric)

    def curve(self, name: str, metric: str | None = None, epochs: int | None = None) -> pd.Series:
        """Return a metric of a run by epoch, from 1: over the first epochs, all where that is not said.

        Without a metric it is the one that decides. A number of result.json is a curve of one point, however many
        epochs are asked for. Empty where the run does not have the metric; NaN where it was not measured or is not
        finite, which `values` tells apart.
        """
        if metric is None:
            metric = self.metric.name
        curve = pd.Series(self.values(name, metric, epochs), name=metric, dtype=float)
        curve.index = pd.RangeIndex(1, len(curve) + 1, name="epoch")
        return curve.where(curve.abs() < math.inf)

    def values(self, name: str, metric: str, epochs: int | None = None) -> list[float | None]:
        """Return a metric of a run as `curve` does, but None where it was not measured, and what is not finite as it is."""
        if name not in self.everything:
            check_known([name], self.everything, f"{self.directory}: configuration")
        return self.values_in(self.everything[name], metric, epochs)

    def values_in(self, run: Run, metric: str, epochs: int | None = None) -> list[float | None]:
        """Return a metric of a run as `values` does, also of one that is not to be seen by its name."""
        if metric in run.curves:
            return run.curves[metric][:epochs]
        if metric in run.numbers and metric not in self.curved:
            return [run.numbers[metric]]
        return []


# --- reading ---
def find_runs(
    directory: Path, record: dict[str, Any], halving: Halving | None, seen: Seen | None
) -> dict[str, Run]:
    """Return what there is of each configuration that a study.json asks for."""
    asked = {}
    for name, given in field_of(record, "configurations", dict).items():
        asked[name] = asked_of(name, given, record, halving)
    known: dict[str, Run] = {}
    if seen is None:
        for some in in_parts(asked):
            known |= find_and_read(directory, some, record)
    else:
        known = find_what_is_new(directory, asked, record, seen)
    runs = {name: known[name] for name in asked}
    make_alike([run.parameters for run in runs.values()])
    return runs


def in_parts(asked: Mapping[str, Asked]) -> Iterator[dict[str, Asked]]:
    """Yield what is asked of configurations, of as many at a time as can be in memory together."""
    left = iter(asked.items())
    while some := dict(islice(left, AT_ONCE)):
        yield some


def find_and_read(directory: Path, asked: Mapping[str, Asked], record: dict[str, Any]) -> dict[str, Run]:
    """Return what there is of configurations, read from their files."""
    contents = Contents()
    found = [find_run(name, directory, own, record, contents) for name, own in asked.items()]
    return read_runs(found, record, contents)


def find_what_is_new(
    directory: Path, asked: Mapping[str, Asked], record: dict[str, Any], seen: Seen
) -> dict[str, Run]:
    """Return what there is of configurations, read from their files where it was not seen before or has changed."""
    told = hash_of(json.dumps({name: record.get(name) for name in TOLD_OF_ALL}))
    known: dict[str, Run] = {}
    states = {}
    for name, own in asked.items():
        states[name] = seen.state_of(directory / name, directory / "incomplete" / name)
        run = seen.recall(key_of(name, own), states[name], (own, told))
        if run is not None:
            known[name] = run
    new = {name: own for name, own in asked.items() if name not in known}
    for some in in_parts(new):
        for name, run in find_and_read(directory, some, record).items():
            seen.keep(key_of(name, asked[name]), states[name], (asked[name], told), run)
            known[name] = run
    return known


def key_of(name: str, asked: Asked) -> str:
    """Return what is looked for, by its name: a configuration as long as it is asked for."""
    return f"run {name} {asked.parameters.get(asked.lengthens or '')}"


def find_test_run(directory: Path, record: dict[str, Any], final: Run | None) -> Run:
    """Return what there is of the test that a study.json asks for, as `tested.find_test` finds it for the runner."""
    test = field_of(record, "test", dict)
    parameters = field_of(test, "parameters", dict)
    asked = Asked(parameters, parameters, None, field_of(record, "threads", int) or None)
    asked_for = test | {"notebooks": {"run": test.get("notebook")}}
    contents = Contents()
    found = find_run(TEST, directory, asked, asked_for, contents)
    run = read_runs([found], asked_for, contents)[TEST]
    if run.state.is_done and final is not None and is_of_another_run(run.record, identity_of(final.record)):
        return replace(run, state=State.STALE, changes={"tested": why_stale(final.name)})
    return run


def find_all_replaced(directory: Path, record: dict[str, Any], runs: dict[str, Run]) -> dict[str, Run]:
    """Return what was replaced, in the order of the configurations, those that the study has no longer last."""
    names = dict.fromkeys([*runs, *sorted(path.name for path in (directory / REPLACED).glob("*"))])
    contents = Contents()
    found: list[Found] = []
    for name in names:
        given = field_of(record, "configurations", dict).get(name)
        found += find_replaced(name, directory, asked_of(name, given, record, None), record, contents)
    return read_runs(found, record, contents)


def asked_of(name: str, given: Any, record: dict[str, Any], halving: Halving | None) -> Asked:
    """Return what a study.json asks of a configuration, of which it says these parameters."""
    defaults = field_of(record, "defaults", dict)
    parameters = dict(defaults)
    if isinstance(given, dict):
        parameters |= given
    lengthens = field_of(record, "lengthens", str) or None
    threads = field_of(record, "threads", int) or None
    may_be_longer = halving is not None and halving.climbs(name)
    return Asked(parameters, defaults, lengthens, threads, may_be_longer)


def make_alike(configurations: Sequence[dict[str, Any]]) -> None:
    """Write whole numbers as 1.0 where others have a fraction, so that 1 and 1.0 are one value of a parameter."""
    fractional = set()
    for parameters in configurations:
        fractional |= {name for name, value in parameters.items() if isinstance(value, float)}
    for parameters in configurations:
        for name in fractional & parameters.keys():
            if type(parameters[name]) is int:
                parameters[name] = finite(float(parameters[name]))


def read_directions(record: dict[str, Any], deciding: str) -> dict[str, Better]:
    """Return which values of metrics are better, as far as a study.json says so; first what it says of all rounds."""
    directions: dict[str, Better] = {}
    for each in [record | {"metric": deciding}, *rounds_in(record)]:
        better = read_better(each)
        if better:
            directions.setdefault(field_of(each, "metric", str) or deciding, better)
    return directions


def read_better(content: dict[str, Any]) -> Better | None:
    """Return what a study or a round says of its metric."""
    with suppress(ValueError):
        return Better(field_of(content, "better", str))
    return None


def rounds_in(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rounds of a study.json, as far as they are any."""
    return [each for each in field_of(record, "rounds", list) if isinstance(each, dict)]
