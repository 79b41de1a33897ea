"""How to read the summary: what its sections show and by which rules, as far as that applies to a study."""

from __future__ import annotations

import math

from nbstudy.decision.elimination import Noise
from nbstudy.records.results import Results


def what_values_are(results: Results) -> str:
    """Explain what a run comes to, where there are epochs to settle over."""
    if not results.has_epochs:
        return ""
    parts = [
        "*Settled* values are means over the last tenth of the epochs looked at, rounded up, so that jumps from one epoch to the next matter less."
    ]
    if results.is_by_epoch(results.metric) and results.metric.better:
        parts.insert(0, "*Best* is the best value of any epoch, that is of any pass over the training data.")
    if {"loss", "val_loss"} <= set(results.curved):
        parts.append(
            "The *gap* is the settled validation loss minus the settled training loss: how much was learned by heart, "
            "that is overfitting."
        )
    return " ".join(parts)


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
        "would have won. The rule judges the last rung alone."
    )
    if results.halving.rungs[-1].replicates:
        text += (
            " There each candidate is trained again with new seeds, and these runs alone count, for its value and for "
            "*s*: those that brought it there were chosen for being good, and some of that was luck."
        )
    return text


def what_figures_show(results: Results) -> str:
    """Explain the figures of the rounds."""
    start = (
        "**The figures.** Survivors are in colour, the dropped in grey, and a configuration has the same colour and "
        "line in all figures. A run that is not complete is named with its state."
    )
    parts = [start]
    if results.has_epochs:
        parts.append(
            "A curve shows one number by epoch. It is drawn twice: thin and pale as it is, strong as its running median, "
            "dashed where the run is not complete. Replicates are one curve, their mean, in a band from the lowest to the "
            "highest of them. The dot beside its end is the settled value, by which the rule decides; a line that ends in "
            "a cross has none. The vertical axis fits the survivors and those within reach of them, and is logarithmic "
            "where these are many times apart; the others leave it where an arrow says so."
        )
    if results.numbers:
        parts.append(
            "A value without epochs is a dot, the best on top, with the 95 % interval of its mean where replicates tell "
            "it; the small dots below it are its runs, and a cross is not judged. The axis fits the survivors and those "
            "within reach of them; an arrow at its edge is further away."
        )
    return " ".join(parts)


def what_to_be_careful_of(results: Results) -> str:
    """Explain what the notes on candidates warn of."""
    parts = []
    if results.halving is None:
        parts.append(
            "The candidates of a round are those that the study file names: what the rule drops may come again in a "
            "later one. One that differs from the best in two parameters or more is marked: its difference cannot be put "
            "down to one of them."
        )
    if results.has_original:
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


def what_factors_show(results: Results, noise: float) -> str:
    """Explain the figure of the factors; `noise` is the least step that the rule sees between two single runs."""
    start = (
        "What does one parameter do when all others stay? A panel for each parameter that varies, on a common vertical "
        "axis, replicates aside. A line joins configurations that differ in this parameter alone, and has the names of its ends beside it, or of the right one alone."
    )
    parts = [start]
    if results.shortest:
        parts.append("All are compared over the epochs that the shortest run has, those that diverged aside.")
    look = "Look for panels in which all lines go the same way"
    if math.isfinite(noise):
        look += (
            ", by more than the noise: the shaded band is as high as the least step that the rule sees between two "
            "single runs"
        )
    parts.append(
        f"{look}. The vertical axis is that of the survivors, and lines that go far beyond it leave it."
    )
    parts.append("The sentences below judge each step by the rule, as a round of two.")
    return " ".join(parts)


def what_criteria_ask(results: Results) -> str:
    """Explain in what the criteria differ."""
    names = [metric.name for metric in results.watched]
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


def how_it_is_chosen(results: Results, noise: Noise) -> str:
    """Explain the choice, and the figure that shows it."""
    candidates = "The choice is among the candidates of the last round, as that round judges them:"
    if results.sizes:
        chosen = (
            f"{candidates} of all that the rule keeps, the smallest network, that is the one with the fewest weights, "
            "because what chance explains is no reason to pay for more. Beside it stands the choice of the "
            "one-standard-error rule (Breiman, Friedman, Olshen and Stone, 1984): the smallest whose mean is within one "
            "standard error of the best mean."
        )
    else:
        chosen = f"{candidates} of all that the rule keeps, the one with the best value."
    if results.is_by_epoch(results.rounds[-1].metric):
        return (
            f"{chosen} In the figure the last half of the curves is on the left, replicates in a band; on the right, on "
            "the same vertical axis, is what each run settled at, and the mean with its 95 % interval. Look for "
            "intervals that stay apart."
        )
    if noise.is_known:
        return f"{chosen} In the figure, look for intervals that stay apart."
    return chosen
