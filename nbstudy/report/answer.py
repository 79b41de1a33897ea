"""The answer at the top of the page, and its conclusion: the lines that say what the other sections found."""

from __future__ import annotations

from dataclasses import dataclass

from nbstudy.decision.halving import Stage
from nbstudy.decision.metrics import written
from nbstudy.markdown import plain
from nbstudy.records.results import Results
from nbstudy.report.choice import Chosen, Contest, choice_made, more_replicates
from nbstudy.report.criteria import Criteria, criteria_line
from nbstudy.report.markdown import joined, listed, show_texts
from nbstudy.report.original import Unseen
from nbstudy.report.original import write as what_the_original_could_not_see
from nbstudy.report.phrases import (
    interval,
    link,
    noise_in_words,
    odds_in_words,
    why_nothing_decides,
)
from nbstudy.report.race import how_it_ended, what_it_waits_for
from nbstudy.report.rankings import candidates_of_choice
from nbstudy.report.test_set import (
    Opened,
    deciding_at_last,
    in_short,
    last_epoch,
    what_failed,
    what_is_tested,
)
from nbstudy.study.halving import Halving
from nbstudy.words import NAMED, counted, duration, enumerated


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


def write(answer: Answer) -> str:
    """Return the answer in five lines at most, for the top of the page."""
    lines = [
        chosen_line(answer.chosen),
        runner_up_line(answer.chosen),
        criteria_line(answer.criteria),
        line_of_test_set(answer.opened),
        incomplete_line(answer.results),
    ]
    return "\n>\n".join(f"> {line}" for line in lines if line)


def show(answer: Answer, unseen: Unseen | None) -> None:
    """Show the conclusion."""
    show_texts(write_conclusion(answer, unseen))


def write_conclusion(answer: Answer, unseen: Unseen | None) -> str:
    """Say the answer again with its reasons, and what an original elimination could not see."""
    chosen = answer.chosen
    lines = [chosen_line(chosen)]
    if chosen.choice.chosen:
        lines.append(f"**Why.** {joined(choice_made(chosen), runner_up_line(chosen))}")
        sure = joined(noise_in_words(chosen.verdict.noise), more_replicates(chosen))
        lines.append(f"**How sure.** {sure}")
    lines.append(criteria_line(answer.criteria))
    lines.append(line_of_test_set(answer.opened))
    if answer.opened.tested:
        lines.append(last_epoch(answer.opened))
    lines.append(incomplete_line(answer.results))
    parts = ["## Conclusion", "\n".join(f"- {line}" for line in lines if line)]
    original = what_the_original_could_not_see(unseen)
    if original:
        parts += ["### What the original could not see", original]
    return "\n\n".join(parts)


# --- the lines ---
def chosen_line(chosen: Chosen) -> str:
    """Say what was chosen from what, its value, and what it costs."""
    results, name = chosen.results, chosen.choice.chosen
    if name is None or chosen.contest is None:
        missing = why_nothing_decides(results, deciding_at_last(results)) or where_it_stands(results)
        return f"**No configuration can be chosen yet**: {missing or 'no run can be judged'}."
    what = f"**{link(results.runs[name])} is chosen**{chosen_from(chosen)}: {what_it_is(chosen, name)}."
    return joined(what, how_likely_it_is_best(chosen.contest, name))


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
    """Say what a choice is from, by name where these are few; of rungs, from how many they began with."""
    results = chosen.results
    if results.halving is not None:
        return f" from {len(results.halving.candidates):,} candidates"
    names = candidates_of_choice(results)
    if results.race is None:
        names = [name for name in names if name in chosen.verdict.costs]
    if len(names) == 1:
        return ""
    if len(names) > NAMED:
        return f" from {len(names):,} configurations"
    return f" from {listed(names)}"


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
    words = [f"its {title}{over_epochs(results)} is {written(value)} ({sure})"]
    if run.weights is not None:
        words.append(f"it has {run.weights:,} weights")
    if run.minutes:
        words.append(f"a run takes {duration(run.minutes)}")
    return enumerated(words)


def how_likely_it_is_best(contest: Contest, name: str) -> str:
    """Say with which probability the choice is the best, and what one loses on average by it; empty where unknown."""
    if name not in contest.odds or len(contest.verdict.finite) < 2:
        return ""
    among = f"Among the {len(contest.verdict.finite)} of the last round"
    if contest.each.lap is not None:
        among = f"Among the {len(contest.verdict.finite)} of the last lap"
    return f"{among} {odds_in_words(contest.odds[name])}."


def over_epochs(results: Results) -> str:
    """Say over which epochs the last round judges, where these are not all."""
    last = results.rounds[-1]
    epochs = last.epochs
    if not epochs or not results.is_by_epoch(last.metric):
        return ""
    return f" over the first {epochs} epochs"


def runner_up_line(chosen: Chosen) -> str:
    """Say how far the next best candidate is from the choice, or the choice from the best; of a race, how it ended."""
    choice, verdict = chosen.choice, chosen.verdict
    race = chosen.results.race
    if choice.chosen is None or chosen.contest is None:
        return ""
    if race is not None and chosen.contest.each.lap is not None:
        return how_it_ended(race, chosen.contest.each.lap)
    if len(verdict.finite) < 2:
        return ""
    best, second, *_ = verdict.finite
    if choice.chosen != best:
        worse = verdict.excess[choice.chosen]
        close = "too close to call, so the smaller network is chosen"
        return f"The best mean is that of {plain(best)}, better by {written(worse)}: {close}."
    worse = verdict.excess[second]
    if not verdict.noise.is_known:
        return f"The runner-up, {plain(second)}, is worse by {written(worse)}, and nobody knows how much is chance."
    if second in verdict.kept:
        return f"The runner-up, {plain(second)}, is worse by {written(worse)}, which chance explains: too close to call."
    least = verdict.against[second].allowed
    return f"The runner-up, {plain(second)}, is worse by {written(worse)}, where chance explains {written(least)} at most."


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
    number = len(opened.openings)
    if number > 1:
        return f"{line}; **the test set was opened {number} times**, so be suspicious of it."
    return f"{line}."


def incomplete_line(results: Results) -> str:
    """Say what is not complete."""
    if not results.incomplete:
        return ""
    missing = f"{len(results.incomplete)} of {len(results.runs)} configurations"
    return f"**Not complete yet**, so that this may change: {missing} ({listed(results.incomplete, most=6)})."
