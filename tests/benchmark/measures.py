"""The table of all numbers: what each means, the goal it is held against, and how it is computed.

For one number more write a function and a row of MEASURES: the report and the JSON file then have it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmark.cheap_runs import CheapRuns
from benchmark.many_runs_page import Page
from benchmark.networks import NETWORKS, seconds_of_whole_study
from benchmark.training import Way


@dataclass(frozen=True)
class Rounds:
    """What the rounds measured: the figures of each, by their keys."""

    figures: list[dict[str, Any]]

    def median(self, key: str) -> float:
        """Return the median of a figure over the rounds."""
        return float(statistics.median([figures[key] for figures in self.figures]))

    def epoch(self, way: Way) -> dict[str, float]:
        """Return the seconds of an epoch by network in a way of training, medians of the rounds."""
        seconds = {}
        for network in NETWORKS:
            seconds[network] = statistics.median([figures[way][network] for figures in self.figures])
        return seconds

    def limit(self, rate: str) -> dict[str, float]:
        """Return the seconds of an epoch by network if all its FLOPs ran at a measured rate."""
        return {name: network.flops / self.median(rate) for name, network in NETWORKS.items()}


@dataclass(frozen=True)
class Measured(Rounds):
    """All that was measured: the rounds, the many cheap runs, and the page of a thousand."""

    cheap_runs: CheapRuns
    page: Page


@dataclass(frozen=True)
class AtLeast:
    """A goal for a number that should be large."""

    bound: float

    def is_met(self, value: float) -> bool:
        """Tell whether a value reaches the goal."""
        return value >= self.bound

    def __str__(self) -> str:
        return f"at least {self.bound:g}"


@dataclass(frozen=True)
class AtMost:
    """A goal for a number that should be small."""

    bound: float

    def is_met(self, value: float) -> bool:
        """Tell whether a value stays within the goal."""
        return value <= self.bound

    def __str__(self) -> str:
        return f"at most {self.bound:g}"


@dataclass(frozen=True)
class Measure:
    """A number: a row of the report, a key of the JSON file."""

    name: str
    compute: Callable[[Measured], float]
    unit: str
    goal: AtLeast | AtMost | None  # None where the number is there to be compared only
    meaning: str


# --- training ---
def study_over_study(these: dict[str, float], those: dict[str, float]) -> float:
    """Return how much longer the whole study takes with these seconds of an epoch than with those."""
    return seconds_of_whole_study(these) / seconds_of_whole_study(those)


def of_limit(measured: Measured) -> float:
    return study_over_study(measured.limit("sgemm"), measured.epoch(Way.RUNNER))


def of_limit_5x128(measured: Measured) -> float:
    return measured.limit("sgemm")["5x128"] / measured.epoch(Way.RUNNER)["5x128"]


def of_tensorflow_limit(measured: Measured) -> float:
    return study_over_study(measured.limit("tensorflow"), measured.epoch(Way.RUNNER))


def of_tensorflow_limit_5x128(measured: Measured) -> float:
    return measured.limit("tensorflow")["5x128"] / measured.epoch(Way.RUNNER)["5x128"]


def speedup(measured: Measured) -> float:
    return study_over_study(measured.epoch(Way.ORIGINAL), measured.epoch(Way.RUNNER))


def speedup_mixed_bfloat16(measured: Measured) -> float:
    return study_over_study(measured.epoch(Way.ORIGINAL), measured.epoch(Way.RUNNER_MIXED))


def speedup_over_loop(measured: Measured) -> float:
    return study_over_study(measured.epoch(Way.PLAIN_LOOP), measured.epoch(Way.RUNNER))


def two_jobs_over_one(measured: Measured) -> float:
    return study_over_study(measured.epoch(Way.ONE_JOB), measured.epoch(Way.RUNNER))


def peak_memory_gb(measured: Measured) -> float:
    return max(measured.median("memory_c"), measured.median("memory_c_mixed"))


def saving_share(measured: Measured) -> float:
    return measured.median("saving")


# --- start-up and planning ---
def startup_seconds(measured: Measured) -> float:
    return measured.median("start_up")


def startup_ratio(measured: Measured) -> float:
    return measured.median("start_up") / measured.median("imports")


def first_cell_seconds(measured: Measured) -> float:
    return measured.median("first_cell")


def first_step_seconds(measured: Measured) -> float:
    return measured.median("first_step")


def memory_more_gb(measured: Measured) -> float:
    return measured.median("memory_more")


def quick_look_seconds(measured: Measured) -> float:
    return measured.median("quick_look")


def quick_look_ratio(measured: Measured) -> float:
    return measured.median("quick_look") / measured.median("quick_look_plain")


def no_work_ratio(measured: Measured) -> float:
    return measured.median("no_work") / measured.median("papermill")


def plan_10000_missing_seconds(measured: Measured) -> float:
    return measured.median("plan_missing") - measured.median("papermill")


def plan_10000_complete_seconds(measured: Measured) -> float:
    return measured.median("plan_complete") - measured.median("papermill")


def plan_10000_memory_mb(measured: Measured) -> float:
    return measured.median("plan_memory")


# --- many cheap runs ---
def cheap_run_seconds(measured: Measured) -> float:
    return measured.cheap_runs.seconds_here


def cheap_run_seconds_dask(measured: Measured) -> float:
    return measured.cheap_runs.seconds_dask


def usage_measures(process: str) -> list[Measure]:
    """Return what a process had early in the many cheap runs, and how much more at their end."""

    def megabytes(measured: Measured) -> float:
        return measured.cheap_runs.early[process].megabytes

    def megabytes_more(measured: Measured) -> float:
        return measured.cheap_runs.late[process].megabytes - megabytes(measured)

    def files(measured: Measured) -> float:
        return measured.cheap_runs.early[process].files

    def files_more(measured: Measured) -> float:
        return measured.cheap_runs.late[process].files - files(measured)

    title = process.replace("_", " ")
    early = f"of the {title} after a quarter of the cheap runs"
    more = "and how much more at their end: flat is near 0"
    return [
        Measure(f"{process}_mb", megabytes, "MB", None, f"memory {early}"),
        Measure(f"{process}_mb_more", megabytes_more, "MB", None, more),
        Measure(f"{process}_files", files, "files", None, f"open files and sockets {early}"),
        Measure(f"{process}_files_more", files_more, "files", None, more),
    ]


# --- the page ---
def page_1000_seconds(measured: Measured) -> float:
    return measured.page.seconds


def page_1000_megabytes(measured: Measured) -> float:
    return measured.page.megabytes


def page_1000_html_megabytes(measured: Measured) -> float:
    return measured.page.html_megabytes


# --- the table ---
def row(
    compute: Callable[[Measured], float], unit: str, goal: AtLeast | AtMost | None, meaning: str
) -> Measure:
    """Return the measure that a function computes, under the name of the function."""
    return Measure(compute.__name__, compute, unit, goal, meaning)


MEASURES = [
    # training; the limit is all FLOPs at the rate of products of large matrices
    row(of_limit, "", AtLeast(0.90), "share of the limit by sgemm that runner.py reaches, whole study"),
    row(of_limit_5x128, "", AtLeast(0.75), "the same, network 5x128 alone"),
    row(of_tensorflow_limit, "", None, "share of the limit by TensorFlow's product, whole study"),
    row(of_tensorflow_limit_5x128, "", None, "the same, network 5x128 alone"),
    row(speedup, "times", AtLeast(1.9), "runner.py as fast as the original's way, whole study"),
    row(speedup_mixed_bfloat16, "times", AtLeast(3.0), "the same, runner.py in mixed_bfloat16"),
    row(speedup_over_loop, "times", None, "runner.py as fast as a plain loop of papermill, whole study"),
    row(two_jobs_over_one, "times", AtLeast(1.9), "a run on each core as fast as one run on one core"),
    # a run and a command
    row(startup_seconds, "s", None, "from the start of a run to its first training step"),
    row(startup_ratio, "times", AtMost(1.5), "the same, over importing tensorflow, keras and sklearn"),
    row(first_cell_seconds, "s", AtMost(1), "from the start of a run beside others to its first cell"),
    row(first_step_seconds, "s", AtMost(3), "and to its first training step"),
    row(
        memory_more_gb,
        "GB",
        AtMost(0.6),
        "memory that one more run of 5x128 takes, its share of common pages",
    ),
    row(
        quick_look_seconds,
        "s",
        None,
        "a quick look at the whole study: 3 epochs of each run, and the summary",
    ),
    row(
        quick_look_ratio, "times", AtMost(0.75), "the same, over it where each run imports its libraries anew"
    ),
    row(peak_memory_gb, "GB", AtMost(1.2), "memory of the largest run, in either precision"),
    row(saving_share, "", AtMost(0.02), "share of the training time that saving takes, worst network"),
    row(no_work_ratio, "times", AtMost(1.3), "a command with nothing to do, over importing papermill"),
    row(
        plan_10000_missing_seconds, "s", AtMost(10), "planning 10,000 missing runs, less importing papermill"
    ),
    row(plan_10000_complete_seconds, "s", AtMost(10), "planning 10,000 complete runs, likewise"),
    row(plan_10000_memory_mb, "MB", AtMost(500), "memory of a command with 10,000 complete runs"),
    # many runs of a template of two cells, here and on a Dask cluster
    row(cheap_run_seconds, "s", AtMost(0.25), "a cheap run and slot, here"),
    row(cheap_run_seconds_dask, "s", None, "a cheap run and slot, on two Dask workers"),
    *usage_measures("runner"),
    *usage_measures("scheduler"),
    *usage_measures("worker_1"),
    *usage_measures("worker_2"),
    # the summary of a thousand planted runs
    row(
        page_1000_seconds, "s", AtMost(10), "executing the summary of 1,000 runs, its kernel's start included"
    ),
    row(page_1000_megabytes, "MB", AtMost(5), "and the size of its notebook"),
    row(page_1000_html_megabytes, "MB", AtMost(10), "and of the page to explore"),
]
