"""The rule that decides: in short where the section "Elimination" begins, and in full, with its source, on summary.html.

This is explanation; what the rounds come to is in rounds.py and together.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbstudy.decision.blocks import LEAST_DEGREES, LEAST_SHARED, fit_within_seeds
from nbstudy.decision.critical import ERROR_RATE, critical_value
from nbstudy.decision.elimination import Standing, judge
from nbstudy.decision.halving import RULE
from nbstudy.decision.noise import noise_of
from nbstudy.decision.race import end_of, largest_difference, run_race
from nbstudy.decision.spending import error_rates_of
from nbstudy.markdown import plain
from nbstudy.records.results import Results
from nbstudy.records.rounds import Round, has_original, length_of
from nbstudy.report.markdown import show_texts, source_of
from nbstudy.report.phrases import PAGE, address_of
from nbstudy.study.configurations import SEED
from nbstudy.words import counted, enumerated

IN_SHORT = f"""
## Elimination

A candidate is dropped when another one is better by more than chance explains (a multiple comparison with the best: Hsu, 1981). Chance is what runs differ by that are equal but for their seed. Of all that are compared by one metric{{over}}, the truly best is dropped anywhere in at most {100 * ERROR_RATE:g} % of studies.
"""
THE_RULE = f"""
**The rule** is a multiple comparison with the best (Hsu, 1981). A configuration's value is the mean of what its runs came to: one run, or replicates, which are runs that are equal except for a parameter called `seed`. A candidate is dropped when it is worse than any other by more than `c * s * sqrt(1 / n + 1 / m)`. Here *s* is the standard deviation between replicates, pooled over all replicated configurations of the study, or that between those of the two alone where it is larger; *n* and *m* are the numbers of runs of the two; and *c* is the critical value of Dunnett's comparison of this candidate with all others that are compared by the same metric over the same epochs, in whatever rounds: it grows with their number, and where the two vary more than others do, with how little is known of that.

**What it promises:** of all that are compared by one metric over the same epochs, the truly best is dropped anywhere in at most {100 * ERROR_RATE:g} % of studies, and not in so many of each round. It takes chance to be equally large for all configurations. Where each has three runs or more, that matters little: in simulated studies where deviations are spread up to threefold, or where it alone is three times as noisy as all others, or with tails as heavy as those of Student's t with 3 degrees of freedom, it is dropped in at most 7 %. **A candidate of one run borrows its deviation** from those that have replicates, as its note says, and no promise holds where its own is larger. A candidate of few runs is allowed more, since its mean is less sure; where only that kept it, its note says so. A run whose values are no longer finite is always dropped.
"""


def show(results: Results) -> None:
    """Say in short what the rule does, and where it is explained; nothing where no run left a number."""
    show_texts(in_short(results))


def in_short(results: Results) -> str:
    """Say in short what the rule does; empty where no run left a number."""
    if not results.metrics:
        return ""
    over = ""
    if results.has_epochs:
        over = " over the same epochs"
    return f"{IN_SHORT.strip().format(over=over)} {where_it_is_explained(results)}".strip()


def where_it_is_explained(results: Results) -> str:
    """Say where the rule is explained in full; empty where nothing can be written beside the runs."""
    if not results.is_writable:
        return ""
    address = address_of(results.directory / PAGE)
    return f"[The rule in full, as the computer has it, and each round with its table]({address}#the-rule) are on the page to explore."


def in_full(results: Results) -> str:
    """Explain the rule, what it compares here, and what to be careful of; then show its source."""
    parts = [
        THE_RULE.strip(),
        what_is_compared(results),
        what_seeds_do(results),
        what_rule_needs(results),
        how_rungs_work(results),
        how_a_race_works(results),
        what_to_be_careful_of(results),
        "This is the rule as the computer has it:",
        source_of(*sources_of_the_rule(results)),
    ]
    return "\n\n".join(filter(None, parts))


def sources_of_the_rule(results: Results) -> list[Callable[..., Any]]:
    """Return the functions that decide."""
    sources: list[Callable[..., Any]] = [
        judge,
        Standing.allowed,
        Standing.deviation,
        Standing.degrees,
        critical_value,
        fit_within_seeds,
        noise_of,
    ]
    if results.race is not None:
        sources += [run_race, end_of, largest_difference, error_rates_of]
    return sources


def what_is_compared(results: Results) -> str:
    """Say how many candidates are compared by what, where the rounds are of several kinds."""
    families: dict[str, int] = {}
    for each in results.rounds:
        if each.family is not None:
            what = by_what(results, each)
            number = len(each.family.candidates) + each.family.further
            # the laps of a race are one family, which shrinks
            families[what] = max(number, families.get(what, 0))
    if len(families) < 2:
        return ""
    compared = enumerated(f"{number} candidates {what}" for what, number in families.items())
    return f"In this study the rule compares {compared}. These share the error evenly, as any of them could drop the best."


def what_seeds_do(results: Results) -> str:
    """Explain differences within seeds, where there are runs of several seeds."""
    seeds = {str(run.parameters.get(SEED)) for run in results.runs.values()}
    if len(seeds) <= LEAST_SHARED:
        return ""
    return (
        "**Seeds.** Runs with the same seed have something in common, such as the order of their batches. Where all that are "
        f"compared have {LEAST_SHARED} seeds or more in common, and {LEAST_DEGREES} degrees of freedom are left, their "
        "differences are taken within seeds: a run is its configuration, its seed and the rest, by least squares; *s* is the "
        "deviation of the rest, *c* that for the covariance which this gives, and a configuration with further seeds is "
        "compared as if it had those alone that all share. That depends on which runs there are, never on what comes out."
    )


def by_what(results: Results, each: Round) -> str:
    """Say by which metric a round compares, and over how many epochs where these are not all."""
    metric, epochs = length_of(results, each)
    if epochs is None:
        return f"by {plain(metric)}"
    return f"by {plain(metric)} over {counted(epochs, 'epoch')}"


def what_rule_needs(results: Results) -> str:
    """Explain what the rule does without replicates, and with runs that are not long enough."""
    if not results.has_epochs:
        return ""
    return (
        "Without replicates, the deviation within the settled epochs of the best run stands in for *s*: a guess, and the "
        "sentence below the table says so. A candidate that has not reached the epochs that a round looks at is drawn, "
        "but not judged."
    )


def how_rungs_work(results: Results) -> str:
    """Explain what rungs are, and what the rule has to do with them."""
    if results.halving is None:
        return ""
    text = (
        "**Rungs** (successive halving: Jamieson and Talwalkar, 2016). All candidates are trained for some epochs, the "
        "best of them go on from there, and so on from rung to rung; the others stop. A rung keeps as many as the study "
        "file says, also where chance could have put them in another order: it saves time, and may lose the one that "
        "would have won."
    )
    alone = " alone"
    if any(rung.keep == RULE for rung in results.halving.rungs):
        text += f" One with `keep: {RULE}` keeps what the rule does not drop, as far as `most` allows."
        alone = ""
    if results.race is None:
        text += f" The rule judges the last rung{alone}."
    else:
        text += " Those that are left at last take part in the race."
    if results.halving.rungs[-1].replicates:
        text += (
            " On the last rung each candidate is trained again with new seeds, and these runs alone count, for its value and for "
            "*s*: those that brought it there were chosen for being good, and some of that was luck."
        )
    return text


def how_a_race_works(results: Results) -> str:
    """Explain what a race is, and what it promises."""
    race = results.race
    if race is None:
        return ""
    text = (
        "**The race.** In each lap all candidates that are left get further runs, and have "
        f"{enumerated(map(str, race.plan.replicates))} each; then the rule looks at them, and what it drops runs no more. The "
        "promise holds for all looks together: each judges with an error rate of its own, the higher the more runs it sees, such "
        f"that they reach {100 * ERROR_RATE:g} % together, as a run that counts at one look counts at all later ones. "
        "It ends when one is left, at its last lap, or when the next one would exceed the budget; and in a tie"
    )
    if race.plan.margin:
        text += f", when all that are left differ by {race.plan.margin:g} at most"
    else:
        text += ", when all that are left are equal"
    text += ". By how much they differ at most says what is allowed to the truly best, for which the same promise holds (Hsu, 1984)."
    if race.follows_rungs:
        text += (
            " Its runs have new seeds, and these alone count: those that brought its candidates there were chosen for being "
            "good, and some of that was luck."
        )
    return text


def what_to_be_careful_of(results: Results) -> str:
    """Explain what the notes on candidates warn of."""
    parts = []
    if results.halving is None and results.race is None:
        parts.append(
            "The candidates of a round are those that the study file names: what the rule drops may come again in a "
            "later one. One that differs from the best in two parameters or more is marked: its difference cannot be put "
            "down to one of them."
        )
    if has_original(results.rounds):
        parts.append(
            '"The original" is the elimination that the study file records. A candidate that it had dropped in an '
            "earlier round is marked as brought back. Where it dropped none in its first round, that round is an "
            "overview, in which all are in colour."
        )
    if any(run.environment_changes for run in results.runs.values()):
        parts.append(
            "Some runs were resumed with other libraries or on another processor than they had begun with, as the table "
            "of all runs notes: a difference as small as that between replicates may come from this."
        )
    if not parts:
        return ""
    return " ".join(["**What to be careful of.**", *parts])
