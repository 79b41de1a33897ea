"""The section "Which one is best": what is chosen, why, how sure that is, and what would make it surer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from nbstudy.decision.elimination import Choice, Verdict
from nbstudy.decision.metrics import written
from nbstudy.decision.odds import Odds, odds_of
from nbstudy.decision.power import MOST_REPLICATES, POWER, replicates_needed
from nbstudy.decision.race import End
from nbstudy.markdown import Markdown, code, plain
from nbstudy.records.reading import field_of
from nbstudy.records.results import Results
from nbstudy.records.rounds import Round, has_original, runs_in
from nbstudy.report.curves import Curve, Scale, curves_of, joined, padded, within_reach
from nbstudy.report.dots import draw_ranking
from nbstudy.report.figures import WIDTH, axis_label, set_margins, show_figures
from nbstudy.report.labels import SMALLER, width_of
from nbstudy.report.lines import draw_lines
from nbstudy.report.looks import Look, dimmed
from nbstudy.report.markdown import listed, show_texts, table_of_many
from nbstudy.report.phrases import borrowed, comparison_cells, decision, interval, link, probability
from nbstudy.report.rounds import are_ranked
from nbstudy.study.configurations import SEED, replicate_of
from nbstudy.study.study_file import as_yaml
from nbstudy.words import duration

CHOICE_WIDTH = 3.4  # of what runs settled at, beside the curves
FIRST_REPLICATES = 3  # what to begin with where there are none


@dataclass(frozen=True, eq=False)
class Contest:
    """The candidates of a round, and what they settled at."""

    each: Round
    verdict: Verdict
    title: str  # of what runs come to
    is_by_epoch: bool
    curves: list[Curve]  # of the candidates that are finite, best first

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
        contest = contest_of(results, last, choice.verdict)
    return Chosen(results, choice, contest)


def contest_of(results: Results, each: Round, verdict: Verdict) -> Contest:
    """Return what the candidates of a round settled at."""
    curves = curves_of(
        results, list(verdict.finite), verdict, each.metric, each.epochs, runs_in(results, each)
    )
    return Contest(each, verdict, results.title(each.metric), results.is_by_epoch(each.metric), curves)


def show(chosen: Chosen, looks: Mapping[str, Look]) -> None:
    """Show the candidates, and say which is chosen and why; nothing where none is."""
    if chosen.contest is None or chosen.choice.chosen is None:
        return
    how = how_it_is_chosen(chosen.results, chosen.contest)
    if is_drawn_already(chosen.contest, looks) and not chosen.contest.odds:
        show_texts("## Which one is best", f"{how} The figure of the last round shows them.")
    else:
        show_texts("## Which one is best", f"{how} {what_to_look_for(chosen.contest)}".rstrip())
        draw(chosen.contest, looks)
        show_figures()
    show_texts(table_of_choice(chosen), choice_made(chosen), more_replicates(chosen))


# --- the figure ---
def draw(contest: Contest, looks: Mapping[str, Look]) -> Axes | None:
    """Draw the last half of the candidates' curves, and beside it what each run and their mean settled at.

    A band reaches from the lowest to the highest replicate. Without epochs, or where there is no room for the names,
    it is a ranking instead; None where nothing is finite.
    """
    verdict, metric = contest.verdict, contest.each.metric
    if not verdict.finite:
        return None
    given = contest.curves
    if is_ranking(contest, looks):
        label = axis_label(metric, contest.title)
        odds = {name: f", best with {probability(each.best)}" for name, each in contest.odds.items()}
        return draw_ranking(given, verdict, label, looks, verdict.dropped, odds)

    longest = max(curve.raw.index[-1] for curve in given)
    looks = dimmed(looks, verdict.dropped)
    shares = [WIDTH - CHOICE_WIDTH, CHOICE_WIDTH]
    left: Axes
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.0), width_ratios=shares, sharey=True)
    set_margins(figure, left=0.75, right=0.1, bottom=0.7, top=0.3)
    figure.subplots_adjust(wspace=0.05)
    draw_lines(left, given, looks, scale_of_choice(given, verdict))
    left.set(xlabel="epoch", ylabel=axis_label(metric), xlim=(longest // 2, longest))
    for place, curve in enumerate(given):
        draw_settled(right, place, curve, verdict.half_width(curve.name), looks[curve.name].colour)
        if curve.name in contest.odds:
            right.annotate(
                probability(contest.odds[curve.name].best),
                (place, 1.02),
                xycoords=right.get_xaxis_transform(),
                ha="center",
                fontsize=SMALLER,
                color=looks[curve.name].colour,
            )
    right.set_xticks(range(len(given)), [looks[curve.name].label for curve in given])
    right.set(xlim=(-0.6, len(given) - 0.4), xlabel="settled: each run, and the mean\nwith its 95 % interval")
    return left


def is_ranking(contest: Contest, looks: Mapping[str, Look]) -> bool:
    """Tell whether the candidates are ranked: without epochs, or where there is no room for their names below an axis."""
    longest = max([curve.raw.index[-1] for curve in contest.curves], default=0)
    names_width = sum(width_of(looks[curve.name].label) + 0.15 for curve in contest.curves)
    return not contest.is_by_epoch or longest < 2 or names_width > CHOICE_WIDTH


def is_drawn_already(contest: Contest, looks: Mapping[str, Look]) -> bool:
    """Tell whether the figure of the round that decided is the same ranking."""
    return is_ranking(contest, looks) and are_ranked(contest.each, contest.curves)


def draw_settled(axes: Axes, place: float, curve: Curve, half_width: float, colour: str) -> None:
    """Draw what each run settled at, small, and beside it their mean with its interval."""
    axes.plot([place - 0.12] * len(curve.settled), curve.settled, "o", color=colour, markersize=4, alpha=0.5)
    axes.plot(place + 0.08, curve.value, "o", color=colour, markersize=7)
    if math.isfinite(half_width):
        axes.errorbar(place + 0.08, curve.value, half_width, color=colour, linewidth=1.8, capsize=3)


def scale_of_choice(curves: Sequence[Curve], verdict: Verdict) -> Scale:
    """Return the scale that fits the survivors' bands in the last half of the epochs, and their intervals."""
    last = max(curve.raw.index[-1] for curve in curves)
    extents = []
    for curve in curves:
        if curve.name not in verdict.dropped:
            late = curve.medians.loc[last // 2 + 1 :].stack()
            width = np.nan_to_num(verdict.half_width(curve.name))
            extents.append((curve.value - width, curve.value + width))
            if len(late):
                extents.append((late.min(), late.max()))
    low, high = joined(extents)
    return padded(low, high, within_reach(low, high, [curve.end for curve in curves]))


# --- the table ---
def table_of_choice(chosen: Chosen) -> str:
    """Show the candidates that can be chosen, with the means and intervals that the choice compares."""
    results, verdict, contest = chosen.results, chosen.verdict, chosen.contest
    if contest is None:
        return ""
    metric = contest.each.metric
    rows = []
    for name, cost in verdict.finite.items():
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
            row["best with"] = probability(contest.odds[name].best)
            row["loses on average"] = written(contest.odds[name].loss)
        row |= comparison_cells(name, verdict)
        row["rule"] = decision(name, verdict)
        row["note"] = ""
        if name != verdict.best:
            row["note"] = borrowed(name, verdict)
        rows.append(row)
    return table_of_many(rows)


# --- the sentences ---
def how_it_is_chosen(results: Results, contest: Contest) -> str:
    """Explain the choice."""
    candidates = "The choice is among the candidates of the last round, as that round judges them:"
    if contest.each.lap is not None:
        candidates = "The choice is among the candidates of the last lap of the race, as it ended:"
    if results.sizes:
        chosen = (
            f"{candidates} of all that the rule keeps, the smallest network, that is the one with the fewest weights, "
            "because what chance explains is no reason to pay for more. Beside it stands the choice of the "
            "one-standard-error rule (Breiman, Friedman, Olshen and Stone, 1984): the smallest whose mean is within one "
            "standard error of the best mean."
        )
    else:
        chosen = f"{candidates} of all that the rule keeps, the one with the best value."
    if contest.odds:
        chosen += (
            " The odds say more than a verdict does: with which probability each that is kept is the best of them, and "
            "how much worse than the best of them it is on average, as far as these runs tell it."
        )
    return chosen


def what_to_look_for(contest: Contest) -> str:
    """Say what the figure of the choice shows."""
    if contest.is_by_epoch:
        return (
            "In the figure the last half of the curves is on the left, replicates in a band; on the right, on "
            "the same vertical axis, is what each run settled at, and the mean with its 95 % interval. The number above it "
            "is the probability that it is the best. An interval is of one mean alone: two that overlap may still differ "
            "by more than chance explains, which the table below says."
        )
    if contest.verdict.noise.is_known:
        return (
            "In the figure, the interval of a mean is of that alone: two that overlap may still differ by more than chance "
            "explains, which the table below says."
        )
    return ""


def choice_made(chosen: Chosen) -> str:
    """Say what is chosen from what and why, what another rule would choose, and what the original was left with."""
    results, choice = chosen.results, chosen.choice
    if choice.chosen is None:
        return "No run can be judged yet, so none is chosen."
    sentences = []
    if len(choice.verdict.costs) > 1:
        sentences.append(f"The candidates are {candidates_in_words(results)}.")
    sentences.append(why_it_is_chosen(chosen))
    if results.sizes and choice.within_one_error == choice.chosen:
        sentences.append("The one-standard-error rule chooses it, too.")
    elif results.sizes:  # without, that rule chooses the best
        sentences.append(f"The one-standard-error rule chooses {plain(choice.within_one_error)}.")
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


def candidates_in_words(results: Results) -> str:
    """Say what the choice is made from."""
    last = results.rounds[-1]
    return f"those of the last round, *{plain(last.title)}*: {listed(last.candidates)}"


def more_replicates(chosen: Chosen) -> str:
    """Say how many replicates would tell the two best apart, and the line for the study file, where that is open."""
    results, verdict = chosen.results, chosen.verdict
    if chosen.choice.chosen is None or len(verdict.kept) < 2 or chosen.is_tie:
        return ""
    first, second, *_ = verdict.kept
    if type(field_of(results.record, "defaults", dict).get(SEED)) is not int:
        return f"A parameter `{SEED}: int = 0` in the template would allow replicates, which say how much is chance."
    if SEED in results.overrides:
        return (
            f"Without `-p {SEED}`, which gives all runs the same one, replicates can say how much is chance."
        )
    if verdict.noise.is_guess or not verdict.noise.is_known:
        line = study_lines(results, first, second, FIRST_REPLICATES)
        return f"There are no replicates, so nobody knows how much is chance. To know it, {line}."
    if not verdict.excess[second]:
        return ""
    number = chosen.replicates_needed
    apart = f"To tell {plain(first)} and {plain(second)} apart at the difference seen, {written(verdict.excess[second])},"
    if number is None:
        return f"{apart} takes more than {MOST_REPLICATES:,} runs of each: for practical purposes they are equally good."
    more = 2 * number - verdict.runs[first] - verdict.runs[second]
    minutes = (results.runs[first].minutes + results.runs[second].minutes) / 2 * more
    cost = f"{more} more than there are, about {duration(minutes, digits=0)} of computing"
    chance = f"with a chance of {POWER:.0%}"
    return f"{apart} {chance} takes about {number} runs of each ({cost}): {study_lines(results, first, second, number)}."


def study_lines(results: Results, first: str, second: str, number: int) -> str:
    """Say what to write into the study file for so many runs of two configurations."""
    lines = (
        lines_of_race(results, number)
        or lines_of_rungs(results, number)
        or lines_of_configurations(results, [first, second], number)
    )
    return f"write {lines} in the study file, and run it again"


def lines_of_race(results: Results, number: int) -> str:
    """Say which laps would give those that are left in a race so many runs; empty without one."""
    race = results.race
    if race is None:
        return ""
    replicates = [*race.plan.replicates, number]
    lines = f"`replicates: {sorted({*replicates})}`"
    if math.isfinite(race.plan.budget):
        lines += " and a larger budget"
    return f"{lines} into the race"


def lines_of_rungs(results: Results, number: int) -> str:
    """Say which rung would give its survivors so many runs; empty where none could: a last one follows another."""
    halving = results.halving
    if halving is None:
        return ""
    if len(halving.rungs) > 1:
        return f"`replicates: {number}` into the last rung"
    if len(halving.candidates) > 2:
        epochs = halving.rungs[0].epochs
        return f"`keep: 2` into the rung, and after it a rung `{{epochs: {epochs}, replicates: {number}}}`,"
    return ""


def lines_of_configurations(results: Results, names: Sequence[str], number: int) -> str:
    """Say which lines give configurations so many runs; one that a row of the grid makes is extended by another."""
    own, others = [], []
    for name, label in zip(names, ("best", "second"), strict=True):
        if can_say_replicates(results, name, number):
            own.append(name)
        else:
            others += extending(results, name, label, number)
    texts = []
    if own:
        texts.append(Markdown(f"`replicates: {number}` into {listed(own)}"))
    if others:
        texts.append(Markdown(f"{listed(map(code, others))} under `configurations`"))
    return listed(texts)


def can_say_replicates(results: Results, name: str, number: int) -> bool:
    """Tell whether a configuration stands in the study file, and its replicates would be no other runs that there are."""
    has = field_of(results.record, "replicable", dict).get(name)
    if not isinstance(has, int) or repeats_itself(results, name, number):
        return False
    return not any(replicate_of(name, seed) in results.runs for seed in range(has, number))


def repeats_itself(results: Results, name: str, number: int) -> bool:
    """Tell whether one of so many replicates of a configuration would have its own seed."""
    return results.runs[name].parameters.get(SEED) in range(1, number)


def extending(results: Results, name: str, label: str, number: int) -> list[str]:
    """Return lines of a study file that give a configuration more runs, whatever makes it."""
    free = label
    while any(run.casefold().startswith(free) for run in results.runs):
        free += "_"
    if repeats_itself(results, name, number):
        return [
            f"{free}: {{extends: {as_yaml(name)}, {SEED}: 0}}",
            f"{free}_again: {{extends: {free}, replicates: {number}}}",
        ]
    return [f"{free}: {{extends: {as_yaml(name)}, replicates: {number}}}"]
