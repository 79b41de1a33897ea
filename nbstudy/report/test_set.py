"""The section "Final test evaluation": whether the test set is open, and what it says of the final configuration.

Its labels are read in the notebook, in one cell of the whole project.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nbstudy.checks import StudyError
from nbstudy.decision.elimination import Choice
from nbstudy.decision.metrics import written
from nbstudy.decision.settling import settled_epochs
from nbstudy.records.openings import Opening, read_openings
from nbstudy.records.results import Results
from nbstudy.report.colours import INK, SHARES
from nbstudy.report.figures import WIDTH, show_figures
from nbstudy.report.labels import SMALL
from nbstudy.report.markdown import listed, plain, show_texts, table
from nbstudy.words import enumerated

MISTAKES_SHOWN = 12
START = """
## Final test evaluation

The training images teach, the validation images decide, and the test images are opened once, at the end. The test set decides nothing, and its labels are read in one cell of the whole project, the next one. It is opened for one configuration, the study's `final`, only once every configuration of the study is complete, and never for a quick look with `-p`, so that nothing that is seen here can still change a decision. Each opening is first put on record in `test.json`, beside the runs; testing the same weights again is no new opening.
"""
HOW_TO_READ = """
An accuracy on ten thousand images is itself uncertain; Wilson's interval says by how much, and what lies inside it is too close to call. The published accuracies are from [Zalando's list](https://github.com/zalandoresearch/fashion-mnist#benchmark). In the next figure rows are what an image shows and columns what the network says: look for the darkest cells off the diagonal.
"""


@dataclass(frozen=True)
class Tested:
    """What the test set says of a model."""

    right: int  # images
    images: int
    loss: float  # without penalty

    @property
    def accuracy(self) -> float:
        """The share of images that are classified rightly."""
        return self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        from scipy.stats import binomtest

        low, high = binomtest(self.right, self.images).proportion_ci(method="wilson")
        return float(low), float(high)

    def __str__(self) -> str:
        """Return the accuracy and its interval."""
        low, high = self.interval
        return f"{written(self.accuracy)} (95 % interval {written(low)} to {written(high)})"


@dataclass(frozen=True)
class Nearest:
    """The configuration that the final one is nearest to."""

    name: str  # that of the final one itself where it is the choice
    is_choice: bool
    changes: list[str]  # what the final one has instead, as in "refit True"


@dataclass(frozen=True, eq=False)
class Opened:
    """What the test set says, or why it stays shut."""

    results: Results
    choice: Choice
    shut: str | None  # why, and the cure
    openings: list[Opening]  # on record
    tested: Tested | None  # None while it is shut
    answers: pd.DataFrame | None = None  # a row an image: true and said (class numbers), loss, certainty

    @cached_property
    def nearest(self) -> Nearest:
        """The configuration that the final one is nearest to."""
        return nearest_to_final(self.results, self.choice)

    @cached_property
    def last_epochs(self) -> list[float]:
        """The val_accuracy of the settled epochs of that one, where it is known."""
        return settled_epochs(self.results.values(self.nearest.name, "val_accuracy"))

    @cached_property
    def mistakes(self) -> pd.DataFrame:
        """The rows of the mistakes that it was most certain of."""
        if self.answers is None:
            return pd.DataFrame()
        wrong = self.answers[self.answers["true"] != self.answers["said"]]
        return wrong.sort_values("certainty", ascending=False, kind="stable")[:MISTAKES_SHOWN]


def compute(results: Results, choice: Choice, shut: str | None, answers: pd.DataFrame | None) -> Opened:
    """Sum up what a network answers to the test images, as far as it was asked."""
    tested = None
    if answers is not None:
        tested = tested_by(answers)
    return Opened(results, choice, shut, openings_of(results), tested, answers)


def show_start(results: Results) -> None:
    """Say what the test set is for, before it is opened; nothing where the study has none."""
    if results.test:
        show_texts(START)


def show(
    opened: Opened,
    published: Mapping[str, float],
    classes: Sequence[str],
    images: np.ndarray[Any, Any] | None,
) -> None:
    """Show what the test set says, beside published accuracies; nothing where the study has none."""
    if opened.results.test:
        show_texts(state_in_words(opened))
    if opened.tested is None or opened.answers is None:
        return
    show_texts(accuracy_in_words(opened.tested, published), last_epoch(opened), HOW_TO_READ)
    counts = confusions(opened.answers, classes)
    draw_confusion(counts)
    show_figures()
    show_texts(table_of_classes(counts))
    if images is not None and len(opened.mistakes):
        show_mistakes(opened.mistakes, classes, images)


def show_mistakes(worst: pd.DataFrame, classes: Sequence[str], images: np.ndarray[Any, Any]) -> None:
    """Show the images of mistakes."""
    show_texts("The twelve mistakes that it was most certain of: look whether a person would make them too.")
    draw_mistakes(images, worst, classes)
    show_figures()
    least = np.floor(1000 * worst["certainty"].min()) / 1000
    show_texts(f"It was at least {least:.1%} certain of each of these.")


# --- what there is to say ---
def why_shut(results: Results) -> str | None:
    """Say why the test set stays shut; None where it may be opened."""
    if results.overrides:
        changed = enumerated([f"{name} {value}" for name, value in results.overrides.items()])
        return f"this is a quick look, with {changed} for all configurations, and decides nothing"
    if results.final not in results.runs:
        if results.made:
            return f"{results.final} is made of the choice, which is not made yet"
        return "the study names no final configuration"
    if results.incomplete:
        return f"{len(results.incomplete)} of {len(results.runs)} configurations are not complete"
    return None


def openings_of(results: Results) -> list[Opening]:
    """Return the openings on record; none where the record is damaged, which keeps the test set shut."""
    with suppress(StudyError):
        return read_openings(results.directory)
    return []


def tested_by(answers: pd.DataFrame) -> Tested:
    """Return what answers come to: a row an image, `true` and `said` classes, `loss` the cross-entropy."""
    right = int((answers["true"] == answers["said"]).sum())
    return Tested(right, len(answers), float(answers["loss"].mean()))


def confusions(tested: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return how often each class (rows) is taken for each (columns)."""
    numbers = range(len(classes))
    counts = pd.crosstab(tested["true"], tested["said"]).reindex(numbers, columns=numbers, fill_value=0)
    return counts.set_axis(classes, axis=0).set_axis(classes, axis=1)


def nearest_to_final(results: Results, choice: Choice) -> Nearest:
    """Find the configuration that the final one is nearest to, itself where it is the choice."""
    parameters = results.parameters
    final = str(results.final)
    if parameters.first[final] == choice.chosen or len(results.runs) == 1:
        return Nearest(final, True, [])
    others = [name for name in results.runs if name != final]
    others.sort(key=lambda name: name != choice.chosen)  # of equally near ones the choice
    varying = parameters.varying
    twin = min(others, key=lambda name: len(parameters.differing(final, name, varying)))
    changes = []
    for key in parameters.differing(final, twin, varying):
        changes.append(f"{key} {parameters.given[final].get(key)}")
    return Nearest(twin, parameters.first[twin] == choice.chosen, changes)


# --- the figures ---
def draw_confusion(counts: pd.DataFrame) -> Axes:
    """Draw how often each class (rows) is taken for each (columns)."""
    from sklearn.metrics import ConfusionMatrixDisplay

    _, axes = plt.subplots(figsize=(7, 6), layout="constrained")
    axes.grid(visible=False)
    matrix = ConfusionMatrixDisplay(counts.to_numpy(), display_labels=counts.index)
    matrix.plot(cmap=SHARES, xticks_rotation=45, colorbar=False, ax=axes)
    return axes


def draw_mistakes(images: np.ndarray[Any, Any], worst: pd.DataFrame, classes: Sequence[str]) -> Figure:
    """Draw up to twelve images that were taken for another class, by their number: the index of `worst`.

    `images` are grey values (number, height, width); `worst` has columns true, said (classes by number) and
    certainty (0 to 1).
    """
    figure, grid = plt.subplots(
        2, 6, figsize=(WIDTH, 4.4), layout="constrained", subplot_kw={"xticks": [], "yticks": []}
    )
    for axes, (number, row) in zip(grid.flat, worst.iterrows(), strict=False):
        axes.grid(visible=False)
        axes.imshow(images[number], cmap=INK)
        true, said = classes[int(row["true"])], classes[int(row["said"])]
        axes.set_title(f"{true},\nsays {said}\n({row['certainty']:.1%})", loc="center", fontsize=SMALL)
    return figure


# --- the sentences ---
def state_in_words(opened: Opened) -> str:
    """Say whether the test set is open or why it stays shut, and how often it was opened for which models."""
    sentences = [f"**The test set is open** for {plain(opened.results.final)}."]
    if opened.shut:
        sentences = [f"**The test set stays shut:** {plain(opened.shut)}."]
    if opened.openings:
        sentences.append(openings_in_words(opened.openings))
    return " ".join(sentences)


def openings_in_words(openings: Sequence[Opening]) -> str:
    """Say how often the test set was opened for a study, and for which models."""
    each = [f"on {opening.when[:10]} for {opening.configuration}" for opening in openings]
    others = "Other studies on the same images have records of their own."
    if len(openings) == 1:
        return f"It was opened once, {plain(each[0])}. {others}"
    suspicion = "whoever saw an earlier result may have chosen by it, so be suspicious of this one"
    return f"**It was opened {len(openings)} times:** {listed(each)}; {suspicion}. {others}"


def accuracy_in_words(tested: Tested, published: Mapping[str, float]) -> str:
    """Say the accuracy on the test set with its uncertainty, and compare it with published ones."""
    low, high = tested.interval
    sentences = [
        f"**Test accuracy: {written(tested.accuracy)}**, with 95 % certainty {written(low)} to {written(high)}."
    ]
    for who, value in published.items():
        where = "too close to call against"
        if value > high:
            where = "below"
        if value < low:
            where = "above"
        sentences.append(f"It is {where} the published {value} of {who}.")
    sentences.append(f"The loss, without penalty, is {written(tested.loss)}.")
    return " ".join(sentences)


def last_epoch(opened: Opened) -> str:
    """Say how much the epoch that a model stops at can change its accuracy, where that is known."""
    last = opened.last_epochs
    if len(last) < 2:
        return ""
    return (
        f"A model is what its last epoch left, and epochs differ: over the last {len(last)} of {plain(opened.nearest.name)} the "
        f"val_accuracy is {written(statistics.fmean(last))} on average, {written(min(last))} at worst and {written(max(last))} at best."
    )


def what_is_tested(opened: Opened) -> str:
    """Say which configuration the final one is nearest to, in what it differs, and whether that is the choice."""
    final = plain(opened.results.final)
    nearest = opened.nearest
    if nearest.name == opened.results.final:
        return final
    same = "not the choice made here"
    if nearest.is_choice:
        same = "the choice"
    if not nearest.changes:
        return f"{final}, which is {plain(nearest.name)} ({same})"
    return f"{final}, which is {plain(nearest.name)} ({same}) but for {listed(nearest.changes)}"


def table_of_classes(counts: pd.DataFrame) -> str:
    """Show precision and recall of each class, and say which is most often taken for which."""
    rows = []
    pairs = {}
    for true in counts.index:
        said = max(1, counts[true].sum())
        shown = max(1, counts.loc[true].sum())
        right = counts.loc[true, true]
        rows.append({"class": true, "precision": right / said, "recall": right / shown})
        for other in counts.columns:
            if other != true:
                pairs[true, other] = counts.loc[true, other]
    true, other = max(pairs, key=pairs.__getitem__)
    return f"Most often {true} is taken for {other}.\n\n{table(rows)}"
