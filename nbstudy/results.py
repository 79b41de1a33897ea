"""What the runs of a study left, as tables: load_results(outputs) -> Results.

    from nbstudy import load_results

    results = load_results("outputs/fashion_mnist")
    results.curve("model_4", "val_loss").plot()

Files of runs may be damaged in any way: what cannot be read counts as missing.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from nbstudy.checks import check_known, fail
from nbstudy.elimination import (
    Choice,
    Score,
    Verdict,
    as_cost,
    best_epoch,
    choose,
    judge,
    settled,
    settled_epochs,
    spread,
    value_of,
)
from nbstudy.files import read_json, read_record
from nbstudy.runs import CHECKPOINT, HISTORY, State, attempts_in, changed_parameters, extras, read_run

SEED = "seed"  # runs that are equal but for this parameter are replicates
MAIN = "val_loss"  # the metric that decides where a round does not say
LARGEST = 2**63  # what a column of whole numbers cannot hold
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Round:
    """A round of elimination, as the study asks for it."""

    number: int  # 1 is the first
    title: str
    candidates: tuple[str, ...]
    metric: str
    epochs: int | None  # only the first ones are looked at; None: all of them
    originally_dropped: tuple[str, ...]
    is_overview: bool  # the first, in which the original dropped nothing


@dataclass(frozen=True, eq=False)
class Run:
    """What there is of a configuration: its complete run, else its newest usable attempt, else a stale run."""

    name: str
    directory: Path
    state: State
    changes: list[str]  # what it was made with that is not as the study asks, as in "l2 0.001 -> 0.005"
    parameters: dict[str, Any]  # those that the study asks for
    record: dict[str, Any]  # run.json
    result: dict[str, Any]  # result.json
    history: pd.DataFrame  # index: epoch, from 1; a column a metric, NaN where it is not finite

    @property
    def error(self) -> str | None:
        """The error of an attempt that failed."""
        if self.state is not State.UNFINISHED:
            return None
        return field_of(self.record, "error", str) or None

    @property
    def word(self) -> str:
        """The state in a word, which is "failed" for an attempt that did."""
        if self.error:
            return "failed"
        return str(self.state)

    @property
    def reason(self) -> str | None:
        """Why it is not complete."""
        if self.state is State.STALE:
            return ", ".join(self.changes)
        if self.state is State.UNFINISHED:
            return self.error or f"interrupted at epoch {len(self.history)}"
        return None

    @property
    def minutes(self) -> float:
        """How long it took, over all attempts; 0 where that is not known."""
        return field_of(self.record, "seconds", float) / 60

    @property
    def weights(self) -> int | None:
        """The number of weights of its network."""
        return count(self.result.get("weights"))

    @property
    def diverged(self) -> int | None:
        """The epoch at which its loss was no longer finite."""
        return count(self.result.get("diverged"))

    @property
    def environment(self) -> dict[str, str]:
        """The device it ran on and the versions of its libraries; empty where that is not known."""
        versions = field_of(self.result, "versions", dict)
        if not versions:
            return {}
        environment = {"device": field_of(self.result, "device", str)} | versions
        return {name: str(value) for name, value in environment.items()}


@dataclass(frozen=True)
class Chain:
    """Configurations that differ in one parameter alone, in the order of its values."""

    names: list[str]
    levels: list[str]  # the values of the parameter, as text
    values: list[float]  # of the metric

    @property
    def steps(self) -> list[float]:
        """By how much each value is above the one before it."""
        return [after - before for before, after in pairwise(self.values)]


@dataclass(frozen=True)
class Factor:
    """What a metric does along one parameter when all others stay."""

    name: str
    levels: list[str]  # all values of the parameter, as text, in their order
    chains: list[Chain]  # each of two configurations or more


@dataclass(frozen=True)
class Ranking:
    """All configurations, judged by one criterion."""

    title: str  # the criterion in words
    metric: str
    verdict: Verdict
    chosen: str | None  # what would be chosen by it, among the candidates of the last round

    @property
    def values(self) -> dict[str, float]:
        """The values that are finite, best first."""
        costs = self.verdict.costs
        return {name: value_of(costs[name], self.metric) for name in costs if math.isfinite(costs[name])}


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that a study left."""

    directory: Path  # outputs/<study>
    runs: dict[str, Run]  # by configuration, in the study's order
    rounds: list[Round]  # as the study file names them; where it names none, one of all configurations
    final: str | None  # the one configuration that meets the test set
    test: str | None  # the test set that it meets
    overrides: dict[str, Any]  # by -p, for all configurations: a quick look, which is not the study
    lengthens: str | None  # the parameter whose increase continues a finished run, such as epochs
    extras: list[str]  # runs on disk that the study does not have

    # --- for anybody's own notebook ---
    @cached_property
    def table(self) -> pd.DataFrame:
        """A row a configuration, in the study's order; the index is the configuration's name.

        state                 complete, unfinished, stale or missing
        reason                why it is not complete
        error                 of an attempt that failed
        attempts, started     how often it was begun, and when first (UTC)
        minutes               that it took, over all attempts
        device                that it ran on
        weights               of the network
        epochs                that were trained
        diverged              the epoch at which the loss was no longer finite
        settled_<metric>      the mean over the last tenth of the epochs, rounded up; NaN if one is not finite
        best_<metric>         the best value of any epoch,
        best_<metric>_epoch   and which epoch that was, from 1
        gap                   settled_val_loss - settled_loss
        param_<name>          each parameter, in its own type

        Metrics are in the units of the histories. What a run does not have is missing (NaN, NA, None).
        """
        rows = [self._row(run) for run in self.runs.values()]
        table = pd.DataFrame(rows, index=pd.Index(self.runs, name="configuration"))
        for column in table:
            if column in ("weights", "diverged", "attempts") or column.endswith("_epoch"):
                table[column] = table[column].astype("Int64")  # whole numbers of which some are missing
        return table

    @cached_property
    def histories(self) -> pd.DataFrame:
        """A row an epoch of each run, whatever its state, in the study's order.

        configuration    its name
        epoch            from 1
        <metric>         each further column of history.csv; NaN where it is not finite

        Rows that were cut short, as by a full disk, are left out.
        """
        histories = {name: run.history for name, run in self.runs.items() if len(run.history)}
        if not histories:
            return pd.DataFrame({"configuration": pd.Series(dtype=str), "epoch": pd.Series(dtype=int)})
        return pd.concat(histories, names=["configuration"]).reset_index()

    def curve(self, name: str, metric: str | None = None, epochs: int | None = None) -> pd.Series:
        """Return a metric of a run by epoch, from 1: over the first epochs, all where that is not said.

        Without a metric it is the one that decides. Empty where the run does not have the metric.
        """
        check_known([name], self.runs, f"{self.directory}: configuration")
        history = self.runs[name].history
        if metric is None:
            metric = self.metric
        if metric not in history:
            return pd.Series(dtype=float, name=metric)
        return history[metric].iloc[:epochs]

    def curves(
        self, names: Collection[str], metric: str | None = None, epochs: int | None = None
    ) -> pd.DataFrame:
        """Return a metric of several runs: a row an epoch, a column a run, NaN after its last epoch."""
        return pd.DataFrame({name: self.curve(name, metric, epochs) for name in names})

    def load_model(self, name: str) -> Any:
        """Return the Keras model of a run, without its optimizer: to predict with, not to train on.

        Raise StudyError where it is not there or cannot be loaded.
        """
        check_known([name], self.runs, f"{self.directory}: configuration")
        file = self.runs[name].directory / CHECKPOINT
        cure = f"remove {file.parent.as_posix()}/ and run the study again, which trains it anew"
        if not file.exists():
            fail(file.as_posix(), f"is not here, as most models are not in git; {cure}")
        with quiet_stderr():
            try:
                import keras

                return keras.models.load_model(file, compile=False)
            except Exception as error:  # noqa: BLE001 - a damaged archive shows in many ways
                fail(file.as_posix(), f"cannot be loaded ({type(error).__name__}); {cure}")

    # --- for the summary ---
    @property
    def complete(self) -> list[str]:
        """The configurations that are complete."""
        return [name for name, run in self.runs.items() if run.state.is_done]

    @property
    def incomplete(self) -> list[str]:
        """The configurations that are not complete."""
        return [name for name, run in self.runs.items() if not run.state.is_done]

    @cached_property
    def metrics(self) -> list[str]:
        """The columns of the histories, in their order."""
        metrics: dict[str, None] = {}
        for run in self.runs.values():
            metrics.update(dict.fromkeys(run.history))
        return list(metrics)

    @property
    def metric(self) -> str:
        """The metric that decides."""
        return deciding(self.metrics)

    @property
    def watched(self) -> list[str]:
        """The metrics that a run can be judged by: of the validation set, and the one that decides."""
        return [name for name in self.metrics if name.startswith("val_") or name == self.metric]

    @property
    def has_epochs(self) -> bool:
        """Whether any run was watched epoch by epoch."""
        return any(len(run.history) > 1 for run in self.runs.values())

    @property
    def settled(self) -> str:
        """The word before a metric's name: "settled " where there are epochs over which it does."""
        if self.has_epochs:
            return "settled "
        return ""

    @cached_property
    def first(self) -> dict[str, str]:
        """The first of its replicates, for each configuration: equal in all parameters but the seed."""
        parameters = {name: run.parameters for name, run in self.runs.items()}
        return first_replicates(parameters)

    @cached_property
    def compared(self) -> list[str]:
        """The configurations that can be compared: no replicates, and not the final one unless in a round."""
        candidates = {name for each in self.rounds for name in each.candidates}
        firsts = dict.fromkeys(self.first.values())
        return [name for name in firsts if name != self.final or name in candidates]

    @cached_property
    def varying(self) -> list[str]:
        """The parameters that are not the same for all, but for the one that lengthens a run."""
        values: dict[str, set[str]] = {}
        for run in self.runs.values():
            for name, value in run.parameters.items():
                values.setdefault(name, set()).add(str(value))
        return [name for name, texts in values.items() if len(texts) > 1 and name != self.lengthens]

    @property
    def factors(self) -> list[str]:
        """The parameters that vary by intention: all that vary but the seed."""
        return [name for name in self.varying if name != SEED]

    @property
    def has_original(self) -> bool:
        """Whether the study file says what was dropped in an original elimination."""
        return any(each.originally_dropped for each in self.rounds)

    @property
    def is_writable(self) -> bool:
        """Whether there is a study, and its directory can be written to."""
        return bool(self.runs) and os.access(self.directory, os.W_OK)

    @property
    def sizes(self) -> dict[str, int]:
        """The number of weights of each run, where that is known."""
        return {name: run.weights for name, run in self.runs.items() if run.weights is not None}

    def differing(self, name: str, other: str, among: Collection[str]) -> list[str]:
        """Return the parameters, among these, in which two configurations differ."""
        ours, theirs = self.runs[name].parameters, self.runs[other].parameters
        return [key for key in among if str(ours.get(key)) != str(theirs.get(key))]

    def ranking(
        self, metric: str | None = None, epochs: int | None = None, by_best_epoch: bool = False
    ) -> Ranking:
        """Rank all configurations that can be compared: by the first epochs, all where that is not said."""
        if metric is None:
            metric = self.metric
        scores = self.scores(metric, epochs, by_best_epoch)
        candidates = [name for each in self.rounds[-1:] for name in each.candidates]
        chosen = choose(scores, candidates, self.sizes).chosen
        title = f"{self.settled}{metric}"
        if by_best_epoch:
            title = f"best {metric}"
        return Ranking(title, metric, judge(scores, self.compared), chosen)

    def rankings(self) -> list[Ranking]:
        """Rank by every criterion: the settled value of the metric that decides, its best epoch, other metrics."""
        rankings = [self.ranking()]
        if self.has_epochs:
            rankings.append(self.ranking(by_best_epoch=True))
        for metric in self.watched:
            if metric != self.metric:
                rankings.append(self.ranking(metric))
        return rankings

    def judge(self, each: Round) -> Verdict:
        """Return what the rule says of a round."""
        return judge(self.scores(each.metric, each.epochs), each.candidates)

    def choose(self) -> Choice:
        """Choose among the candidates of the last round, as it judges them."""
        if not self.rounds:
            return choose({}, (), {})
        last = self.rounds[-1]
        return choose(self.scores(last.metric, last.epochs), last.candidates, self.sizes)

    def scores(
        self, metric: str | None = None, epochs: int | None = None, by_best_epoch: bool = False
    ) -> dict[str, Score]:
        """Return what the rule judges by, for each run that can be judged over the first epochs, or all.

        That is the settled value, or the value of the best epoch. Complete runs can be judged, and unfinished
        ones that have reached the epochs that are asked for; failed and stale ones cannot.
        """
        if metric is None:
            metric = self.metric
        scores: dict[str, Score] = {}
        keys = set()
        for name, run in self.runs.items():
            values = self.curve(name, metric, epochs).tolist()
            if not can_be_judged(run, len(values), epochs):
                continue
            value = settled(values)
            if by_best_epoch:
                value, _ = best_epoch(values, metric)
            key = as_key(run.parameters)
            scores[name] = Score(
                cost=as_cost(value, metric),
                configuration=self.first[name],
                spread=spread(values),
                settled_epochs=len(settled_epochs(values)),
                is_copy=key in keys,
            )
            keys.add(key)
        return scores

    @property
    def shortest(self) -> int | None:
        """The number of epochs that all complete runs have which did not diverge, None where there are none."""
        lengths = []
        for name in self.compared:
            run = self.runs[name]
            if run.state is State.COMPLETE and not run.diverged:
                lengths.append(len(self.curve(name)))
        return min(filter(None, lengths), default=None)

    def factor(self, name: str, values: Mapping[str, float]) -> Factor:
        """Return the chains along a parameter, through configurations that have a value."""
        levels = {str(self.runs[each].parameters.get(name)) for each in values}
        order = sorted(levels, key=by_size)
        others = [other for other in self.factors if other != name]
        alike: dict[str, list[str]] = {}
        for each in values:
            parameters = self.runs[each].parameters
            alike.setdefault(as_key({other: parameters.get(other) for other in others}), []).append(each)
        chains = []
        for names in alike.values():
            level = {each: str(self.runs[each].parameters.get(name)) for each in names}
            names.sort(key=lambda each: order.index(level[each]))
            if len(names) > 1:
                chains.append(Chain(names, [level[each] for each in names], [values[each] for each in names]))
        return Factor(name, order, chains)

    def _row(self, run: Run) -> dict[str, Any]:
        """Return a row of the table."""
        row: dict[str, Any] = {
            "state": str(run.state),
            "reason": run.reason,
            "error": run.error,
            "attempts": count(run.record.get("attempts")),
            "started": run.record.get("started"),
            "minutes": run.minutes,
            "device": run.environment.get("device"),
            "weights": run.weights,
            "epochs": len(run.history),
            "diverged": run.diverged,
        }
        for metric in self.metrics:
            values = self.curve(run.name, metric).tolist()
            row[f"settled_{metric}"] = settled(values)
            row[f"best_{metric}"], row[f"best_{metric}_epoch"] = best_epoch(values, metric)
        if "settled_loss" in row and "settled_val_loss" in row:
            row["gap"] = row["settled_val_loss"] - row["settled_loss"]
        for name, value in run.parameters.items():
            row[f"param_{name}"] = value
        return row


# --- reading ---
def load_results(outputs: str | Path, missing_ok: bool = False) -> Results:
    """Return everything that a study left in its directory, which is outputs/<study>.

    Raise StudyError where there is no study, unless `missing_ok`, which gives empty Results; and where a newer
    version of nbstudy wrote a study.json or run.json.
    """
    directory = Path(outputs)
    record = read_record(directory / "study.json")
    if not record and not missing_ok:
        fail(f"{directory}", f"there is no study here{beside(directory)}; `python runner.py` makes one")
    runs = find_runs(directory, record)
    metrics = [metric for run in runs.values() for metric in run.history]
    return Results(
        directory=directory,
        runs=runs,
        rounds=read_rounds(record, runs, deciding(metrics)),
        final=field_of(record, "final", str) or None,
        test=field_of(record, "test", str) or None,
        overrides=field_of(record, "overrides", dict),
        lengthens=field_of(record, "lengthens", str) or None,
        extras=extras(runs, directory),
    )


def beside(directory: Path) -> str:
    """Name the studies that lie beside a directory."""
    studies = sorted(path.parent.as_posix() for path in directory.parent.glob("*/study.json"))
    if not studies:
        return ""
    return f" (beside it: {', '.join(studies)})"


def find_runs(directory: Path, record: dict[str, Any]) -> dict[str, Run]:
    """Return what there is of each configuration that a study.json asks for."""
    defaults = field_of(record, "defaults", dict)
    runs = {}
    for name, given in field_of(record, "configurations", dict).items():
        parameters = dict(defaults)
        if isinstance(given, dict):
            parameters |= given
        runs[name] = find_run(name, parameters, directory, record)
    return runs


def find_run(name: str, parameters: dict[str, Any], outputs: Path, record: dict[str, Any]) -> Run:
    """Return the first that there is: the complete run, the newest usable attempt, the stale run, or nothing.

    What `runs.find` tells the runner, here by study.json alone, since a reader has no study file; whoever changes one
    looks at the other. Damage is not looked for, and an attempt may have more epochs than are asked for now.
    """
    place = outputs / name
    changes = changes_of(place, parameters, record)
    if not changes:
        return read_all(place, name, State.COMPLETE, [], parameters)
    may_differ = {field_of(record, "lengthens", str)}
    for attempt in reversed(attempts_in(outputs / "incomplete" / name)):
        changes_since = changes_of(attempt, parameters, record)
        if changes_since.keys() <= may_differ:
            return read_all(attempt, name, State.UNFINISHED, list(changes_since.values()), parameters)
    if place.is_dir():
        return read_all(place, name, State.STALE, list(changes.values()), parameters)
    return read_all(place, name, State.MISSING, [], parameters)


def changes_of(directory: Path, parameters: dict[str, Any], record: dict[str, Any]) -> dict[str, str]:
    """Say what a run was made with that is not as the study asks, by parameter or file."""
    run = read_run(directory)
    if not run:
        return {"run.json": "run.json is damaged"}
    made = field_of(record, "defaults", dict) | run["parameters"]
    changes = changed_parameters(parameters, made)
    if run["code"] not in field_of(record, "code", list):
        template = field_of(record, "notebooks", dict).get("run", "the template")
        changes[template] = f"{template} changed"
    return changes


def read_all(directory: Path, name: str, state: State, changes: list[str], parameters: dict[str, Any]) -> Run:
    """Read what a run or an attempt left."""
    return Run(
        name=name,
        directory=directory,
        state=state,
        changes=changes,
        parameters=parameters,
        record=read_run(directory),
        result=read_json(directory / "result.json"),
        history=read_curves(directory / HISTORY),
    )


def read_curves(file: Path) -> pd.DataFrame:
    """Return a history.csv: a row an epoch, a column a metric; no row that was cut short."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            head, *rows = csv.reader(lines)
    except (OSError, ValueError, csv.Error):
        head, rows = [], []
    whole = [row for row in rows if row and len(row) == len(head) and "" not in row]
    columns = {}
    for place, name in enumerate(head):
        if name not in ("epoch", "configuration"):
            columns[name] = numbers([row[place] for row in whole])
    return pd.DataFrame(columns, index=pd.RangeIndex(1, len(whole) + 1, name="epoch"), dtype=float)


def numbers(texts: Sequence[str]) -> list[float]:
    """Return texts as numbers, NaN where one is not finite or no number."""
    try:
        found = [float(text) for text in texts]
    except ValueError:
        found = []
    if found and all(map(math.isfinite, found)):
        return found
    return [finite(text) for text in texts]


def finite(text: str) -> float:
    """Return a number, NaN where it is not finite or no number."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    if math.isinf(number):
        return math.nan
    return number


def read_rounds(record: dict[str, Any], runs: Mapping[str, Run], metric: str) -> list[Round]:
    """Return the rounds that a study.json names, or one of all configurations but `final`, replicates aside."""
    given = [each for each in field_of(record, "rounds", list) if isinstance(each, dict)]
    if not given:
        parameters = {name: run.parameters for name, run in runs.items() if name != record.get("final")}
        everyone = list(dict.fromkeys(first_replicates(parameters).values()))
        if everyone:
            given = [{"title": "All configurations", "candidates": everyone}]
    has_original = any(field_of(each, "originally_dropped", list) for each in given)
    rounds = []
    for number, each in enumerate(given, 1):
        dropped = known(each, "originally_dropped", runs)
        rounds.append(
            Round(
                number=number,
                title=field_of(each, "title", str),
                candidates=known(each, "candidates", runs),
                metric=field_of(each, "metric", str) or metric,
                epochs=field_of(each, "epochs", int) or None,
                originally_dropped=dropped,
                is_overview=number == 1 and has_original and not dropped,
            )
        )
    return rounds


# --- small things ---
def deciding(metrics: Collection[str]) -> str:
    """Return the metric that decides where a round does not say."""
    if MAIN in metrics:
        return MAIN
    return next(iter(metrics), MAIN)


def first_replicates(parameters: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Return, for each configuration, the first that is equal to it in all parameters but the seed."""
    first: dict[str, str] = {}
    return {name: first.setdefault(as_key(own, without=SEED), name) for name, own in parameters.items()}


def can_be_judged(run: Run, length: int, epochs: int | None) -> bool:
    """Tell whether a run is judged by so many of its epochs, where so many are looked at."""
    if run.state.is_done:
        return length > 0
    if run.state is State.UNFINISHED and not run.error:
        return epochs is not None and length >= epochs
    return False


def field_of(content: dict[str, Any], name: str, kind: type[Kind]) -> Kind:
    """Return a field of a JSON object, an empty value of its kind where it is missing or damaged."""
    value = content.get(name)
    if isinstance(value, kind):
        return value
    return kind()


def known(content: dict[str, Any], name: str, names: Collection[str]) -> tuple[str, ...]:
    """Return a list of names in a JSON object, each that is known once."""
    given = [each for each in field_of(content, name, list) if isinstance(each, str)]
    return tuple(each for each in dict.fromkeys(given) if each in names)


def count(value: Any) -> int | None:
    """Return a number of things in a JSON file, None where it is none."""
    if isinstance(value, int) and 0 <= value < LARGEST:
        return int(value)
    return None


def as_key(parameters: dict[str, Any], without: str = "") -> str:
    """Return a text that is the same for equal parameters, leaving one of them out."""
    kept = {name: value for name, value in parameters.items() if name != without}
    return json.dumps(kept, sort_keys=True)


def by_size(text: str) -> tuple[float, str]:
    """Return what sorts numbers by size, and any other texts after them by the alphabet."""
    try:
        return float(text), text
    except ValueError:
        return math.inf, text


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep out what TensorFlow writes straight to the standard error stream: notes about the machine."""
    standard_error = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)
