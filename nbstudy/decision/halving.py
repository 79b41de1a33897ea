"""The rule of successive halving: who climbs a rung, by what each candidate has cost there (Jamieson and Talwalkar, 2016).

What a study file says of rungs is read in `study.halving`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from nbstudy.decision.critical import ERROR_RATE
from nbstudy.decision.elimination import Family, Verdict, judge, stand, verdict_on
from nbstudy.decision.scores import Score
from nbstudy.numbers import is_number, mean

RULE = "rule"  # instead of a number to keep


@dataclass(frozen=True)
class Rung:
    """A stage of successive halving: how long its candidates train, and how many of them go on."""

    epochs: int
    keep: (
        int | str | None
    )  # RULE: all that the rule does not drop; None for the last one, where it decides, too
    replicates: int = (
        0  # new runs of each candidate by which alone it is judged here; 0: by those that brought it here
    )
    most: int | None = None  # that go on where the rule keeps them

    @property
    def limit(self) -> int | None:
        """How many go on at most; None for the last one."""
        if isinstance(self.keep, int):
            return self.keep
        return self.most

    @property
    def is_decided_by_rule(self) -> bool:
        """Whether the rule says who is left, and not a number alone."""
        return not isinstance(self.keep, int)


@dataclass(frozen=True)
class Stage:
    """A rung as it stands: decided when every candidate has its cost."""

    rung: Rung
    candidates: list[str]  # in the study's order
    costs: dict[str, float]  # of those whose runs are complete, best first; infinite where one has diverged
    family: Family | None = None  # with which the rule compares them, where it decides
    dropped: tuple[str, ...] = ()  # by the rule, where it says who goes on

    @property
    def waits_for(self) -> list[str]:
        """The candidates that it takes to decide it."""
        return [name for name in self.candidates if name not in self.costs]

    @property
    def survivors(self) -> list[str]:
        """The candidates that go on, in the study's order: the best that did not diverge; none before it is decided."""
        if self.waits_for:
            return []
        dropped = set(self.dropped)
        left = [name for name, cost in self.costs.items() if math.isfinite(cost) and name not in dropped]
        best = set(left[: self.rung.limit])
        return [name for name in self.candidates if name in best]


def climb(
    rungs: Sequence[Rung],
    candidates: Sequence[str],
    scores_of: Callable[[str, Rung], Mapping[str, Score] | None],
    with_race: bool = False,
) -> list[Stage]:
    """Let candidates climb rungs as far as these are decided; the last stage is the one that is under way, or the top.

    `scores_of` says what a candidate's runs have come to at a rung, over the rung's epochs, the first run by the
    candidate's own name; None where one of them is not complete. A candidate's cost is their mean; of equal costs the
    first in the order of candidates is the better one. Nothing else counts: not when runs came, nor on how many
    machines, nor what came of later rungs (Jamieson and Talwalkar, 2016). A race may take the place of the last rung.
    """
    stages: list[Stage] = []
    left = list(candidates)
    for rung in rungs:
        scores: dict[str, Score] = {}
        costs = {}
        for name in left:
            own = scores_of(name, rung)
            if own is not None:
                scores |= own
                costs[name] = mean([score.cost for score in own.values()])
        best_first = sorted(costs, key=costs.__getitem__)
        family = family_of(rung, left, len(candidates), share_of_error(rungs, with_race))
        stage = Stage(rung, left, {name: costs[name] for name in best_first}, family)
        if rung.keep == RULE and not stage.waits_for:
            verdict = judge(scores, left, family)
            stage = replace(stage, costs=verdict.costs, dropped=verdict.dropped)
        stages.append(stage)
        left = stage.survivors
        if not left:
            break
    return stages


def share_of_error(rungs: Sequence[Rung], with_race: bool) -> float:
    """Return the error rate of each rung that the rule decides, and of a race after them: they share ERROR_RATE evenly."""
    deciding = sum(rung.is_decided_by_rule for rung in rungs)
    if with_race:
        deciding += 1
    return ERROR_RATE / max(1, deciding)


def family_of(rung: Rung, candidates: Sequence[str], began: int, error_rate: float) -> Family | None:
    """Return the candidates that the rule compares on a rung; None where a number of them goes on.

    One that judges by new seeds compares its own candidates alone. One that judges by the runs that brought them there
    compares them with all that began on the lowest rung: they were picked for their luck among these.
    """
    if not rung.is_decided_by_rule:
        return None
    further = 0
    if not rung.replicates:
        further = began - len(candidates)
    return Family(tuple(candidates), error_rate, further)


def judge_rung(scores: Mapping[str, Score], stage: Stage, witnesses: Mapping[str, Score]) -> Verdict:
    """Return the verdict of a rung: who does not go on, or on the last one, whom the rule drops.

    `scores` are those of the runs by which it judges. Where a number of them goes on, whatever chance explains,
    `witnesses` are those of others that are equal but for their seed, and say what chance does.
    """
    if stage.rung.is_decided_by_rule:
        if stage.waits_for:  # nobody is dropped before all can be compared
            return verdict_on(stand(scores, stage.candidates, stage.family), {}, ())
        verdict = judge(scores, stage.candidates, stage.family)
        if stage.rung.keep is None:
            return verdict
        return replace(verdict, dropped=left_behind(stage))
    standing = stand({**scores, **witnesses}, stage.candidates)
    return verdict_on(replace(standing, costs=stage.costs), {}, left_behind(stage))


def left_behind(stage: Stage) -> tuple[str, ...]:
    """Return the candidates that do not go on, best first; none before that is decided."""
    if stage.waits_for:
        return ()
    survivors = set(stage.survivors)
    return tuple(name for name in stage.costs if name not in survivors)


def differs_wholly(stage: Stage, values: Mapping[str, object]) -> bool:
    """Tell whether those that go on and those that do not differ wholly in a parameter, by its values.

    Numbers do where all of one side lie above all of the other, anything else where no value is on both sides. A
    parameter of which no two candidates share a value is none of what they could have in common.
    """
    ahead = [values[name] for name in stage.survivors]
    behind = [values[name] for name in left_behind(stage)]
    texts = {str(value) for value in values.values()}
    if not ahead or not behind or len(texts) == len(stage.candidates):
        return False
    numbers = [value for value in (*ahead, *behind) if is_number(value)]
    if len(numbers) < len(ahead) + len(behind):
        return {str(value) for value in ahead}.isdisjoint(str(value) for value in behind)
    first, second = numbers[: len(ahead)], numbers[len(ahead) :]
    return max(first) < min(second) or min(first) > max(second)
