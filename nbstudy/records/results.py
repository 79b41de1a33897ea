"""What the runs of a study left, as tables: load_results(outputs) -> Results.

    from nbstudy import load_results

    results = load_results("outputs/fashion_mnist")
    results.curve("model_4", "val_loss").plot()

Files of runs may be damaged in any way: what cannot be read counts as missing.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import os
import re
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from nbstudy.checks import check_known, fail
from nbstudy.decision.elimination import (
    Choice,
    Rung,
    Score,
    Stage,
    Verdict,
    best_epoch,
    choose,
    climb,
    judge,
    keep_best,
    settled,
    settled_epochs,
    spread,
)
from nbstudy.decision.metrics import Better, Metric, can_decide, data_of, deciding, metric_called
from nbstudy.files import CHECKPOINT, HISTORY, read_json, read_record
from nbstudy.numbers import is_number
from nbstudy.records.runs import attempts_in, extras, read_run
from nbstudy.records.states import State, changed_parameters, is_fewer
from nbstudy.study.halving import Halving, halving_in
from nbstudy.words import counted

SEED = "seed"  # runs that are equal but for this parameter are replicates
LARGEST = 2**63  # what a column of whole numbers cannot hold
NO_NUMBERS = {"weights", "diverged", "epochs"}  # of result.json: what it says of the run, not what it came to
COLUMNS = {  # of the table, which a number of result.json cannot have as its name
    *("state", "reason", "error", "attempts", "started", "minutes", "device", "environment_changes"),
    *("weights", "epochs", "diverged", "ended", "gap", "configuration"),
}
# what is no metric among the columns of a history: indices, as pandas writes them
NO_CURVES = re.compile(r"(epoch|configuration|Unnamed: \d+)?")
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Round:
    """A round of elimination, as the study asks for it."""

    number: int  # 1 is the first
    title: str
    candidates: tuple[str, ...]
    metric: Metric
    epochs: int | None  # only the first ones are looked at; None: all of them
    originally_dropped: tuple[str, ...]
    is_overview: bool  # the first, in which the original dropped nothing
    stage: Stage | None = None  # the rung that it is, where that is one


@dataclass(frozen=True, eq=False)
class Run:
    """What there is of a configuration: its complete run, else its newest usable attempt, else a stale run."""

    name: str
    directory: Path
    state: State
    changes: dict[str, str]  # by parameter or file: what is not as the study asks, as in "l2 0.001 -> 0.005"
    parameters: dict[str, Any]  # those that the study asks for
    record: dict[str, Any]  # run.json
    result: dict[str, Any]  # result.json
    history: pd.DataFrame  # index: epoch, from 1; a column a metric, NaN where it is not finite
    earlier: Run | None = (
        None  # of an attempt: the complete run that it will replace, as asked but for its length
    )

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
            return ", ".join(self.changes.values())
        if self.state is State.UNFINISHED:
            return self.error or f"interrupted at epoch {len(self.history)}"
        return None

    @property
    def minutes(self) -> float:
        """How long it took, over all attempts; 0 where that is not known."""
        return field_of(self.record, "seconds", float) / 60

    @property
    def weights(self) -> int | None:
        """The number of weights of its network; None where it says none."""
        return count(self.result.get("weights")) or None

    @property
    def diverged(self) -> int | None:
        """The epoch at which its loss was no longer finite."""
        return count(self.result.get("diverged"))

    @property
    def ended(self) -> str | None:
        """Why it ended early on purpose, in words."""
        return " ".join(field_of(self.result, "ended", str).split()) or None

    @cached_property
    def numbers(self) -> dict[str, float]:
        """The numbers that result.json says it came to; NaN where one is not finite."""
        numbers = {}
        for name, value in self.result.items():
            if is_number(value) and name not in NO_NUMBERS:
                numbers[name] = finite(value)
        return numbers

    @property
    def recorded_environment(self) -> dict[str, str]:
        """The processor and the libraries that it was begun with, as the runner recorded them; empty if it did not."""
        return as_texts(field_of(self.record, "environment", dict))

    @property
    def own_environment(self) -> dict[str, str]:
        """The device and the libraries that it says itself, in result.json; empty where it does not."""
        versions = field_of(self.result, "versions", dict)
        if not versions:
            return {}
        return as_texts({"device": field_of(self.result, "device", str)} | versions)

    @property
    def environment_changes(self) -> list[str]:
        """What was not the same when it was resumed, as in "keras 3.14 -> 3.15 after epoch 57"."""
        return [str(change) for change in field_of(self.record, "environment_changes", list)]


@dataclass(frozen=True)
class Chain:
    """Configurations that differ in one parameter alone, in the order of its values."""

    names: list[str]
    levels: list[str]  # the values of the parameter, as text
    values: list[float]  # of the metric

    @property
    def steps(self) -> list[float]:
        """By how much each value is above the one before it."""
        return [after - before for before, after in itertools.pairwise(self.values)]


@dataclass(frozen=True)
class Factor:
    """What a metric does along one parameter when all others stay."""

    name: str
    levels: list[str]  # all values of the parameter, as text, in their order
    chains: list[Chain]  # each of two configurations or more

    @property
    def is_ordered(self) -> bool:
        """Whether it can be raised: all values are numbers."""
        return all(math.isfinite(by_size(level)[0]) for level in self.levels)


@dataclass(frozen=True)
class Ranking:
    """All configurations, judged by one criterion."""

    title: str  # the criterion in words
    metric: Metric
    verdict: Verdict
    chosen: str | None  # what would be chosen by it, among the candidates of the last round

    @property
    def values(self) -> dict[str, float]:
        """The values that are finite, best first."""
        costs = self.verdict.costs
        return {name: self.metric.value(costs[name]) for name in costs if math.isfinite(costs[name])}


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that a study left."""

    directory: Path  # outputs/<study>
    runs: dict[str, Run]  # by configuration, in the study's order
    named_rounds: list[Round]  # as the study file names them; where it names none, one of all configurations
    metric: Metric  # that decides where a round does not say
    directions: dict[str, Better]  # by metric, as far as the study file says them
    final: str | None  # the one configuration that meets the test set
    test: str | None  # the test set that it meets
    overrides: dict[str, Any]  # by -p, for all configurations: a quick look, which is not the study
    lengthens: str | None  # the parameter whose increase continues a finished run, such as epochs
    halving: Halving | None  # the rungs that candidates climb
    final_is_made: bool  # of the choice: it takes no part in what it is made by
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
        environment_changes   what was not the same when it was resumed
        weights               of the network
        epochs                that were trained
        diverged              the epoch at which the loss was no longer finite
        ended                 why it ended early on purpose
        settled_<metric>      the mean over the last tenth of the epochs, rounded up; NaN if one is not finite
        best_<metric>         the best value of any epoch, of a metric of which it is known what is better,
        best_<metric>_epoch   and which epoch that was, from 1
        gap                   settled_val_loss - settled_loss
        <name>                each number in result.json; result_<name> where another column has that name
        param_<name>          each parameter, in its own type

        Metrics are in the units of the files. What a run does not have is missing (NaN, NA, None).
        """
        rows = [self._row(run) for run in self.runs.values()]
        table = pd.DataFrame(rows, index=pd.Index(self.runs, name="configuration"))
        whole = {"weights", "diverged", "attempts"}
        for name in self.numbers:
            if all(isinstance(run.numbers.get(name, 0), int) for run in self.runs.values()):
                whole.add(self.column(name))
        for column in table:
            if column in whole or column.endswith("_epoch"):
                table[column] = table[column].astype("Int64")  # whole numbers of which some are missing
        return table

    def column(self, metric: str) -> str:
        """Return the column of the table that holds what runs came to by a metric."""
        if metric in self.curved:
            return f"settled_{metric}"
        if metric in COLUMNS or metric.startswith(("settled_", "best_", "param_")):
            return f"result_{metric}"
        return metric

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

        Without a metric it is the one that decides. A number of result.json is a curve of one point, however many
        epochs are asked for. Empty where the run does not have the metric.
        """
        check_known([name], self.runs, f"{self.directory}: configuration")
        run = self.runs[name]
        if metric is None:
            metric = self.metric.name
        if metric in run.history:
            return run.history[metric].iloc[:epochs]
        if metric in run.numbers and metric not in self.curved:
            return pd.Series([float(run.numbers[metric])], pd.RangeIndex(1, 2, name="epoch"), name=metric)
        return pd.Series(dtype=float, name=metric)

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
    def curved(self) -> list[str]:
        """The metrics of the histories, in the order of their columns."""
        metrics: dict[str, None] = {}
        for run in self.runs.values():
            metrics.update(dict.fromkeys(run.history))
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

    @cached_property
    def watched(self) -> list[Metric]:
        """The metric that decides, and others that could: measured on the same data, their direction known."""
        watched = [self.metric]
        for name in self.metrics:
            metric = self.metric_called(name)
            is_alike = data_of(name) == data_of(self.metric.name)
            if name != self.metric.name and metric.better and is_alike and can_decide(name):
                watched.append(metric)
        return watched

    def metric_called(self, name: str) -> Metric:
        """Return a metric, which is better as the study file says, else as its name does."""
        return metric_called(name, self.directions.get(name))

    @property
    def has_epochs(self) -> bool:
        """Whether any run was watched epoch by epoch."""
        return any(len(run.history) > 1 for run in self.runs.values())

    def is_by_epoch(self, metric: Metric) -> bool:
        """Tell whether a metric was watched epoch by epoch, so that there is something to settle."""
        return metric.name in self.curved and self.has_epochs

    def title(self, metric: Metric) -> str:
        """Return the words for what a run comes to by a metric: "settled val_loss" where that was watched by epoch."""
        if self.is_by_epoch(metric):
            return f"settled {metric}"
        return str(metric)

    @cached_property
    def environments(self) -> dict[str, dict[str, str]]:
        """The processor and libraries of each run where they are known, all from one source.

        That is what the runner recorded; where it did not for some run, what the runs say themselves, if they do.
        """
        runs = [run for run in self.runs.values() if run.state is not State.MISSING]
        recorded = {run.name: run.recorded_environment for run in runs if run.recorded_environment}
        own = {run.name: run.own_environment for run in runs if run.own_environment}
        if own and len(recorded) < len(runs):
            return own
        return recorded

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
        return self.varying_among(self.parameters)

    def varying_among(self, names: Collection[str]) -> list[str]:
        """Return the parameters that are not the same for some runs, but for the one that lengthens a run."""
        values: dict[str, set[str]] = {}
        for name in names:
            for parameter, value in self.parameters[name].items():
                values.setdefault(parameter, set()).add(str(value))
        return [name for name, texts in values.items() if len(texts) > 1 and name != self.lengthens]

    @cached_property
    def factors(self) -> list[str]:
        """The parameters that vary by intention: all that vary but the seed, a `final` that is made aside."""
        names = [name for name in self.runs if not (self.final_is_made and name == self.final)]
        return [name for name in self.varying_among(names) if name != SEED]

    @cached_property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """What the study asks for, by configuration."""
        return {name: run.parameters for name, run in self.runs.items()}

    @property
    def has_original(self) -> bool:
        """Whether the study file says what was dropped in an original elimination."""
        return any(each.originally_dropped for each in self.rounds)

    @property
    def is_writable(self) -> bool:
        """Whether there is a study, and its directory can be written to."""
        return bool(self.runs) and os.access(self.directory, os.W_OK)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The number of weights of each run, where that is known."""
        return {name: run.weights for name, run in self.runs.items() if run.weights is not None}

    def differing(self, name: str, other: str, among: Collection[str]) -> list[str]:
        """Return the parameters, among these, in which two configurations differ."""
        ours, theirs = self.runs[name].parameters, self.runs[other].parameters
        return [key for key in among if str(ours.get(key)) != str(theirs.get(key))]

    def ranking(
        self, metric: Metric | None = None, epochs: int | None = None, by_best_epoch: bool = False
    ) -> Ranking:
        """Rank all configurations that can be compared: by the first epochs, all where that is not said.

        Where there are rungs, and no epochs are asked for, it ranks the candidates of the highest one reached.
        """
        if metric is None:
            metric = self.metric
        scores = self.scores(metric, epochs, by_best_epoch)
        compared = self.compared
        candidates = [name for each in self.rounds[-1:] for name in each.candidates]
        if self.halving is not None and epochs is None:  # others have not trained as long
            scores = self.on_top_rung(scores)
            if metric == self.halving.metric and not by_best_epoch:
                scores = self.scores_at(self.stages[-1])
            compared = candidates
        chosen = choose(scores, candidates, self.sizes).chosen
        title = self.title(metric)
        if by_best_epoch:
            title = f"best {metric}"
        return Ranking(title, metric, judge(scores, compared), chosen)

    def on_top_rung(self, scores: Mapping[str, Score]) -> dict[str, Score]:
        """Return scores of the runs by which the highest rung judges, as `scores_at` names them."""
        top = self.stages[-1]
        named: dict[str, Score] = {}
        for name in top.candidates:
            runs = [run for run in self.runs_at(name, top.rung) if run in scores]
            own = {run: replace(scores[run], configuration=name, is_copy=False) for run in runs}
            named |= first_by_name(name, own)
        return named

    def rankings(self) -> list[Ranking]:
        """Rank by every criterion: what runs come to by the metric that decides, its best epoch, other metrics."""
        rankings = [self.ranking()]
        if self.is_by_epoch(self.metric):
            rankings.append(self.ranking(by_best_epoch=True))
        rankings += [self.ranking(metric) for metric in self.watched[1:]]
        return rankings

    def judge(self, each: Round) -> Verdict:
        """Return what the rule says of a round. A rung that keeps a number of candidates drops the others."""
        if each.stage is not None:
            scores = self.scores_at(each.stage)
            if each.stage.rung.keep is not None:
                return keep_best(scores, each.stage)
            return judge(scores, each.candidates)
        return judge(self.scores(each.metric, each.epochs), each.candidates)

    def choose(self) -> Choice:
        """Choose among the candidates of the last round, or of the last rung, as it judges them."""
        if self.halving is not None:
            top = self.stages[-1]
            if top.rung.keep is not None:  # nothing is chosen on the way
                return choose({}, (), {})
            return choose(self.scores_at(top), top.candidates, self.sizes)
        if not self.rounds:
            return choose({}, (), {})
        last = self.rounds[-1]
        return choose(self.scores(last.metric, last.epochs), last.candidates, self.sizes)

    @cached_property
    def rounds(self) -> list[Round]:
        """The rounds of elimination: those of the study file, or the rungs as far as they are reached."""
        if self.halving is None:
            return self.named_rounds
        rounds = []
        for number, stage in enumerate(self.stages, 1):
            rounds.append(
                Round(
                    number=number,
                    title=title_of(number, stage),
                    candidates=tuple(stage.candidates),
                    metric=self.halving.metric,
                    epochs=stage.rung.epochs,
                    originally_dropped=(),
                    is_overview=False,
                    stage=stage,
                )
            )
        return rounds

    # --- halving ---
    @cached_property
    def stages(self) -> list[Stage]:
        """The rungs as far as they are decided, and the one that is under way; empty without halving."""
        if self.halving is None:
            return []
        return climb(self.halving.rungs, list(self.halving.candidates), self.cost_on_rung)

    def cost_on_rung(self, name: str, rung: Rung) -> float | None:
        """Return the mean cost of a candidate's runs on a rung; None where one of them has not completed it."""
        runs = self.runs_at(name, rung)
        costs = [score.cost for score in self.scores_of(name, rung).values()]
        if len(costs) < len(runs):
            return None
        return statistics.fmean(costs)

    def scores_at(self, stage: Stage) -> dict[str, Score]:
        """Return what the rule judges the candidates of a rung by, a score for each of their runs there.

        The first run of a candidate goes by the candidate's name, also where it is one with a new seed.
        """
        scores: dict[str, Score] = {}
        for name in stage.candidates:
            scores |= first_by_name(name, self.scores_of(name, stage.rung))
        return scores

    def scores_of(self, name: str, rung: Rung) -> dict[str, Score]:
        """Return the scores of those of a candidate's runs that have completed a rung, in their order."""
        scores = {}
        for run in self.runs_at(name, rung):
            completed = self.completed(run)
            if completed is not None and self.has_climbed(completed, rung):
                scores[run] = self.score_on_rung(completed, name, rung)
        return scores

    def runs_at(self, name: str, rung: Rung) -> list[str]:
        """Return the runs by which a candidate is judged on a rung."""
        if self.halving is None:
            return []
        return self.halving.runs_of(name, rung, self.parameters)

    def completed(self, name: str) -> Run | None:
        """Return the complete run of a configuration, also where a longer one is asked for now; None without one."""
        run = self.runs.get(name)
        if run is None or run.state is State.MISSING:
            return None
        if run.state is State.UNFINISHED:
            return run.earlier
        if run.changes.keys() <= {self.lengthens}:
            return run
        return None

    def has_climbed(self, run: Run, rung: Rung) -> bool:
        """Tell whether a complete run has the epochs of a rung, or ended before them when it was asked for as many.

        What is asked for now plays no part: a rung that is decided stays so.
        """
        if self.halving is None or self.halving.metric.name not in run.history:
            return False
        asked = field_of(run.record, "parameters", dict).get(self.lengthens)
        has_ended = bool(run.diverged or run.ended) and not is_fewer(asked, rung.epochs)
        return len(run.history) >= rung.epochs or has_ended

    def score_on_rung(self, run: Run, candidate: str, rung: Rung) -> Score:
        """Return what a run of a candidate is judged by on a rung: its first epochs; infinite if it diverged in them."""
        metric = self.metric  # which is that of the rungs
        values = run.history[metric.name].iloc[: rung.epochs].tolist()
        cost = metric.cost(settled(values))
        if run.diverged and run.diverged <= rung.epochs:
            cost = math.inf
        return Score(
            cost=cost,
            configuration=candidate,
            spread=spread(values),
            settled_epochs=len(settled_epochs(values)),
        )

    @property
    def cost_of_halving(self) -> tuple[float, float] | None:
        """The FLOPs that the rungs took, and those of every candidate as the last rung has them; None before its end."""
        if self.halving is None or not self.is_decided:
            return None
        top = self.halving.rungs[-1]
        spent = 0.0
        whole = 0.0
        for name, runs in self.halving.candidates.items():
            costs = [self.cost_of(run) for run in runs]
            spent += sum(flops for flops, _ in costs)
            if top.replicates and name in self.stages[-1].candidates:
                spent += sum(self.cost_of(run)[0] for run in self.runs_at(name, top))
            _, an_epoch = costs[0]
            whole += an_epoch * top.epochs * (top.replicates or len(runs))
        if not whole:
            return None
        return spent, whole

    def cost_of(self, name: str) -> tuple[float, float]:
        """Return the FLOPs of a complete run, and those of one of its epochs."""
        record = self.runs[name].record
        flops = field_of(record, "flops", float)
        epochs = field_of(record, "parameters", dict).get(self.lengthens, 0)
        return flops, flops / max(epochs, 1)

    def check_rungs_can_be_decided(self) -> None:
        """Raise StudyError where a candidate was trained that does not have the metric by which the rungs decide."""
        if self.halving is None:
            return
        for name in sorted(self.halving.first_runs):
            run = self.completed(name)
            if run and not run.history.empty and self.halving.metric.name not in run.history:
                known = ", ".join(run.history)
                place = f"{run.directory / HISTORY}: halving: metric"
                fail(place, f"there is no column {self.halving.metric}; the columns are {known}")

    @property
    def is_decided(self) -> bool:
        """Whether all is complete that the choice depends on: every configuration but the final one, and all rungs."""
        if self.halving is not None:
            top = self.stages[-1]
            if top.rung != self.halving.rungs[-1] or top.waits_for:
                return False
        return all(name == self.final for name in self.incomplete)

    # --- the rule ---
    def scores(
        self, metric: Metric | None = None, epochs: int | None = None, by_best_epoch: bool = False
    ) -> dict[str, Score]:
        """Return what the rule judges by, for each run that can be judged over the first epochs, or all.

        That is the settled value, or the value of the best epoch. Complete runs can be judged, and unfinished
        ones that have reached the epochs that are asked for; failed and stale ones cannot. None can by a metric of
        which nobody knows what is better.
        """
        if metric is None:
            metric = self.metric
        if metric.better is None:
            return {}
        scores: dict[str, Score] = {}
        keys = set()
        for name, run in self.runs.items():
            values = self.curve(name, metric.name, epochs).tolist()
            if not can_be_judged(run, len(values), epochs) or (self.final_is_made and name == self.final):
                continue
            value = settled(values)
            if by_best_epoch:
                value, _ = best_epoch(values, metric)
            key = as_key(run.parameters)
            scores[name] = Score(
                cost=metric.cost(value),
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
        if not self.is_by_epoch(self.metric):
            return None
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
            "device": run.own_environment.get("device") or run.recorded_environment.get("processor"),
            "environment_changes": "; ".join(run.environment_changes) or None,
            "weights": run.weights,
            "epochs": len(run.history),
            "diverged": run.diverged,
            "ended": run.ended,
        }
        for name in self.curved:
            values = self.curve(run.name, name).tolist()
            row[f"settled_{name}"] = settled(values)
            metric = self.metric_called(name)
            if metric.better:
                row[f"best_{name}"], row[f"best_{name}_epoch"] = best_epoch(values, metric)
        if "settled_loss" in row and "settled_val_loss" in row:
            row["gap"] = row["settled_val_loss"] - row["settled_loss"]
        for name in self.numbers:
            row[self.column(name)] = run.numbers.get(name)
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
    return read_results(directory, record)


def read_results(directory: Path, record: dict[str, Any]) -> Results:
    """Return what runs left in a directory of what a study.json asks for."""
    halving = halving_in(record)
    runs = find_runs(directory, record, halving)
    names = [name for run in runs.values() for name in [*run.history, *run.numbers]]
    name = field_of(record, "metric", str) or deciding(names)
    directions = read_directions(record, name)
    if halving is not None:
        name = halving.metric.name
        directions[name] = halving.metric.better or directions[name]
    metric = metric_called(name, directions.get(name))
    return Results(
        directory=directory,
        runs=runs,
        named_rounds=read_rounds(record, runs, metric, directions),
        metric=metric,
        directions=directions,
        final=field_of(record, "final", str) or None,
        test=field_of(record, "test", str) or None,
        overrides=field_of(record, "overrides", dict),
        lengthens=field_of(record, "lengthens", str) or None,
        halving=halving,
        final_is_made=isinstance(record.get("changes_of_final"), dict),
        extras=[name for name in extras(runs, directory) if not may_come(name, record, halving)],
    )


def may_come(name: str, record: dict[str, Any], halving: Halving | None) -> bool:
    """Tell whether a study asks for a configuration once it is decided that it does."""
    return (halving is not None and halving.climbs(name)) or name == record.get("final")


def beside(directory: Path) -> str:
    """Name the studies that lie beside a directory."""
    studies = sorted(path.parent.as_posix() for path in directory.parent.glob("*/study.json"))
    if not studies:
        return ""
    return f" (beside it: {', '.join(studies)})"


def find_runs(directory: Path, record: dict[str, Any], halving: Halving | None) -> dict[str, Run]:
    """Return what there is of each configuration that a study.json asks for."""
    defaults = field_of(record, "defaults", dict)
    runs = {}
    for name, given in field_of(record, "configurations", dict).items():
        parameters = dict(defaults)
        if isinstance(given, dict):
            parameters |= given
        may_be_longer = halving is not None and halving.climbs(name)
        runs[name] = find_run(name, parameters, directory, record, may_be_longer)
    make_alike([run.parameters for run in runs.values()])
    return runs


def make_alike(configurations: Sequence[dict[str, Any]]) -> None:
    """Write whole numbers as 1.0 where others have a fraction, so that 1 and 1.0 are one value of a parameter."""
    fractional = set()
    for parameters in configurations:
        fractional |= {name for name, value in parameters.items() if isinstance(value, float)}
    for parameters in configurations:
        for name in fractional & parameters.keys():
            if type(parameters[name]) is int:
                parameters[name] = finite(float(parameters[name]))


def find_run(
    name: str, parameters: dict[str, Any], outputs: Path, record: dict[str, Any], may_be_longer: bool
) -> Run:
    """Return the first that there is: the complete run, the newest usable attempt, the stale run, or nothing.

    What `runs.find` tells the runner, here by study.json alone, since a reader has no study file; whoever changes one
    looks at the other. Damage is not looked for, and an attempt may have more epochs than are asked for now.
    """
    place = outputs / name
    changes = changes_of(place, parameters, record)
    may_differ = {field_of(record, "lengthens", str)}
    if changes.keys() == may_differ and may_be_longer and is_longer(place, parameters, record):
        changes = {}
    if not changes:
        return read_all(place, name, State.COMPLETE, {}, parameters)
    stale = None
    if place.is_dir():
        stale = read_all(place, name, State.STALE, changes, parameters)
    for attempt in reversed(attempts_in(outputs / "incomplete" / name)):
        changes_since = changes_of(attempt, parameters, record)
        if changes_since.keys() <= may_differ:
            run = read_all(attempt, name, State.UNFINISHED, changes_since, parameters)
            if stale and changes.keys() <= may_differ:
                return replace(run, earlier=stale)
            return run
    if stale:
        return stale
    return read_all(place, name, State.MISSING, {}, parameters)


def changes_of(directory: Path, parameters: dict[str, Any], record: dict[str, Any]) -> dict[str, str]:
    """Say what a run was made with that is not as the study asks, by parameter or file."""
    run = read_run(directory)
    if not run:
        return {"run.json": "run.json is damaged"}
    made = field_of(record, "defaults", dict) | run["parameters"]
    changes = changed_parameters(parameters, made)
    same_code = field_of(record, "code", list)  # of modules by path and hash
    if run["code"] not in same_code:
        template = field_of(record, "notebooks", dict).get("run", "the template")
        changes[template] = f"{template} changed"
    asked, made_with = field_of(record, "modules", dict), field_of(run, "modules", dict)
    for path in sorted(asked.keys() | made_with.keys()):
        if asked.get(path) != made_with.get(path) and f"{path} {made_with.get(path)}" not in same_code:
            changes[path] = f"{path} changed"
    return changes


def is_longer(place: Path, parameters: dict[str, Any], record: dict[str, Any]) -> bool:
    """Tell whether a complete run has more epochs than the study asks for."""
    lengthens = field_of(record, "lengthens", str)
    return is_fewer(parameters.get(lengthens), read_run(place)["parameters"].get(lengthens))


def read_all(
    directory: Path, name: str, state: State, changes: dict[str, str], parameters: dict[str, Any]
) -> Run:
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
    """Return a history.csv: a row an epoch, a column a metric; no indices, no texts, no row that was cut short."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            head, *rows = csv.reader(lines)
    except (OSError, ValueError, csv.Error):
        head, rows = [], []
    whole = [row for row in rows if row and len(row) == len(head) and "" not in row]
    columns = {}
    for place, name in enumerate(head):
        values = numbers([row[place] for row in whole])
        if values is not None and not NO_CURVES.fullmatch(name):
            columns[name] = values
    index = pd.RangeIndex(1, len(whole) + 1, name="epoch")
    history = pd.DataFrame(columns, index=index, dtype=float)
    return history.mask(history.abs() == math.inf)


def numbers(texts: Sequence[str]) -> list[float] | None:
    """Return texts as numbers, NaN where one is none; None where all are something else."""
    with suppress(ValueError):
        return [float(text) for text in texts]
    found = pd.to_numeric(pd.Series(texts), errors="coerce")
    if found.isna().all():
        return None
    return list(found)


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


def read_rounds(
    record: dict[str, Any], runs: Mapping[str, Run], metric: Metric, directions: Mapping[str, Better]
) -> list[Round]:
    """Return the rounds that a study.json names, or one of all configurations but `final`, replicates aside."""
    given = rounds_in(record)
    if not given:
        parameters = {name: run.parameters for name, run in runs.items() if name != record.get("final")}
        everyone = list(dict.fromkeys(first_replicates(parameters).values()))
        if everyone:
            given = [{"title": "All configurations", "candidates": everyone}]
    has_original = any(field_of(each, "originally_dropped", list) for each in given)
    rounds = []
    for number, each in enumerate(given, 1):
        dropped = known(each, "originally_dropped", runs)
        name = field_of(each, "metric", str) or metric.name
        rounds.append(
            Round(
                number=number,
                title=field_of(each, "title", str),
                candidates=known(each, "candidates", runs),
                metric=metric_called(name, read_better(each) or directions.get(name)),
                epochs=field_of(each, "epochs", int) or None,
                originally_dropped=dropped,
                is_overview=number == 1 and has_original and not dropped,
            )
        )
    return rounds


# --- small things ---
def first_replicates(parameters: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Return, for each configuration, the first that is equal to it in all parameters but the seed."""
    first: dict[str, str] = {}
    return {name: first.setdefault(as_key(own, without=SEED), name) for name, own in parameters.items()}


def title_of(number: int, stage: Stage) -> str:
    """Return the heading of a rung."""
    title = (
        f"Rung {number}: {counted(len(stage.candidates), 'candidate')}, {counted(stage.rung.epochs, 'epoch')}"
    )
    if stage.rung.replicates:
        title += f", {stage.rung.replicates} new seeds each"
    return title


def first_by_name(name: str, scores: Mapping[str, Score]) -> dict[str, Score]:
    """Return the scores of a candidate's runs, of which the first goes by the candidate's name."""
    first = next(iter(scores), "")
    return {name if run == first else run: score for run, score in scores.items()}


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


def finite(value: float) -> float:
    """Return a number that a column can hold: a whole one if it is not too large, NaN where it is not finite."""
    if isinstance(value, int) and abs(value) < LARGEST:
        return value
    with suppress(OverflowError):
        if math.isfinite(value):
            return float(value)
    return math.nan


def as_texts(content: dict[str, Any]) -> dict[str, str]:
    """Return the fields of a JSON object as texts."""
    return {name: str(value) for name, value in content.items()}


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
