"""The section "What the criterion hides": rankings by other criteria, and what these would choose."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from nbstudy.decision.elimination import Choice
from nbstudy.decision.metrics import Metric, written
from nbstudy.decision.settling import best_epoch, settled
from nbstudy.markdown import Markdown, plain
from nbstudy.records.results import Results
from nbstudy.report.markdown import listed, number, show_texts, table_of_many
from nbstudy.report.rankings import Ranking, rankings_of, watched_metrics

LOOK_FOR = (
    "A ranking is only as good as its criterion, so here are others beside it. Look for names that change their place "
    "much, and for bold ones in one column that are not in another: bold is what the rule would keep."
)


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
                titles.setdefault(str(ranking.chosen), []).append(ranking.title)
        return titles

    def ahead(self, ranking: Ranking) -> list[str]:
        """Return what is ahead of the choice by a criterion by more than chance explains, best first."""
        return ranking.verdict.ahead_of(self.choice.chosen or "")


def compute(results: Results, choice: Choice) -> Criteria:
    """Rank by every criterion."""
    rankings = rankings_of(results)
    return Criteria(results, choice, rankings, stopping_time(results, rankings))


def show(criteria: Criteria) -> None:
    """Show the rankings side by side, and what they would choose; nothing without a choice or another criterion."""
    if criteria.choice.chosen is None or len(criteria.rankings) < 2:
        return
    show_texts(
        "## What the criterion hides",
        LOOK_FOR,
        what_criteria_ask(criteria.results),
        table_of_criteria(criteria.rankings),
        criteria_compared(criteria),
    )


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


# --- the table ---
def table_of_criteria(rankings: Sequence[Ranking]) -> str:
    """Show rankings by several criteria side by side, what each keeps in bold."""
    columns: dict[str, list[Markdown]] = {}
    for ranking in rankings:
        columns[ranking.title] = []
        for name, cost in ranking.verdict.costs.items():
            text = f"{plain(name)} {number(ranking.metric.value(cost)) or 'not finite'}"
            if name not in ranking.verdict.dropped:
                text = f"**{text}**"
            columns[ranking.title].append(Markdown(text))
    rows = []
    for place in range(max(map(len, columns.values()), default=0)):
        row: dict[str, Any] = {"rank": place + 1}
        for title, texts in columns.items():
            if place < len(texts):
                row[title] = texts[place]
        rows.append(row)
    return table_of_many(rows)


# --- the sentences ---
def what_criteria_ask(results: Results) -> str:
    """Explain in what the criteria differ."""
    names = [metric.name for metric in watched_metrics(results)]
    lines = []
    if {"val_loss", "val_cross_entropy"} <= set(names):
        lines.append(
            "- **The penalty.** `val_loss` contains each network's own L2 term, which is not an error that it makes; "
            "`val_cross_entropy` does not contain it."
        )
    if results.is_by_epoch(results.metric):
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
    lines = [criteria_line(criteria), ""]
    for ranking in criteria.rankings:
        ahead = criteria.ahead(ranking)
        if ahead:
            more = f"ahead of {plain(chosen)} by more than chance explains"
            if any(ranking.verdict.borrows(name) for name in (*ahead, chosen)):
                more += ", as far as the deviation holds that single runs borrow from others"
            lines.append(f"- By {plain(ranking.title)}, {listed(ahead)} {are(ahead)} {more}.")
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
    """Say whether another criterion would choose otherwise, and which configurations."""
    if not criteria.is_comparable:
        return ""
    ahead = []
    for ranking in criteria.rankings:
        names = criteria.ahead(ranking)
        if names:
            names[0] += f" ({written(ranking.values[names[0]])})"
            ahead.append(f"{listed(names, most=3)} by {plain(ranking.title)}")
    parts = [f"by {listed(titles)} it would be {plain(name)}" for name, titles in criteria.otherwise.items()]
    if ahead:
        whose = "of all configurations, not the candidates alone, these"
        if criteria.rankings[0].verdict.costs.keys() <= criteria.choice.verdict.costs.keys():
            whose = "these"
        parts.append(f"{whose} are ahead by more than chance explains: {', and '.join(ahead)}")
    if parts:
        return f"**Another criterion would choose otherwise:** {'; '.join(parts)}."
    titles = [ranking.title for ranking in criteria.rankings]
    return f"**Each criterion chooses the same:** {listed(titles)}."
