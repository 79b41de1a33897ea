"""The section "Why this one": among whom the choice is, what the rule says of them, and what chance does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nbstudy.decision.elimination import Choice, Verdict
from nbstudy.decision.odds import Odds, number_of_draws, odds_of
from nbstudy.decision.power import replicates_needed
from nbstudy.decision.race import End
from nbstudy.markdown import plain
from nbstudy.records.results import Results
from nbstudy.records.rounds import Round, has_original
from nbstudy.report.markdown import joined, listed, show_texts, table_of_many
from nbstudy.report.phrases import interval, judged_cells, link, loss_in_words, noise_in_words, probability

ONE_ERROR = (
    "The one-standard-error rule (Breiman, Friedman, Olshen and Stone, 1984), the smallest whose mean is within one "
    "standard error of the best,"
)


@dataclass(frozen=True, eq=False)
class Contest:
    """The candidates of the last round."""

    each: Round
    verdict: Verdict
    title: str  # of what runs come to

    @cached_property
    def odds(self) -> dict[str, Odds]:
        """The odds of the candidates that the rule keeps; none where nobody knows how much is chance."""
        odds = odds_of(self.verdict)
        return {name: odds[name] for name in self.verdict.kept if name in odds}


@dataclass(frozen=True, eq=False)
class Chosen:
    """What there is to say of the choice."""

    results: Results
    choice: Choice
    contest: Contest | None  # that decided; None where there is no round

    @property
    def verdict(self) -> Verdict:
        """What the rule says of the candidates."""
        return self.choice.verdict

    @property
    def is_tie(self) -> bool:
        """Whether a race found that those that are left are equally good."""
        if self.contest is None or self.contest.each.lap is None:
            return False
        return self.contest.each.lap.end is End.TIE

    @property
    def is_smaller(self) -> bool:
        """Whether the choice has fewer weights than others that the rule keeps, so that these decide."""
        known = self.results.sizes
        sizes = {known[name] for name in self.verdict.kept if name in known}
        return self.choice.chosen in known and len(sizes) > 1

    @property
    def left_by_original(self) -> list[str]:
        """What the original had not dropped after its last round; none where there is no original."""
        if not has_original(self.results.rounds):
            return []
        last = self.results.rounds[-1]
        return [name for name in last.candidates if name not in last.originally_dropped]

    @cached_property
    def replicates_needed(self) -> int | None:
        """How many runs each of the two best needs to be told apart; None where no number does it."""
        return replicates_needed(self.verdict)


def compute(results: Results) -> Chosen:
    """Choose among the candidates of the last round."""
    choice = results.choose()
    contest = None
    for last in results.rounds[-1:]:
        contest = Contest(last, choice.verdict, results.title(last.metric))
    return Chosen(results, choice, contest)


def show(chosen: Chosen) -> None:
    """Show the candidates, and say why which is chosen; nothing where none is."""
    show_texts(write(chosen))


def write(chosen: Chosen) -> str:
    """Return the section; empty where none is chosen."""
    contest = chosen.contest
    if contest is None or chosen.choice.chosen is None:
        return ""
    parts = [
        "## Why this one",
        how_it_is_chosen(chosen.results, contest),
        table_of_choice(chosen),
        joined(choice_made(chosen), noise_in_words(chosen.verdict.noise), what_intervals_say(contest)),
    ]
    return "\n\n".join(filter(None, parts))


# --- the table ---
def table_of_choice(chosen: Chosen) -> str:
    """Show the candidates that can be chosen, with the means and intervals that the choice compares."""
    results, verdict, contest = chosen.results, chosen.verdict, chosen.contest
    if contest is None:
        return ""
    metric = contest.each.metric
    compared = [name for name in verdict.finite if name != verdict.best and name in verdict.against]
    others = {verdict.against[name].other for name in compared}

    def row_of(name: str) -> dict[str, Any]:
        cost = verdict.costs[name]
        row: dict[str, Any] = {"configuration": link(results.runs[name])}
        row["weights"] = results.runs[name].weights
        row["minutes"] = f"{results.runs[name].minutes:.1f}"
        row[contest.title] = metric.value(cost)
        over = " over seeds"
        if verdict.noise.is_guess:  # within the epochs of a run
            over = ""
        row[f"95 % interval{over}"] = interval(verdict, name, metric)
        row["runs"] = verdict.runs[name]
        if name in contest.odds:
            row["odds"] = probability(contest.odds[name].best)
            row["loses"] = loss_in_words(contest.odds[name], cost)
        row |= judged_cells(name, verdict)
        if others <= {verdict.best}:  # which the sentence above the table says
            row["than"] = None
        return row

    return table_of_many([*verdict.finite], row_of)


# --- the sentences ---
def how_it_is_chosen(results: Results, contest: Contest) -> str:
    """Explain the choice."""
    candidates = f"Of the candidates of the last round, *{plain(contest.each.title)}*,"
    if contest.each.lap is not None:
        candidates = "Of the candidates of the race, as it ended,"
    if not results.sizes:
        return f"{candidates} the best is chosen of all that the rule keeps."
    return (
        f"{candidates} the smallest network is chosen of all that the rule keeps: what chance explains is no reason to "
        "pay for more weights."
    )


def what_intervals_say(contest: Contest) -> str:
    """Say what intervals are of, and what odds are, where there are some."""
    if not contest.odds:
        return ""
    told = (
        "An interval is of one mean alone: two that overlap may still differ by more than chance explains. *Odds* are the "
        "probability that one is the best of these, *loses* is how much worse than the best it is on average."
    )
    candidates = len(contest.verdict.finite)
    if number_of_draws(candidates) < number_of_draws(2):
        told += (
            f" As these are {candidates:,}, both are found from {number_of_draws(candidates):,} draws alone."
        )
    return told


def choice_made(chosen: Chosen) -> str:
    """Say what is chosen and why, what another rule would choose, and what the original was left with."""
    results, choice = chosen.results, chosen.choice
    if choice.chosen is None:
        return "No run can be judged yet, so none is chosen."
    sentences = [why_it_is_chosen(chosen)]
    if results.sizes and choice.within_one_error == choice.chosen:
        sentences.append(f"{ONE_ERROR} chooses it, too.")
    elif results.sizes:  # without, that rule chooses the best
        sentences.append(f"{ONE_ERROR} chooses {plain(choice.within_one_error)}.")
    if chosen.left_by_original:
        sentences.append(f"The original was left with {listed(chosen.left_by_original)}.")
    return " ".join(sentences)


def why_it_is_chosen(chosen: Chosen) -> str:
    """Say what makes the choice better than others that the rule keeps."""
    verdict, name = chosen.verdict, chosen.choice.chosen
    if not verdict.noise.is_known and len(verdict.finite) > 1:
        unknown = "As nobody knows how much is chance, the best value counts"
        return f"{unknown}, that of **{plain(name)}**: **it is the choice**."
    if len(verdict.kept) == 1:
        return f"The rule keeps **{plain(name)}** alone: **it is the choice**."
    what = "the best"
    if chosen.is_smaller:
        what = "the smallest"
    return (
        f"Of what the rule keeps, {listed(verdict.kept)}, **{plain(name)}** is {what}: **it is the choice**."
    )
