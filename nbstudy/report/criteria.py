"""The section "What the criterion hides": rankings by other criteria, and what these would choose."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from nbstudy.decision.elimination import Choice
from nbstudy.decision.metrics import Metric, written
from nbstudy.decision.settling import best_epoch, settled
from nbstudy.markdown import Markdown, plain
from nbstudy.records.results import Results
from nbstudy.report.markdown import listed, show_texts
from nbstudy.report.rankings import Ranking, rankings_of
from nbstudy.words import enumerated

LOOK_FOR = (
    "A ranking is only as good as its criterion. The table of all configurations has others beside it: look for rows "
    "with a bold value in one column and not in another."
)
FEW = 2  # names that are said and not counted
NAMED_OF_MANY = 3


@dataclass(frozen=True)
class Stopping:
    """The run for which it matters most when it is stopped."""

    run: str
    metric: Metric
    best: float  # of its best epoch
    epoch: int  # which that was
    settled: float  # of the same run


@dataclass(frozen=True, eq=False)
class Criteria:
    """What each criterion says of the choice."""

    results: Results
    choice: Choice
    rankings: list[Ranking]  # first by the metric that decides
    stopping: Stopping | None = None  # None without epochs

    @property
    def is_comparable(self) -> bool:
        """Whether there is a choice, and another criterion that could have made it."""
        is_ranked = len(self.rankings) > 1 and len(self.rankings[0].verdict.costs) > 1
        return self.choice.chosen is not None and is_ranked

    @property
    def otherwise(self) -> dict[str, list[str]]:
        """The criteria by which it would be another configuration, by its name."""
        titles: dict[str, list[str]] = {}
        for ranking in self.rankings:
            if ranking.chosen not in (None, self.choice.chosen):
                titles.setdefault(str(ranking.chosen), []).append(ranking.what)
        return titles

    @cached_property
    def ahead_by_criterion(self) -> dict[str, list[str]]:
        """What is ahead of the choice by each criterion by more than chance explains, best first."""
        chosen = self.choice.chosen or ""
        return {ranking.what: ranking.verdict.ahead_of(chosen) for ranking in self.rankings}

    def ahead(self, ranking: Ranking) -> list[str]:
        """Return what is ahead of the choice by a criterion by more than chance explains, best first."""
        return self.ahead_by_criterion[ranking.what]


def compute(results: Results, choice: Choice) -> Criteria:
    """Rank by every criterion."""
    rankings = rankings_of(results)
    return Criteria(results, choice, rankings, stopping_time(results, rankings))


def show(criteria: Criteria) -> None:
    """Say what other criteria would choose; nothing without a choice or another criterion."""
    show_texts(write(criteria))


def write(criteria: Criteria) -> str:
    """Say in what the criteria differ, and what each would choose; empty without a choice or another criterion."""
    if criteria.choice.chosen is None or len(criteria.rankings) < 2:
        return ""
    lines = "\n".join(filter(None, [what_criteria_ask(criteria), criteria_compared(criteria)]))
    return f"## What the criterion hides\n\n{LOOK_FOR}\n\n{lines}".rstrip()


# --- what there is to say ---
def stopping_time(results: Results, rankings: Sequence[Ranking]) -> Stopping | None:
    """Find the run for which it matters most when it is stopped, where there are epochs."""
    if not results.is_by_epoch(results.metric):
        return None
    by_settled = rankings[0]
    metric, epochs = by_settled.metric, by_settled.epochs
    most, found = 0.0, None
    for name in by_settled.verdict.finite:
        for run in by_settled.runs.get(name, []):
            values = results.values(run, metric.name, epochs)
            best, epoch = best_epoch(values, metric)
            rise = metric.cost(settled(values)) - metric.cost(best)
            if epoch is not None and most < rise < math.inf:
                most, found = rise, Stopping(run, metric, best, epoch, settled(values))
    return found


# --- the sentences ---
def what_criteria_ask(criteria: Criteria) -> str:
    """Explain in what the criteria differ."""
    names = [ranking.metric.name for ranking in criteria.rankings]
    lines = []
    if {"val_loss", "val_cross_entropy"} <= set(names):
        lines.append(
            "- **The penalty.** `val_loss` contains each network's own L2 term, which is not an error that it makes; "
            "`val_cross_entropy` does not contain it."
        )
    if any(ranking.by_best_epoch for ranking in criteria.rankings):
        lines.append(
            "- **The stopping time.** A settled value judges a run as it is at the end; the value of its best epoch is "
            "what early stopping would have kept."
        )
    has_accuracy = any("acc" in name for name in names)
    if has_accuracy and any("loss" in name or "entropy" in name for name in names):
        lines.append(
            "- **The metric.** An accuracy asks only which class comes first, a loss also how sure the model is of it."
        )
    return "\n".join(lines)


def criteria_compared(criteria: Criteria) -> str:
    """Say which configurations each criterion would put ahead of the choice, and where stopping earlier matters."""
    chosen = criteria.choice.chosen
    if chosen is None:
        return ""
    lines = []
    for ranking in criteria.rankings:
        ahead = criteria.ahead(ranking)
        if ahead:
            more = f"ahead of {plain(chosen)} by more than chance explains"
            if any(ranking.verdict.borrows(name) for name in (*ahead, chosen)):
                more += ", as far as the deviation holds that single runs borrow from others"
            best = f"{plain(ahead[0])} ({written(ranking.values[ahead[0]])})"
            names = [Markdown(best), *ahead[1:]]
            lines.append(f"- By {plain(ranking.what)}, {listed(names)} {are(ahead)} {more}.")
    if criteria.stopping is not None:
        lines.append(f"- {when_to_stop(criteria.stopping)}")
    return "\n".join(lines)


def are(names: Collection[str]) -> str:
    """Return the verb that fits so many names."""
    if len(names) == 1:
        return "is"
    return "are"


def when_to_stop(stopping: Stopping) -> str:
    """Say for which run it matters most when it is stopped."""
    best = f"was best at epoch {stopping.epoch}, {written(stopping.best)}"
    whose = f"the run {plain(stopping.run)}: its {plain(stopping.metric)}"
    return f"The stopping time matters most for {whose} {best}, and settled at {written(stopping.settled)}."


def criteria_line(criteria: Criteria) -> str:
    """Say whether another criterion would choose otherwise, and what is ahead by it."""
    if not criteria.is_comparable:
        return ""
    parts = []
    for name, whats in criteria.otherwise.items():
        parts.append(f"by {listed(whats)} it would be {plain(name)}")
    ahead = [told for ranking in criteria.rankings if (told := ahead_in_words(criteria, ranking))]
    if ahead:
        each = "each " if len(ahead) > 1 else ""
        ahead[-1] += f", {each}by more than chance explains"
    parts += ahead
    if parts:
        return f"**Another criterion would choose otherwise:** {'; '.join(parts)}."
    whats = [ranking.what for ranking in criteria.rankings]
    return f"**Each criterion chooses the same:** {listed(whats)}."


def ahead_in_words(criteria: Criteria, ranking: Ranking) -> str:
    """Say what is ahead of the choice by a criterion, as in "6 networks with l2 0.0 have a lower val_loss"; empty if nothing.

    What the criterion would choose is left out, since that is said already.
    """
    names = [name for name in criteria.ahead(ranking) if name not in criteria.otherwise]
    if not names:
        return ""
    have = "have"
    if len(names) == 1:
        have = "has"
    who = who_they_are(criteria.results, names, str(criteria.choice.chosen))
    return f"{who} {have} a {ranking.metric.better} {plain(ranking.what)}"


def who_they_are(results: Results, names: Sequence[str], chosen: str) -> str:
    """Say which configurations these are: by name where they are few, else by what they share and the choice does not."""
    if len(names) <= FEW:
        return listed(names)
    noun = "networks"
    if not results.sizes:
        noun = "configurations"
    given = results.parameters.given
    shared = []
    for parameter in results.parameters.factors:
        values = {str(given[name].get(parameter)) for name in names}
        if len(values) == 1 and values != {str(given[chosen].get(parameter))}:
            shared.append(plain(f"{parameter} {values.pop()}"))
    if shared:
        return f"{len(names)} {noun} with {enumerated(shared)}"
    return f"{len(names)} {noun} ({listed(names, most=NAMED_OF_MANY)})"
