"""Run all tasks on a pool, costliest first, promote what succeeds, and say how it goes."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TimeRemainingColumn

from nbstudy.checks import StudyError
from nbstudy.execution.heading import write_head
from nbstudy.execution.host import Slots
from nbstudy.execution.pools import Hosts
from nbstudy.execution.work import run_attempt
from nbstudy.records.attempts import promote, record_error
from nbstudy.records.latest import Follower
from nbstudy.records.progress import describe_progress
from nbstudy.records.record import read_run
from nbstudy.records.runs import Finding, Task, find, why_incomplete
from nbstudy.words import counted, enumerated

TRIES = 4  # of a run that comes no further, as Dask itself tries
UNNAMED_SHOWN = 3  # files that runs read and `inputs` does not name


def run_all(
    tasks: list[Task],
    findings: Mapping[str, Finding],
    predicted: Mapping[str, float],
    hosts: Hosts,
    why_in_vain: Callable[[Task], str],
) -> list[str]:
    """Run tasks in their order on a pool's hosts, promote what succeeds; return the errors of the others.

    `predicted` are the seconds that each is expected to take, empty where nothing is known. `why_in_vain` says
    of a run that has succeeded what it shows, if it is in vain to go on: then those that are running are the last.
    """
    hosts.awaits_runs |= any(task.context is hosts.context for task in tasks)
    with Display(len(tasks)) as display:
        execution = Execution(tasks, findings, predicted, hosts, display, why_in_vain)
        while execution.is_under_way():
            hosts.context.lease.check()
            execution.tell_how_many_are_left()
            slots = hosts.ready()
            execution.take_back_from_lost_hosts(slots)
            execution.submit(slots)
            execution.collect()
            display.show_progress(execution.running_tasks())
        display.say(describe_unnamed(sorted(execution.unnamed)))
    return execution.errors


@dataclass(frozen=True)
class Submission:
    """A task that was handed to the pool."""

    task: Task
    slots: Slots  # of the hosts that it may be on
    since: float  # seconds of the monotonic clock


class Execution:
    """What still waits, what runs, and what went wrong."""

    def __init__(
        self,
        tasks: list[Task],
        findings: Mapping[str, Finding],
        predicted: Mapping[str, float],
        hosts: Hosts,
        display: Display,
        why_in_vain: Callable[[Task], str],
    ) -> None:
        self.waiting = tasks.copy()
        self.running: dict[Future[Any], Submission] = {}
        self.beginnings: dict[str, str] = {}  # of those that lost their hosts
        self.errors: list[str] = []
        self.findings = findings
        self.predicted = predicted
        self.pool = hosts.pool
        self.losses = Losses()
        self.lease = hosts.context.lease
        self.display = display
        self.why_in_vain = why_in_vain
        self.unnamed: dict[str, None] = {}  # files of the project that runs read and `inputs` does not name

    def is_under_way(self) -> bool:
        """Tell whether anything is left to run."""
        return bool(self.waiting or self.running)

    def running_tasks(self) -> list[Task]:
        """Return the tasks that are in the pool."""
        return [submission.task for submission in self.running.values()]

    def tell_how_many_are_left(self) -> None:
        """Let hosts that are there for these runs alone be as many as these take."""
        if self.pool.own:
            self.pool.own.want(len(self.waiting) + len(self.running))

    def take_back_from_lost_hosts(self, slots: Slots) -> None:
        """Let the tasks wait again whose hosts are all gone, as soon as there are others."""
        if not slots and not self.pool.own:
            return
        lost: dict[str, list[Task]] = {}
        for future, submission in list(self.running.items()):
            if not submission.slots.keys() & slots.keys() and (not future.done() or was_cut_short(future)):
                future.cancel()
                del self.running[future]
                self.waiting.insert(0, submission.task)
                self.display.end(submission.task)
                lost.setdefault(next(iter(submission.slots)), []).append(submission.task)
        if self.pool.own:
            for host, tasks in lost.items():
                self.lose(tasks, self.pool.own.why_gone(host))

    def lose(self, tasks: list[Task], why: str) -> None:
        """Say which tasks a host took with it, and fail those that come no further, however many hosts they have."""
        found = {task.name: find(task) for task in sorted(tasks, key=lambda task: task.name)}
        resume = [name for name, finding in found.items() if finding.resumes]
        start_over = [name for name, finding in found.items() if not finding.resumes]
        come = []
        if resume:
            come.append(f"{enumerated(resume)} {'resumes' if len(resume) == 1 else 'resume'}")
        if start_over:
            come.append(f"{enumerated(start_over)} {'starts' if len(start_over) == 1 else 'start'} over")
        self.display.say_again(f"{why}: {', '.join(come)} elsewhere")
        for task in tasks:
            self.beginnings[task.name] = found[task.name].beginning
            if self.losses.is_in_vain(task):
                self.waiting.remove(task)
                error = f"was lost {TRIES} times without coming any further; the last time, {why}"
                for attempt in task.attempts()[-1:]:
                    record_error(attempt, error)
                self.errors.append(f"{task.name}: {error} ({task.incomplete})")
                self.display.say(f"{task.name}: {error}")

    def submit(self, slots: Slots) -> None:
        """Hand tasks to the pool, as many as its hosts run at a time."""
        while self.waiting and len(self.running) < sum(slots.values()):
            task = self.waiting.pop(0)
            hosts = slots
            if self.pool.own:
                hosts = self.one_that_is_free(slots)
            self.display.begin(task, self.beginnings.get(task.name, self.findings[task.name].beginning))
            future = self.pool.submit(list(hosts), run_attempt, task, hosts)
            self.running[future] = Submission(task, hosts, time.monotonic())

    def one_that_is_free(self, slots: Slots) -> Slots:
        """Return the first host that has not as many runs as it takes at a time."""
        taken = Counter(host for submission in self.running.values() for host in submission.slots)
        return next({host: number} for host, number in slots.items() if taken[host] < number)

    def collect(self) -> None:
        """Conclude the tasks that are done, after a moment's wait for one."""
        done, _ = wait(self.running, timeout=1, return_when=FIRST_COMPLETED)
        for future in done:
            self.lease.check()  # of runs that another runner holds, none is concluded here
            if self.is_left_by_its_host(future):
                continue  # it is taken back when that is gone
            submission = self.running.pop(future)
            task = submission.task
            conclusion = conclude(task, future)
            error = conclusion.error
            self.display.say(conclusion.news)
            self.unnamed.update(dict.fromkeys(conclusion.unnamed))
            if error:
                self.errors.append(f"{task.name}: {error}")
                outcome = error
            else:
                outcome = ", ".join([*self.came_to(submission), *described_place(conclusion.replaced)])
            self.display.end(task, outcome)
            if not error:
                self.go_on_or_not(task)

    def is_left_by_its_host(self, future: Future[Any]) -> bool:
        """Tell whether a run was cut short because its host, which is there for these runs alone, ends."""
        if self.pool.own is None or not was_cut_short(future):
            return False
        (host,) = self.running[future].slots
        return self.pool.own.is_leaving(host)

    def go_on_or_not(self, done: Task) -> None:
        """Start no more runs where one that is done shows that it is in vain to go on."""
        why = self.why_in_vain(done)
        if why:
            self.waiting.clear()
            if self.running:
                self.display.say(f"{why} ({counted(len(self.running), 'run')} still to end)")

    def came_to(self, submission: Submission) -> list[str]:
        """Say what a run came to, in what time, what had changed around it when it resumed, how its kernel ended."""
        task = submission.task
        run = read_run(task.place)
        words = [self.minutes(submission), *run.get("environment_changes", [])]
        if run.get("ending"):
            words.append(run["ending"])
        progress = describe_progress(task.place, task.context.metric)
        if progress:
            words.insert(0, progress)
        return words

    def minutes(self, submission: Submission) -> str:
        """Say how long a run took, beside what was predicted."""
        took = f"{(time.monotonic() - submission.since) / 60:.1f} minutes"
        if self.predicted:
            took += f" ({self.predicted[submission.task.name] / 60:.1f} predicted)"
        return took


class Losses:
    """How often runs have lost their hosts in a row without coming any further."""

    def __init__(self) -> None:
        self.furthest: dict[str, int] = {}  # the most epochs that a run had when it was lost
        self.in_vain: Counter[str] = Counter()

    def is_in_vain(self, task: Task) -> bool:
        """Note that a run has lost its host; tell whether it is to be tried no more."""
        epochs = 0
        for attempt in task.attempts()[-1:]:
            with suppress(StudyError):  # of a history that is damaged
                epochs = Follower(attempt).look().epochs
        if epochs > self.furthest.get(task.name, 0):
            self.furthest[task.name] = epochs
            self.in_vain[task.name] = 0
        else:
            self.in_vain[task.name] += 1
        return self.in_vain[task.name] >= TRIES


@dataclass
class Conclusion:
    """What came of a task that is done."""

    error: str | None = None  # with its log's path
    news: str | None = None  # that concern all runs of its host
    unnamed: Sequence[str] = ()  # files of the project that it read and `inputs` does not name
    replaced: Path | None = None  # where the run is kept whose place it took


def was_cut_short(future: Future[Any]) -> bool:
    """Tell whether an attempt is done because its kernel was ended, as a queue ends all processes of a job."""
    if future.cancelled() or future.exception():
        return False
    _, error, *_ = future.result()
    return error is not None and error.startswith(("interrupted", "DeadKernelError"))


def conclude(task: Task, future: Future[Any]) -> Conclusion:
    """Promote a run that succeeded; record the error of one that did not."""
    conclusion = Conclusion()
    attempt = task.incomplete
    attempts = task.attempts()
    if attempts:
        attempt = attempts[-1]
    future.exception()  # raises CancelledError where the scheduler is lost
    try:
        number, error, conclusion.news, conclusion.unnamed = future.result()
        attempt = task.incomplete / number
        if not error:
            error = why_incomplete(task, attempt)
            if error:
                record_error(attempt, error)
                write_head(task, attempt)
            else:
                conclusion.replaced = promote(task, attempt)
    except Exception as failure:  # noqa: BLE001 - a full disk, or dead workers: the other runs go on
        error = f"{type(failure).__name__}: {failure}"
        record_error(attempt, error)
    if error:
        conclusion.error = f"{error} ({attempt / f'{task.name}.ipynb'})"
    return conclusion


def described_place(replaced: Path | None) -> list[str]:
    """Say where a run is kept whose place another one took, if there was one."""
    if replaced is None:
        return []
    return [f"the earlier run is in {replaced}"]


def describe_unnamed(files: Sequence[str]) -> str | None:
    """Say which files of the project runs read that `inputs` does not name, if there are any."""
    if not files:
        return None
    what = ", ".join(files[:UNNAMED_SHOWN])
    if len(files) > UNNAMED_SHOWN:
        what += f" and {len(files) - UNNAMED_SHOWN} more"
    return f"runs read {what}: name what they depend on under `inputs` in the study file, so that its change is noticed"


class Display:
    """A bar a running task and one for the study; lines alone where the output is no terminal."""

    def __init__(self, number: int) -> None:
        # named, so that rich draws bars in characters which this stream can encode
        self.console = Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)
        self.progress = Progress(
            "{task.description}",
            BarColumn(),
            "{task.fields[at]}",
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.bars: dict[str, TaskID] = {}
        self.followed: dict[str, Follower] = {}  # by task
        self.said: set[str] = set()
        self.study = self.progress.add_task("study", total=number, at="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def say(self, news: str | None) -> None:
        """Say, once, what concerns all runs of a host."""
        if news and news not in self.said:
            self.console.print(news)
            self.said.add(news)

    def say_again(self, news: str) -> None:
        """Say what may happen more than once."""
        self.console.print(news)

    def begin(self, task: Task, beginning: str) -> None:
        """Show that a task begins."""
        self.bars[task.name] = self.progress.add_task(task.name, total=task.epochs, at="")
        self.console.print(f"{task.name}: {beginning}")

    def show_progress(self, tasks: list[Task]) -> None:
        """Show how far the running tasks are, as their histories say, to whoever can see bars."""
        if self.progress.disable:
            return
        for task in tasks:
            for attempt in task.attempts()[-1:]:
                latest = self.follower_of(task, attempt).look()
                at = describe_progress(attempt, task.context.metric, latest)
                self.progress.update(self.bars[task.name], completed=latest.epochs, at=at)

    def follower_of(self, task: Task, attempt: Path) -> Follower:
        """Return what follows the history of a task's newest attempt."""
        follower = self.followed.get(task.name)
        if follower is None or follower.directory != attempt:
            follower = self.followed[task.name] = Follower(attempt)
        return follower

    def end(self, task: Task, outcome: str | None = None) -> None:
        """Show what a task came to; without an outcome it only leaves its host."""
        self.progress.remove_task(self.bars.pop(task.name))
        self.followed.pop(task.name, None)
        if outcome is not None:
            self.console.print(f"{task.name}: {outcome}")
            self.progress.advance(self.study)
