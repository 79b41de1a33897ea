"""Several studies beside each other: their runs in one table, and their candidates judged as one.

from nbstudy import load_results

studies = load_results(["outputs/fashion_mnist", "outputs/better_mlp"])
studies.table.loc["better_mlp"]
studies.judge("val_accuracy").choice.chosen
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

import pandas as pd

from nbstudy.checks import StudyError, check_known, fail
from nbstudy.decision.elimination import Choice, choose
from nbstudy.decision.metrics import Metric
from nbstudy.decision.scores import Score
from nbstudy.records.outputs import Outputs
from nbstudy.records.parameters import as_key
from nbstudy.records.race import has_ended, laps_of
from nbstudy.records.reading import field_of
from nbstudy.records.rounds import candidates_of_all, decisive_runs, decisive_scores, rounds_of
from nbstudy.records.rungs import stages_of
from nbstudy.records.scores import scores_of
from nbstudy.records.table import histories_of, table_of
from nbstudy.study.configurations import SEED
from nbstudy.words import enumerated

Left = TypeVar("Left", bound=Outputs)  # what a study left: Results, from load_results


@dataclass(frozen=True)
class Contender:
    """A configuration of one study or of several, which the rule judges by all its runs."""

    name: str  # its own, with the study's before it where another one has the same
    runs: dict[tuple[str, str], Score]  # by study and run

    @property
    def studies(self) -> list[str]:
        """The studies that have it."""
        return list(dict.fromkeys(study for study, _ in self.runs))

    @property
    def first(self) -> tuple[str, str]:
        """The study and the name of the first of its runs."""
        return next(iter(self.runs))


@dataclass(frozen=True)
class Judgement:
    """What the rule says of the candidates of several studies."""

    metric: Metric
    contenders: dict[str, Contender]  # the candidates, by name
    choice: Choice


@dataclass(frozen=True, eq=False)
class Studies(Generic[Left]):
    """What several studies left, by their names: those of their directories."""

    studies: dict[str, Left]

    @cached_property
    def table(self) -> pd.DataFrame:
        """The tables of all studies, as `Results.table` describes them; the index is the study and the configuration."""
        tables = {study: table_of(results) for study, results in self.studies.items()}
        return pd.concat(tables, names=["study"])

    @cached_property
    def histories(self) -> pd.DataFrame:
        """The histories of all studies, as `Results.histories` describes them, after a column `study`."""
        histories = {study: histories_of(results) for study, results in self.studies.items()}
        return pd.concat(histories, names=["study"]).reset_index("study").reset_index(drop=True)

    def judge(self, metric: str | None = None) -> Judgement:
        """Judge the candidates of all studies together, by the rule, and choose among them.

        Without a metric it is the one that decides in all of them. Raise StudyError where they have no metric in common,
        read other inputs, or where rungs are not decided yet.
        """
        return judge_together(self.studies, metric)

    @cached_property
    def makers(self) -> dict[str, str]:
        """What stands for the code of a study's runs, by study: the same for those that were made by the same code."""
        return makers_of(self.studies)


def beside_each_other(directories: Iterable[Left]) -> Studies[Left]:
    """Return studies by the names of their directories, by the directories themselves where names are equal."""
    given = list(directories)
    names = Counter(results.directory.resolve().name for results in given)
    studies: dict[str, Left] = {}
    for results in given:
        name = results.directory.resolve().name
        if names[name] > 1:
            name = results.directory.as_posix()
        if name in studies:
            fail(name, "is given twice; name each study once")
        studies[name] = results
    return Studies(studies)


# --- what they have in common ---
def makers_of(studies: Mapping[str, Outputs]) -> dict[str, str]:
    """Return, for each study, the first that has the same template and the same modules, in any of their known texts."""
    makers: dict[str, str] = {}
    for study, results in studies.items():
        alike = [earlier for earlier in makers if are_made_alike(studies[earlier], results)]
        makers[study] = study
        if alike:
            makers[study] = makers[alike[0]]
    return makers


def are_made_alike(one: Outputs, other: Outputs) -> bool:
    """Tell whether the runs of two studies are made by the same code."""
    codes = [set(field_of(each.record, "code", list)) for each in (one, other)]
    modules = [field_of(each.record, "modules", dict) for each in (one, other)]
    return bool(codes[0] & codes[1]) and modules[0] == modules[1]


def common_metric(studies: Mapping[str, Outputs], name: str | None) -> Metric:
    """Return the metric by which studies can be compared; raise StudyError where there is none."""
    if name is None:
        deciding = {study: results.metric.name for study, results in studies.items()}
        if len(set(deciding.values())) > 1:
            different = enumerated(f"{study} by {metric}" for study, metric in deciding.items())
            fail(
                "--metric",
                f"the studies are decided by different metrics, {different}; say which one to compare by",
            )
        name = next(iter(deciding.values()))
    metrics = {}
    for study, results in studies.items():
        check_known([name], results.metrics, f"{study}: metric")
        metrics[study] = results.metric_called(name)
    directions = {str(metric.better) for metric in metrics.values() if metric.better}
    if len(directions) > 1:
        fail(
            name, "is better when lower in one study and when higher in another; see `better` in their files"
        )
    known = [metric for metric in metrics.values() if metric.better]
    if not known:
        fail(
            name,
            "whether lower or higher values are better, its name does not say; write `better` into a study file",
        )
    return known[0]


def check_same_inputs(studies: Mapping[str, Outputs]) -> None:
    """Raise StudyError where studies read different files, so that a value in one is no value in the other."""
    (first, one), *others = studies.items()
    mine = field_of(one.record, "inputs", dict)
    faults = []
    for study, results in others:
        theirs = field_of(results.record, "inputs", dict)
        for file in sorted(mine.keys() | theirs.keys()):
            if mine.get(file) != theirs.get(file):
                faults.append(
                    f"{file}: {first} {told(mine, file)}, {study} {told(theirs, file)}; they cannot be compared"
                )
    if faults:
        raise StudyError(*faults)


def told(inputs: Mapping[str, Any], file: str) -> str:
    """Say what a study reads of a file."""
    if file not in inputs:
        return "does not read it"
    return f"reads {inputs[file]}"


# --- the rule over all ---
def judge_together(studies: Mapping[str, Outputs], name: str | None) -> Judgement:
    """Judge the candidates of all studies together, as `Studies.judge` says."""
    check_same_inputs(studies)
    metric = common_metric(studies, name)
    known = contenders_of(studies, metric)
    scores = {}
    sizes = {}
    for contender in known:
        for study, run in contender.runs:
            # a candidate goes by its own name, which is that of its first run
            own_name = contender.name
            if (study, run) != contender.first:
                own_name = f"{study}/{run}"
            scores[own_name] = contender.runs[study, run]
            weights = studies[study].sizes.get(run)
            if weights is not None:
                sizes[own_name] = weights
    candidates = {each.name: each for each in known if is_candidate(each, studies)}
    return Judgement(metric, candidates, choose(scores, candidates, sizes))


def is_candidate(contender: Contender, studies: Mapping[str, Outputs]) -> bool:
    """Tell whether a configuration is a candidate in any of its studies, and not only one that shows what chance does."""
    for study in contender.studies:
        results = studies[study]
        names = {results.parameters.first[run] for of, run in contender.runs if of == study}
        if results.halving is not None or not names.isdisjoint(candidates_of_all(results)):
            return True
    return False


def contenders_of(studies: Mapping[str, Outputs], metric: Metric) -> list[Contender]:
    """Return the configurations that can be judged by a metric, in the order of the studies.

    Those that are equal but for their seed are one, also in several studies, if the same code made them. Of runs whose seeds
    are equal, too, the first counts: the others are its copies.
    """
    makers = makers_of(studies)
    runs: dict[str, dict[tuple[str, str], Score]] = {}
    names: dict[str, tuple[str, str]] = {}
    seen = set()
    for study, results in studies.items():
        for candidate, run, score in judged_runs(results, metric, study):
            parameters = results.runs[run].parameters
            key = f"{makers[study]} {as_key(parameters, without=SEED)}"
            copied = f"{makers[study]} {as_key(parameters)}"
            names.setdefault(key, (study, candidate))
            seed = score.seed
            if seed is not None:  # what runs of equal seeds share comes of the code that made them
                seed = (makers[study], seed)
            own = replace(score, configuration=key, is_copy=copied in seen, seed=seed)
            runs.setdefault(key, {})[study, run] = own
            seen.add(copied)
    clashing = Counter(candidate for _, candidate in names.values())
    contenders = []
    for key, (study, candidate) in names.items():
        name = candidate
        if clashing[candidate] > 1:
            name = f"{study}/{candidate}"
        contenders.append(Contender(name, runs[key]))
    return contenders


def judged_runs(results: Outputs, metric: Metric, study: str) -> Iterator[tuple[str, str, Score]]:
    """Yield each run by which a study judges at last, after its candidate, with what it is judged by.

    After rungs these are the runs of the last one alone, or of the race in its place: the others brought their
    candidates there by their luck, too.
    """
    if not has_ended(results, stages_of(results), laps_of(results)):
        fail(study, "its rungs or its race are not decided yet; run it to the end before it is compared")
    scores = scores_of(results, metric)
    rounds = rounds_of(results)
    runs = decisive_runs(results, rounds)
    if not runs:
        for run, score in scores.items():
            yield results.parameters.first[run], run, score
        return
    decisive = decisive_scores(results, rounds)
    for candidate, own in runs.items():
        for run in own:
            if metric == results.metric:
                name = run
                if run == own[0]:  # which goes by the candidate's name
                    name = candidate
                yield candidate, run, decisive[name]
            elif run in scores:
                yield candidate, run, scores[run]
