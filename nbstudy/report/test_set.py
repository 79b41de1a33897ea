"""The section "Final test evaluation": whether the test set is open, and what it says of the final configuration.

What it says was computed by the study's notebook that opens it, which leaves numbers in its result.json, and figures,
tables and texts in files beside that: they are shown here, in the order of their names.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import Image, display

from nbstudy.checks import StudyError
from nbstudy.decision.elimination import Choice
from nbstudy.decision.metrics import Better, Metric, written
from nbstudy.decision.settling import settled_epochs
from nbstudy.files import CHECKPOINT
from nbstudy.markdown import Markdown, code, plain
from nbstudy.numbers import as_count
from nbstudy.records.openings import Opening, read_openings
from nbstudy.records.reading import Run, field_of
from nbstudy.records.results import Results
from nbstudy.records.rounds import decisive_runs
from nbstudy.records.tested import why_untestable
from nbstudy.report.markdown import SHOWN, joined, listed, show_texts, table
from nbstudy.report.phrases import link
from nbstudy.words import enumerated

NUMBERS_SHOWN = 3  # in a sentence; more are a table
PICTURE, TABLE, TEXT = ".png", ".csv", ".md"  # what a test may leave to be shown, by the end of a file's name
START = """
## Final test evaluation

One notebook alone reads the test set, {notebook}: for `final`, once all configurations are complete, so that nothing seen here can still change a decision. Each opening is first put on record in `test.json`.
"""


@dataclass(frozen=True)
class Measured:
    """A number that the test came to."""

    name: str
    value: float
    interval: tuple[float, float] | None = None  # of 95 %, where it is a share of a known number of things
    over: str = (
        ""  # these, as in "10,000 test images": what would be others another time, and not the seeds of runs
    )

    @property
    def title(self) -> Markdown:
        """What it is, in words: test_accuracy and accuracy are the test accuracy."""
        return plain(f"test {self.name.removeprefix('test_').replace('_', ' ')}")

    def __str__(self) -> str:
        """Return its value, and its interval where that is known."""
        if self.interval is None:
            return written(self.value)
        low, high = self.interval
        return f"{written(self.value)} (95 % interval over {self.over} {written(low)} to {written(high)})"


@dataclass(frozen=True)
class Tested:
    """What the test set says of a model."""

    numbers: list[Measured]  # the first is what matters most
    faults: list[str]  # what is wrong in what it says of its shares
    files: list[Path]  # that are shown


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
    tested: Tested | None  # None while it is shut, or where the test failed

    @property
    def failed(self) -> Run | None:
        """The test where it failed."""
        test = self.results.test_run
        if self.shut or test is None or not test.error:
            return None
        return test

    @cached_property
    def nearest(self) -> Nearest:
        """The configuration that the final one is nearest to."""
        return nearest_to_final(self.results, self.choice)

    def measured_as(self, metric: Metric) -> Measured | None:
        """What the test says in terms of a metric of the validation data: test_accuracy is as val_accuracy.

        None where it does not say it; nor of a loss, to which training may add a penalty.
        """
        if self.tested is None or without_data(metric.name) == "loss":
            return None
        for measured in self.tested.numbers:
            if without_data(measured.name) == without_data(metric.name):
                return measured
        return None

    @cached_property
    def last_epochs(self) -> list[float]:
        """The settled epochs of a run of that one, by the metric of the last round, where they are known."""
        metric = deciding_at_last(self.results)
        if not self.results.is_by_epoch(metric):
            return []
        run, epochs = self.judged_run
        return settled_epochs(self.results.values(run, metric.name, epochs))

    @property
    def judged_run(self) -> tuple[str, int | None]:
        """The first run by which that one was judged at last, and over how many epochs; None: all.

        Where rungs end with new seeds or in a race, these are longer than the run that climbed to them.
        """
        name, rounds = self.nearest.name, self.results.rounds
        for run in decisive_runs(self.results, rounds).get(name, [])[:1]:
            return run, rounds[-1].epochs
        return name, None


def compute(results: Results, choice: Choice) -> Opened:
    """Sum up what the test came to, as far as it was opened."""
    shut = why_shut(results)
    tested = None
    test = results.test_run
    if shut is None and test is not None and test.state.is_done:
        tested = tested_in(test)
    return Opened(results, choice, shut, openings_of(results), tested)


def show(opened: Opened) -> None:
    """Show what the test set is for and what it says; nothing where the study has none."""
    show_texts(write(opened))
    if opened.tested is None:
        return
    for file in opened.tested.files:
        if file.suffix == PICTURE:
            show_picture(file)
        else:
            show_texts(text_of(file))


def write(opened: Opened) -> str:
    """Say what the test set is for, whether it is open, and what it says; empty where the study has none."""
    test = opened.results.test_run
    if test is None:
        return ""
    parts = [START.format(notebook=link(test, text=str(opened.results.test))).strip(), state_in_words(opened)]
    if opened.tested is not None:
        parts += [numbers_in_words(opened.tested), beside_validation(opened), last_epoch(opened)]
    return "\n\n".join(filter(None, parts))


# --- what there is to say ---
def why_shut(results: Results) -> str | None:
    """Say why the test set stays shut; None where it is open, or its notebook failed."""
    if results.overrides:
        changed = enumerated([f"{name} {value}" for name, value in results.overrides.items()])
        return f"this is a quick look, with {changed} for all configurations, and decides nothing"
    if results.final not in results.runs:
        if results.made:
            return f"{results.final} is made of the choice, which is not made yet"
        return "the study names no final configuration"
    if results.incomplete:
        return f"{len(results.incomplete)} of {len(results.runs)} runs are not complete"
    test = results.test_run
    if test is None or test.state.is_done or test.error:
        return None
    checkpoint = field_of(results.record, "checkpoint", str) or CHECKPOINT
    untestable = why_untestable(results.runs[results.final].directory, checkpoint, results.lengthens)
    if untestable:
        return untestable
    reasons = joined(*test.changes.values()) or "it has not been opened"
    return f"{reasons}; run the study again"


def openings_of(results: Results) -> list[Opening]:
    """Return the openings on record; none where the record is damaged, which keeps the test set shut."""
    with suppress(StudyError):
        return read_openings(results.directory)
    return []


def tested_in(test: Run) -> Tested:
    """Return what a test left.

    In its result.json `shares` says which of its numbers are shares of how many things: `{"shares": {"test_accuracy":
    "test_images"}}` names two of them.
    """
    shares = field_of(test.result, "shares", dict)
    numbers = []
    faults = []
    for name, value in test.numbers.items():
        if name in shares.values():
            continue
        measured = Measured(name, value)
        if name in shares:
            number = as_count(test.result.get(str(shares[name])))
            if number and 0 <= value <= 1:
                things = plain(str(shares[name]).replace("_", " "))
                measured = Measured(name, value, wilson(value, number), f"{number:,} {things}")
            else:
                faults.append(not_a_share(name, shares[name]))
        numbers.append(measured)
    faults += [not_a_share(name, shares[name]) for name in shares if name not in test.numbers]
    return Tested(numbers, faults, files_in(test))


def wilson(share: float, number: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of so many things."""
    from scipy.stats import binomtest

    low, high = binomtest(round(share * number), number).proportion_ci(method="wilson")
    return float(low), float(high)


def files_in(test: Run) -> list[Path]:
    """Return the files of a test that are shown, in the order of their names."""
    return sorted(file for file in test.directory.iterdir() if file.suffix in (PICTURE, TABLE, TEXT))


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


def without_data(name: str) -> str:
    """Return the name of a metric without what it was measured on."""
    return re.sub("^(val|valid|validation|test)_", "", name)


def deciding_at_last(results: Results) -> Metric:
    """Return the metric by which the choice is made: that of the last round."""
    for last in results.rounds[-1:]:
        return last.metric
    return results.metric


# --- the files ---
def show_picture(file: Path) -> None:
    """Show a figure."""
    try:
        display(Image(file.read_bytes(), format="png", alt=description(file)))
    except Exception as error:  # noqa: BLE001 - a file of somebody else's can be anything
        show_texts(not_shown(file, error))


def description(file: Path) -> str:
    """Say what a figure shows, as far as its name says it."""
    return f"A figure that the test left: {file.stem.replace('_', ' ')}"


def text_of(file: Path) -> str:
    """Return a table, cut where it would be long, or a text; of one that cannot be read, say so."""
    try:
        if file.suffix == TABLE:
            return table_in(file)
        return file.read_text(encoding="utf-8")
    except Exception as error:  # noqa: BLE001 - a file of somebody else's can be anything
        return not_shown(file, error)


def not_shown(file: Path, error: Exception) -> str:
    """Say that a file cannot be shown."""
    return f"{code(file.name)} cannot be shown ({type(error).__name__})."


def table_in(file: Path) -> str:
    """Return a table, cut where it would be long."""
    rows = pd.read_csv(file).to_dict("records")
    text = table([{str(key): value for key, value in row.items()} for row in rows[:SHOWN]])
    if len(rows) > SHOWN:
        text += f"\n\nThese are the first {SHOWN} of {len(rows):,}; {code(file.name)} has all."
    return text


# --- the sentences ---
def state_in_words(opened: Opened) -> str:
    """Say whether the test set is open or why it stays shut, and how often it was opened for which models."""
    sentences = [f"**The test set is open** for {plain(opened.results.final)}."]
    if opened.shut:
        sentences = [f"**The test set stays shut:** {plain(opened.shut)}."]
    if opened.failed:
        sentences = [what_failed(opened.failed), "Running the study again executes it again."]
    if opened.openings:
        sentences.append(openings_in_words(opened.openings))
        sentences.append(why_older(opened))
    return joined(*sentences)


def what_failed(test: Run) -> str:
    """Say with which error a test failed."""
    return f"**The test failed:** {link(test)} ended with {code(test.error)}."


def openings_in_words(openings: Sequence[Opening]) -> str:
    """Say how often the test set was opened for a study, and for which models."""
    each = [f"on {opening.when[:10]} for {opening.configuration}" for opening in openings]
    others = "Other studies on the same test set have records of their own."
    if len(openings) == 1:
        return f"It was opened once, {plain(each[0])}. {others}"
    suspicion = "whoever saw an earlier result may have chosen by it, so be suspicious of this one"
    return f"**It was opened {len(openings)} times:** {listed(each)}; {suspicion}. {others}"


def why_older(opened: Opened) -> str:
    """Explain an opening that is older than the final run that is here; empty where there is none.

    That one was trained again since then. Its test could begin without another opening, so its weights were on record.
    """
    results = opened.results
    test, final = results.test_run, results.runs.get(str(results.final))
    if opened.tested is None or test is None or final is None:
        return ""
    openings = opened.openings
    if len(openings) > 1:  # earlier versions did not say what a test had tested
        openings = [opening for opening in openings if opening.weights == test.record.get("weights")]
    started = field_of(final.record, "started", str)
    for opening in openings:
        if opening.when < started:
            return (
                f"The run of {plain(final.name)} that is here began after that, on {plain(started[:10])}: it was trained again and came to "
                "the same weights, so that testing it was no new opening."
            )
    return ""


def numbers_in_words(tested: Tested) -> str:
    """Say what the test came to, with the uncertainty of what is a share; many numbers are a table."""
    if not tested.numbers:
        return "The test left no number in `result.json`."
    first, *others = tested.numbers
    sentences = [first_in_words(first)]
    if len(others) < NUMBERS_SHOWN:
        sentences += [f"The {other.title} is {other}." for other in others]
    sentences += tested.faults
    text = " ".join(sentences)
    if len(others) >= NUMBERS_SHOWN:
        text += "\n\n" + table([row_of(measured) for measured in tested.numbers])
    return text


def first_in_words(first: Measured) -> str:
    """Say the number that matters most."""
    title = f"{first.title[0].upper()}{first.title[1:]}"
    text = f"**{title}: {written(first.value)}**"
    if first.interval is not None:
        low, high = first.interval
        text += f", with 95 % certainty {written(low)} to {written(high)}, as far as the {first.over} tell it"
    return f"{text}."


@dataclass(frozen=True)
class BesideValidation:
    """What the validation data say of the configuration that is tested, in terms of the test."""

    value: float
    low: float  # of its 95 % interval over seeds
    high: float
    agrees: bool  # whether that interval and the test's meet


def compare_with_validation(opened: Opened) -> BesideValidation | None:
    """Set what the validation data say beside the test; None where not both measured the same, or chance is unknown."""
    choice, nearest = opened.choice, opened.nearest
    metric = deciding_at_last(opened.results)
    measured = opened.measured_as(metric)
    if measured is None or measured.interval is None or nearest.name not in choice.verdict.finite:
        return None
    half = choice.verdict.half_width(nearest.name)
    if math.isnan(half) or choice.verdict.noise.is_guess:
        return None
    value = metric.value(choice.verdict.costs[nearest.name])
    lowest, highest = measured.interval
    agrees = value - half <= highest and value + half >= lowest
    return BesideValidation(value, value - half, value + half, agrees)


def beside_validation(opened: Opened) -> str:
    """Say whether test and validation data agree; empty where that is not known."""
    beside = compare_with_validation(opened)
    if beside is None:
        return ""
    how = "they agree within their intervals"
    if not beside.agrees:
        how = "**they do not agree within their intervals**"
    between = f"{written(beside.low)} to {written(beside.high)} over seeds"
    return (
        f"The validation data say {written(beside.value)} of {plain(opened.nearest.name)} ({between}): {how}."
    )


def row_of(measured: Measured) -> dict[str, Any]:
    """Return a number as a row of a table."""
    row: dict[str, Any] = {
        "number": measured.name,
        "value": measured.value,
        "95 % interval": "",
        "over": measured.over,
    }
    if measured.interval is not None:
        low, high = measured.interval
        row["95 % interval"] = f"{written(low)} to {written(high)}"
    return row


def not_a_share(name: object, number: object) -> str:
    """Say that a number has no interval, since it is no share of what result.json says."""
    return (
        f"`shares` in `result.json` says that {code(name)} is a share of {code(number)}: that must be two numbers "
        "there, one from 0 to 1 and a whole one above 0."
    )


def in_short(tested: Tested) -> str:
    """Say what the test came to within a sentence, the first number in bold."""
    first, *others = tested.numbers
    words = [f"**The {first.title} is {first}**"]
    words += [f"the {other.title} {other}" for other in others[: NUMBERS_SHOWN - 1]]
    return enumerated(words)


def last_epoch(opened: Opened) -> str:
    """Say how much the epoch that a model stops at can change what it is worth, where that is known."""
    last = opened.last_epochs
    if len(last) < 2:
        return ""
    metric = deciding_at_last(opened.results)
    worst, best = min(last), max(last)
    if metric.better is Better.LOWER:
        worst, best = best, worst
    return (
        f"A model is what its last epoch left, and epochs differ: over the last {len(last)} of {plain(opened.judged_run[0])} the "
        f"{plain(metric)} is {written(statistics.fmean(last))} on average, {written(worst)} at worst and {written(best)} at best."
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
