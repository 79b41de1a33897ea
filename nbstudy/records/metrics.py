"""Which metrics runs have, told without pandas: whether what a study is to be decided by is among them.

What a metric comes to is in scores.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from nbstudy.files import HISTORY, read_json
from nbstudy.numbers import is_number
from nbstudy.records.progress import describe_early_end
from nbstudy.records.runs import Task, history_of
from nbstudy.study.study import Study

NO_NUMBERS = {"weights", "diverged", "epochs"}  # of result.json: what it says of the run, not what it came to


@dataclass(frozen=True)
class Criterion:
    """A metric by which a study file says that something is decided."""

    metric: str
    place: str  # in the study file
    candidates: Collection[str]


def why_nothing_is_decided(study: Study, complete: Iterable[Task]) -> str:
    """Say by which metric of the study file none of the complete runs can be judged, and by which they can.

    Empty where each metric is there, or no run is complete that is judged by it; one that ended early may lack it. Rungs
    are checked when they are decided: see rungs.py.
    """
    tasks = {task.name: task for task in complete}
    for criterion in criteria_of(study):
        places = [tasks[name].place for name in criterion.candidates if name in tasks]
        if not any(criterion.metric in metrics_in(place) for place in places if can_be_judged(place)):
            for place in places:
                if can_be_judged(place):
                    return missing(criterion, place)
    return ""


def can_be_judged(place: Path) -> bool:
    """Tell whether a complete run ran to its end and left a history that can be read, or none."""
    has_ended_early = describe_early_end(read_json(place / "result.json"))
    return not has_ended_early and not history_of(place).fault


def criteria_of(study: Study) -> list[Criterion]:
    """Return the metrics that the study file names, of the study, its rounds or its race; none where rungs decide."""
    if study.halving is not None:
        return []
    if study.race is not None:
        return [Criterion(study.race.metric.name, "metric of the race", study.race.candidates)]
    criteria = []
    if study.metric is not None:
        judged = [name for name in study.configurations if name != study.final]
        criteria.append(Criterion(study.metric, "metric", judged))
    for number, each in enumerate(study.rounds, 1):
        if each["metric"] is not None:
            criteria.append(Criterion(each["metric"], f"metric of round {number}", each["candidates"]))
    return criteria


def missing(criterion: Criterion, place: Path) -> str:
    """Say that a run does not have a metric, what it has, and the cure."""
    known = ", ".join(metrics_in(place)) or "no number"
    lacks = f"{place}: there is no {criterion.metric}, the {criterion.place} in the study file"
    cure = "name one of those, or let the template write it"
    return f"{lacks}; {HISTORY} and result.json have {known}: {cure}"


def metrics_in(place: Path) -> list[str]:
    """Return the metrics of a complete run: the columns of its history, and the numbers of its result."""
    columns = history_of(place).metrics
    result = read_json(place / "result.json")
    numbers = [name for name, value in result.items() if is_number(value) and name not in NO_NUMBERS]
    return list(dict.fromkeys([*columns, *numbers]))
