"""The answer at the top of the page, and its conclusion: the lines that say what the other sections found."""

from __future__ import annotations

from dataclasses import dataclass

from nbstudy.decision.elimination import Choice
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
from nbstudy.report.rankings import top_rung
from nbstudy.report.test_set import (
    Opened,
    deciding_at_last,
    in_short,
    last_epoch,
    what_failed,
    what_is_tested,
)
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
        runner_up_line(answer.chosen.choice),
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
        lines.append(f"**Why.** {joined(choice_made(chosen), runner_up_line(chosen.choice))}")
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
        missing = why_nothing_decides(results, deciding_at_last(results)) or where_rungs_stand(results)
        return f"**No configuration can be chosen yet**: {missing or 'no run can be judged'}."
    what = f"**{link(results.runs[name])} is chosen**{chosen_from(chosen)}: {what_it_is(chosen, name)}."
    return joined(what, how_likely_it_is_best(chosen.contest, name))


def where_rungs_stand(results: Results) -> str:
    """Say what the rung that is under way waits for; empty where there are none."""
    top = top_rung(results)
    if results.halving is None or top is None:
        return ""
    where = f"rung {len(results.rounds)} of {len(results.halving.rungs)}"
    if top.waits_for:
        return f"{where} waits for {listed(top.waits_for)}"
    return f"on {where} all have diverged"


def chosen_from(chosen: Chosen) -> str:
    """Say what a choice is from, by name where these are few; of rungs, from how many they began with."""
    results = chosen.results
    if results.halving is not None:
        return f" from {len(results.halving.candidates):,} candidates"
    names = [name for name in results.rounds[-1].candidates if name in chosen.verdict.costs]
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
    return f"{among} {odds_in_words(contest.odds[name])}."


def over_epochs(results: Results) -> str:
    """Say over which epochs the last round judges, where these are not all."""
    last = results.rounds[-1]
    epochs = last.epochs
    if not epochs or not results.is_by_epoch(last.metric):
        return ""
    return f" over the first {epochs} epochs"


def runner_up_line(choice: Choice) -> str:
    """Say how far the next best candidate is from the choice, or the choice from the best."""
    verdict = choice.verdict
    if choice.chosen is None or len(verdict.finite) < 2:
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
