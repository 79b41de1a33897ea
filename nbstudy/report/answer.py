"""The answer at the top of the page: what is chosen, how sure that is, what speaks against it, what the test set says."""

from __future__ import annotations

from dataclasses import dataclass

from nbstudy.decision.halving import Stage
from nbstudy.decision.metrics import written
from nbstudy.markdown import plain
from nbstudy.records.results import Results
from nbstudy.report.choice import Chosen, Contest
from nbstudy.report.criteria import Criteria, criteria_line
from nbstudy.report.markdown import listed, show_texts
from nbstudy.report.phrases import (
    interval,
    link,
    loss_in_words,
    probability,
    why_nothing_decides,
)
from nbstudy.report.race import how_it_ended, what_it_waits_for
from nbstudy.report.rankings import candidates_of_choice, comparable
from nbstudy.report.test_set import (
    Opened,
    compare_with_validation,
    deciding_at_last,
    in_short,
    what_failed,
    what_is_tested,
)
from nbstudy.study.halving import Halving
from nbstudy.words import counted, duration, enumerated


@dataclass(frozen=True, eq=False)
class Answer:
    """What the sections found that the answer is made of."""

    chosen: Chosen
    criteria: Criteria
    opened: Opened

    @property
    def results(self) -> Results:
        """What the study left."""
        return self.chosen.results


def show(answer: Answer) -> None:
    """Show the answer."""
    show_texts(write(answer))


def write(answer: Answer) -> str:
    """Return the answer in four lines at most."""
    lines = [
        chosen_line(answer.chosen),
        sure_line(answer.chosen),
        criteria_line(answer.criteria),
        line_of_test_set(answer.opened),
    ]
    return "\n>\n".join(f"> {line}" for line in lines if line)


# --- the lines ---
def chosen_line(chosen: Chosen) -> str:
    """Say what was chosen, its value, and what it costs."""
    results, name = chosen.results, chosen.choice.chosen
    if name is None or chosen.contest is None:
        missing = why_nothing_decides(results, deciding_at_last(results)) or where_it_stands(results)
        return f"**No configuration can be chosen yet**: {missing or 'no run can be judged'}."
    return f"**{link(results.runs[name])} is chosen**{chosen_from(chosen)}: {what_it_is(chosen, name)}."


def where_it_stands(results: Results) -> str:
    """Say what the rung or the lap that is under way waits for; empty where there are none."""
    for last in results.rounds[-1:]:
        if last.lap is not None and results.race is not None:
            if last.lap.waits_for:
                return what_it_waits_for(results.race, last.lap)
            return "in the race all have diverged"
        if last.stage is not None and results.halving is not None:
            return where_a_rung_stands(results.halving, last.stage)
    return ""


def where_a_rung_stands(halving: Halving, stage: Stage) -> str:
    """Say what a rung waits for, or that none has come through."""
    where = f"rung {halving.rungs.index(stage.rung) + 1} of {len(halving.rungs)}"
    if stage.waits_for:
        return f"{where} waits for {listed(stage.waits_for)}"
    return f"on {where} all have diverged"


def chosen_from(chosen: Chosen) -> str:
    """Say from how many a choice is, with how many of them the last round began; of rungs, and of a race, from how many."""
    results = chosen.results
    if results.halving is not None:
        return f" from {len(results.halving.candidates):,} candidates"
    if results.race is not None:
        return f" from {len(candidates_of_choice(results)):,} candidates"
    number = len([name for name in results.rounds[-1].candidates if name in chosen.verdict.costs])
    everyone = len(set(comparable(results)) & set(results.complete))
    if everyone < 2:
        return ""
    if number == everyone:
        return f" from {number:,} configurations"
    return f" from {everyone:,} configurations, of which {number:,} came to the last round"


def what_it_is(chosen: Chosen, name: str) -> str:
    """Say the value of the choice with its interval, its weights and its minutes."""
    results, verdict = chosen.results, chosen.verdict
    run = results.runs[name]
    metric = results.rounds[-1].metric
    value = metric.value(verdict.costs[name])
    sure = counted(verdict.runs[name], "run")
    between = interval(verdict, name, metric)
    if between:
        over = " over seeds"
        if verdict.noise.is_guess:  # within the epochs of a run
            over = ""
        sure = f"95 % interval{over} {between}, {sure}"
    title = plain(results.title(metric))
    words = [f"{title}{over_epochs(results)} {written(value)} ({sure})"]
    if run.weights is not None:
        words.append(f"{run.weights:,} weights")
    if run.minutes:
        words.append(f"{duration(run.minutes)} a run")
    return ", ".join(words)


def over_epochs(results: Results) -> str:
    """Say over which epochs the last round judges, where these are not all."""
    last = results.rounds[-1]
    epochs = last.epochs
    if not epochs or not results.is_by_epoch(last.metric):
        return ""
    return f" over the first {epochs} epochs"


def sure_line(chosen: Chosen) -> str:
    """Say how far the next best candidate is from the choice, or the choice from the best, and what the odds are.

    Of a race, say how it ended.
    """
    verdict, name, race = chosen.verdict, chosen.choice.chosen, chosen.results.race
    if name is None or chosen.contest is None:
        return ""
    if race is not None and chosen.contest.each.lap is not None:
        return how_it_ended(race, chosen.contest.each.lap) + odds_in_short(chosen.contest, name)
    if len(verdict.finite) < 2:
        return ""
    best, second, *_ = verdict.finite
    if name != best:
        allowed = written(verdict.compare(name, best).allowed)
        better = f"{plain(best)} is better by {written(verdict.excess[name])}, and chance explains {allowed}"
        why = "so the smaller network is chosen"
        return f"**Too close to call:** {better}, {why}.{odds_in_short(chosen.contest, best, name)}"
    excess = written(verdict.excess[second])
    worse = f"{plain(second)} is worse by {excess}"
    if not verdict.noise.is_known:
        return f"**How sure is unknown:** {worse}, and nobody knows how much is chance."
    for rival in (each for each in verdict.finite if each != name and not verdict.drops(each)):
        allowed = written(verdict.compare(rival, name).allowed)
        explained = (
            f"{plain(rival)} is worse by {written(verdict.excess[rival])}, and chance explains {allowed}"
        )
        return f"**Too close to call:** {explained}.{odds_in_short(chosen.contest, name)}"
    least = verdict.against[second].allowed
    return f"**Clearly the best:** {plain(second)} comes next, worse by {excess}, where chance explains {written(least)} at most."


def odds_in_short(contest: Contest, *names: str) -> str:
    """Say with which probability these are the best, and what one loses on average by the last; empty where unknown."""
    if not all(name in contest.odds for name in names):
        return ""
    odds = [f"{plain(name)} {probability(contest.odds[name].best)}" for name in names]
    loss = loss_in_words(contest.odds[names[-1]], contest.verdict.costs[names[-1]])
    return f" The odds of being the best: {enumerated(odds)}; with {plain(names[-1])} one loses {loss} on average."


def line_of_test_set(opened: Opened) -> str:
    """Say what the test set says of which model, or why it stays shut."""
    if not opened.results.test:
        return ""
    if opened.shut:
        reason = opened.shut.partition(";")[0]  # the cure is where the test set is evaluated
        return f"**The test set stays shut:** {plain(reason)}."
    if opened.failed:
        return what_failed(opened.failed)
    if opened.tested is None or not opened.tested.numbers:
        return f"The test set was opened for {what_is_tested(opened)}, and no number came of it."
    whose = "that"
    if len(opened.tested.numbers) > 1:
        whose = "those"
    line = f"{in_short(opened.tested)}, {whose} of {what_is_tested(opened)}"
    beside = compare_with_validation(opened)
    if beside is not None and not beside.agrees:
        line += f"; that and the {written(beside.value)} of the validation data do not agree within their intervals"
    number = len(opened.openings)
    if number > 1:
        return f"{line}; **the test set was opened {number} times**, so be suspicious of it."
    return f"{line}."
