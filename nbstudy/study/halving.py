"""Successive halving, as a study file asks for it: which rungs there are, and who may climb them.

Many configurations train a little, few of them long, and none twice, since a longer run goes on from a shorter one.
Who survives is decided in elimination.py, by the histories alone.
"""

from __future__ import annotations

import fnmatch
import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from nbstudy.checks import Faults, check_known, fail, mapping, sequence
from nbstudy.decision.halving import RULE, Rung, Stage
from nbstudy.decision.metrics import Better, Metric, metric_called
from nbstudy.study.configurations import SEED, Named, replicate_of, resolve
from nbstudy.study.parameters import TEXT, WHOLE_NUMBER, convert
from nbstudy.study.preflight import Preflight
from nbstudy.study.rounds import ask_for_direction

KEYS = ("candidates", "metric", "better", "rungs")
RUNG_KEYS = ("epochs", "keep", "most", "replicates")

Configurations = dict[str, dict[str, Any]]  # parameters by name


@dataclass(frozen=True)
class Halving:
    """The rungs of a study, and the configurations on the lowest one."""

    candidates: dict[str, list[str]]  # and the runs of each, itself and its replicates, in the study's order
    metric: Metric  # a column of history.csv
    rungs: list[Rung]

    def record(self) -> dict[str, Any]:
        """Return what study.json says of it."""
        return {
            "candidates": self.candidates,
            "metric": self.metric.name,
            "better": self.metric.better,
            "rungs": [record_of(rung) for rung in self.rungs],
        }

    def runs_of(self, name: str, rung: Rung, configurations: Configurations) -> list[str]:
        """Return the runs by which a candidate is judged at a rung."""
        if not rung.replicates:
            return self.candidates[name]
        return [replicate_of(name, seed) for seed in self.new_seeds(name, rung, configurations)]

    def climbs(self, name: str) -> bool:
        """Tell whether a run is one of a candidate's, which may be longer than its rung: it once climbed higher."""
        first, _, seed = name.rpartition(f"_{SEED}_")
        return name in self.first_runs or (first in self.candidates and seed.isdecimal())

    @cached_property
    def first_runs(self) -> frozenset[str]:
        """The runs that begin on the lowest rung: all candidates and their replicates."""
        return frozenset(itertools.chain(*self.candidates.values()))

    def new_seeds(self, name: str, rung: Rung, configurations: Configurations) -> range:
        """Return the seeds of a candidate's new runs at a rung: the next ones after those that it has had."""
        first = max(configurations[run][SEED] for run in self.candidates[name]) + 1
        return range(first, first + rung.replicates)

    def asked(
        self, stages: Sequence[Stage], configurations: Configurations, lengthens: str
    ) -> Configurations:
        """Return the configurations that are asked for where the rungs stand so: as long as their rungs say.

        Those that are no candidates stay as they are. A survivor's new runs stand after it.
        """
        epochs: dict[str, int] = {}
        for stage in stages:
            if not stage.rung.replicates:
                epochs |= dict.fromkeys(stage.candidates, stage.rung.epochs)
        top = stages[-1]
        asked = dict(configurations)
        for name, runs in self.candidates.items():
            for run in runs:
                asked[run] = configurations[run] | {lengthens: epochs[name]}
        if not top.rung.replicates:
            return asked
        with_new: Configurations = {}
        for name, parameters in asked.items():
            with_new[name] = parameters
            if name in top.candidates:
                for seed in self.new_seeds(name, top.rung, configurations):
                    own = {SEED: seed, lengthens: top.rung.epochs}
                    with_new[replicate_of(name, seed)] = configurations[name] | own
        return with_new

    def all_that_may_be_asked(
        self, configurations: Configurations, lengthens: str
    ) -> Iterator[Configurations]:
        """Yield all configurations that could be asked for, rung by rung, as if every candidate reached it."""
        reached: list[Stage] = []
        for rung in self.rungs:
            reached.append(Stage(rung, list(self.candidates), {}))
            yield self.asked(reached, configurations, lengthens)


def record_of(rung: Rung) -> dict[str, Any]:
    """Return what study.json says of a rung; `most` where it has one."""
    record = asdict(rung)
    if rung.most is None:
        del record["most"]
    return record


def read_halving(
    given: Any, place: str, runs: Mapping[str, list[str]], usual: Mapping[str, Any], has_race: bool
) -> Halving:
    """Return what a study file says of halving, or refuse all that is wrong in it.

    `runs` are those of each configuration that may be a candidate: itself and its replicates. `usual` is what the
    study says of its metric, which counts where the halving says nothing of it. A race takes the place of the last rung.
    """
    said = dict.fromkeys(KEYS) | mapping(given, place, KEYS)
    if said["metric"] is None:
        said |= usual
    faults = Faults()
    candidates: list[str] = []
    rungs: list[Rung] = []
    with faults:
        candidates = read_candidates(said["candidates"], f"{place}: candidates", runs)
    with faults:
        metric = read_metric(said, place)
    with faults:
        fewest = min((len(runs[name]) for name in candidates), default=0)
        rungs = read_rungs(said["rungs"], f"{place}: rungs", len(candidates), fewest, has_race)
    faults.end()
    return Halving({name: runs[name] for name in candidates}, metric, rungs)


def halving_in(record: Mapping[str, Any]) -> Halving | None:
    """Return the halving that a study.json tells of, None where it tells of none, or nothing that can be read."""
    try:
        said = record["halving"]
        candidates = {str(name): [str(run) for run in runs] for name, runs in said["candidates"].items()}
        metric = Metric(str(said["metric"]), Better(said["better"]))
        return Halving(candidates, metric, [Rung(**rung) for rung in said["rungs"]])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def read_candidates(given: Any, place: str, firsts: Collection[str]) -> list[str]:
    """Return the configurations that match a pattern, or one of several, in the study's order."""
    patterns = given
    if isinstance(given, str):
        patterns = [given]
    if not patterns:
        fail(place, 'are missing; write a pattern of their names, as in candidates: "mlp_*"')
    matching: set[str] = set()
    faults = Faults()
    for pattern in sequence(patterns, place):
        with faults:
            found = fnmatch.filter(firsts, convert(pattern, TEXT, place))
            if not found:
                check_known([pattern], firsts, place)
            matching.update(found)
    faults.end()
    return [name for name in firsts if name in matching]


def read_metric(said: Mapping[str, Any], place: str) -> Metric:
    """Return the metric by which rungs are decided: what is better must be known before anything runs."""
    if said["metric"] is None:
        fail(place, "`metric` is missing; name a column of history.csv, as in `metric: val_accuracy`")
    name = convert(said["metric"], TEXT, f"{place}: metric")
    better = None
    if said["better"] is not None:
        check_known([said["better"]], [each.value for each in Better], f"{place}: better")
        better = Better(said["better"])
    metric = metric_called(name, better)
    if metric.better is None:
        ask_for_direction(name, place)
    return metric


def read_rungs(given: Any, place: str, number: int, runs: int, has_race: bool) -> list[Rung]:
    """Return the rungs that so many candidates climb, with at least so many runs each; or refuse them."""
    if not given:
        fail(place, "are missing; write one a line, as in `- {epochs: 4, keep: 16}`")
    rungs: list[Rung] = []
    faults = Faults()
    lines = sequence(given, place)
    for at, line in enumerate(lines, 1):
        here = f"{place}: rung {at}"
        with faults:
            rung = read_rung(line, here, at, is_last=at == len(lines) and not has_race)
            if rungs and rung.epochs < rungs[-1].epochs:
                cure = "a run is never shortened; raise it"
                fail(f"{here}: epochs", f"{rung.epochs} are fewer than the {rungs[-1].epochs} before; {cure}")
            if rung.keep == RULE and number and runs < 2:
                cure = "write `replicates: 3` into the candidates, or a number to keep"
                fail(f"{here}: keep", f"the rule decides nothing between single runs; {cure}")
            if isinstance(rung.keep, int) and number and rung.keep >= number:
                cure = "keep fewer, or leave the rung out"
                fail(f"{here}: keep", f"{rung.keep} of {number} candidates would drop none; {cure}")
            if rung.limit is not None:
                number = min(rung.limit, number or rung.limit)
            if has_race and at == len(lines) and rung.limit == 1:
                fail(
                    f"{here}: {'most' if rung.most else 'keep'}",
                    "leaves nobody to race with; keep two or more",
                )
            rungs.append(rung)
    faults.end()
    return rungs


def read_rung(given: Any, place: str, number: int, is_last: bool) -> Rung:
    """Return a rung, of which 1 is the first, or refuse it."""
    said = mapping(given, place, RUNG_KEYS)
    faults = Faults()
    values: dict[str, int] = {}
    is_by_rule = said.get("keep") == RULE
    for key, value in said.items():
        with faults:
            if key == "keep" and is_by_rule:
                continue
            values[key] = convert(value, WHOLE_NUMBER, f"{place}: {key}")
            if values[key] < 1:
                fail(f"{place}: {key}", f"must be at least 1, not {value}")
    with faults:
        if "epochs" not in said:
            fail(place, "`epochs` is missing: how long its candidates train")
    with faults:
        if is_last and "keep" in said:
            fail(f"{place}: keep", "has no place in the last rung, where the rule decides; leave it out")
        if not is_last and "keep" not in said:
            fail(place, "`keep` is missing: how many candidates go on to the next rung")
        if is_by_rule and "most" not in said:
            fail(place, "`most` is missing: how many go on at most where the rule keeps them")
        if "most" in said and not is_by_rule:
            fail(f"{place}: most", f"belongs to `keep: {RULE}` alone; leave it out")
        if not (is_last and number > 1) and "replicates" in said:
            cure = "where many are compared, `replicates` of the candidates themselves count from the first rung on"
            fail(f"{place}: replicates", f"are for the last of several rungs; {cure}")
    faults.end()
    keep = RULE if is_by_rule else values.get("keep")
    return Rung(values["epochs"], keep, values.get("replicates", 0), values.get("most"))


# --- beside the rest of the study ---
def check_halving(
    halving: Halving,
    document: Mapping[str, Any],
    named: Named,
    configurations: dict[str, dict[str, Any]],
    overridden: Collection[str],
    preflight: Preflight,
    file: str,
) -> None:
    """Refuse a halving that contradicts something else in the study, the template or the command."""
    place = f"{file}: halving"
    faults = Faults()
    lengthens = preflight.lengthens
    with faults:
        if document["rounds"]:
            fail(place, "cannot stand beside `rounds`: its rungs are the rounds; remove one of the two")
    with faults:
        if lengthens is None:
            file_ = preflight.template.file
            fail(
                place,
                f"needs a template that says what `lengthens` a run, which {file_} does not; see notebooks/README.md",
            )
    with faults:
        if lengthens in overridden:
            fail(
                f"-p {lengthens}",
                "has no place in a study with `halving`, whose rungs say it; for a quick look copy the study file, and "
                "write shorter rungs into it",
            )
    with faults:
        check_candidates_differ(halving.candidates, named, configurations, place, lengthens)
    for name in halving.candidates:
        with faults:
            if lengthens in (resolve(name, named, place) or {}):
                fail(
                    f"{file}: configuration {name}: {lengthens}",
                    "is said by the rungs of `halving`; leave it out",
                )
    with faults:
        if halving.rungs[-1].replicates:
            if type(preflight.template.defaults.get(SEED)) is not int:
                fail(
                    place,
                    f"the last rung's replicates need a parameter `{SEED}: int` in {preflight.template.file}",
                )
            if SEED in overridden:
                fail(f"-p {SEED}", "would give the last rung's replicates the same seed; leave it out")
            for name in halving.candidates:
                for run in halving.runs_of(name, halving.rungs[-1], configurations):
                    if run in configurations:
                        cure = "which the last rung would make; rename it"
                        fail(place, f"a configuration {run} is there already, {cure}")
    faults.end()


def check_candidates_differ(
    candidates: Collection[str],
    named: Named,
    configurations: Configurations,
    place: str,
    lengthens: str | None,
) -> None:
    """Refuse candidates that are equal but for the seed, of which each would take a place of its own."""
    first: dict[str, str] = {}
    faults = Faults()
    for name in candidates:
        own = {key: value for key, value in configurations[name].items() if key not in (SEED, lengthens)}
        same = first.setdefault(json.dumps(own, sort_keys=True), name)
        if same != name:
            with faults:
                where = same
                if same not in named.replicable:
                    where = f"what makes {same}"
                cure = f"remove one, or write `replicates: 2` into {where} instead of another {SEED}"
                fail(f"{place}: candidates", f"{same} and {name} are equal but for their {SEED}; {cure}")
    faults.end()
