"""Workers that are jobs of Slurm's: submitted in dask-jobqueue's words, watched by squeue, ended by scancel.

A job's name says for which outputs it is, so that a command finds what one before it, that was killed, has left in the queue.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from dask_jobqueue.slurm import SLURMJob

from nbstudy.checks import fail
from nbstudy.execution.cluster_file import ClusterFile
from nbstudy.files import hash_of
from nbstudy.words import counted, enumerated

ASKED = 30.0  # seconds between two looks at the queue: it is everybody's
ASKED_IN_A_HURRY = 1.0  # the same, while something waits for the answer
SOON = 5.0  # seconds after which a job that was submitted is looked for
PATIENCE = 10.0  # seconds in which Slurm says how a job ended, whose worker is gone
TRIES = 3  # jobs in a row that end before their workers are there
ENDED = {
    "BOOT_FAIL": "could not start its node",
    "CANCELLED": "was cancelled",
    "COMPLETED": "ended by itself",
    "DEADLINE": "came to its deadline",
    "FAILED": "failed",
    "NODE_FAIL": "lost its node",
    "OUT_OF_MEMORY": "ran out of memory",
    "PREEMPTED": "was preempted",
    "REVOKED": "was revoked",
    "TIMEOUT": "ended at its time limit",
}
WAITS = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "SUSPENDED"}
# no page for others; a job's memory is its runs', not the worker's, which would pause for what it has itself
OPTIONS = ["--dashboard-address", "127.0.0.1:0", "--memory-limit", "0"]
WITHOUT_PAGES = "export DASK_DISTRIBUTED__WORKER__HTTP__ROUTES='[]'"  # which others could look at
FORMAT = "%i|%T|%r|%C|%M|%N"
# a job that was put back into the queue has the same number, and another worker
WORKER = "job-$SLURM_JOB_ID${SLURM_RESTART_COUNT:+-$SLURM_RESTART_COUNT}"


@dataclass
class Job:
    """A job, as Slurm told of it last."""

    id: str
    state: str = "PENDING"
    reason: str = ""  # why it waits
    cores: int = 0
    seconds: int = 0  # since it began
    submitted: float = 0.0  # by the monotonic clock
    earlier: int = 0  # seconds in which it ran before it was put back into the queue
    node: str = ""
    had_worker: bool = False
    is_ours_to_end: bool = False  # it was told to end

    @property
    def is_over(self) -> bool:
        """Whether it will not run any more."""
        return self.state in ENDED

    @property
    def name(self) -> str:
        """It, in a sentence."""
        if self.node:
            return f"job {self.id} on {self.node}"
        return f"job {self.id}"

    @property
    def core_seconds(self) -> int:
        """What it cost."""
        return self.cores * (self.earlier + self.seconds)


class SlurmJobs:
    """The jobs of one command: each has one worker, which is called by its number."""

    def __init__(self, file: ClusterFile, outputs: Path, private: Path) -> None:
        self.file = file
        self.name = name_of_jobs(outputs)
        self.logs = Path(file.words.get("log_directory", private)).expanduser()
        self.jobs: dict[str, Job] = {}
        self.said: set[str] = set()
        self.next_look = 0.0  # seconds of the monotonic clock
        self.next_try = 0.0  # to submit a job, by that clock
        self.failures = 0  # jobs that ended before their workers were there, since the last one that was
        self.cancel_those_of_an_earlier_command()

    def cancel_those_of_an_earlier_command(self) -> None:
        """Take out of the queue what a command that was killed has left for these outputs."""
        left = self.left_in_the_queue()
        if left:
            cancel(left)
            click.echo(f"cancelled {counted(len(left), 'job')} of an earlier command: {enumerated(left)}")

    # --- what the pool asks for ---
    @property
    def number(self) -> int:
        """The jobs that wait or run."""
        return sum(not job.is_over and not job.is_ours_to_end for job in self.jobs.values())

    async def start(self, number: int, scheduler: str, security: Any) -> None:
        """Submit so many more jobs; raise StudyError where Slurm takes none."""
        submitted = []
        words: dict[str, Any] = self.file.words | {"log_directory": str(self.logs)}
        # A worker takes the place of its job's script. With another script above it, Slurm without control groups sees that one
        # end alone and kills nothing more, and a worker of Dask 2026.8 that is told to end may wait for itself.
        words["python"] = f"exec {words.get('python') or sys.executable}"
        # dask-jobqueue takes a job's cores for its worker's threads
        words.setdefault("job_cpu", self.file.cores)
        words["worker_extra_args"] = [*OPTIONS, *words.get("worker_extra_args", [])]
        words["job_script_prologue"] = [WITHOUT_PAGES, *words.get("job_script_prologue", [])]
        if self.failures >= TRIES or time.monotonic() < self.next_try:
            return
        for _ in range(number):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    job = SLURMJob(
                        scheduler,
                        name=WORKER,
                        cores=self.file.slots,
                        processes=1,
                        nanny=False,
                        protocol="tls://",
                        security=security,
                        job_name=self.name,
                        **words,
                    )
                await job.start()
            except (RuntimeError, OSError, ValueError, TypeError) as error:
                self.be_refused(error)
                break
            self.jobs[job.job_id] = Job(job.job_id, submitted=time.monotonic())
            submitted.append(job.job_id)
        self.next_look = min(self.next_look, time.monotonic() + SOON)
        if submitted:
            click.echo(
                f"submitted {counted(len(submitted), 'job')} of {counted(self.file.cores, 'core')}: {enumerated(submitted)}"
            )

    def be_refused(self, error: Exception) -> None:
        """Refuse what Slurm takes no job for; where it has taken some, say it and try later."""
        said = re.findall(r"^sbatch: error: (.+)$", str(error), re.MULTILINE) or [str(error)]
        why = "; ".join(said)
        if not self.jobs:
            fail(self.file.place, f"no job could be submitted: {why}")
        self.next_try = time.monotonic() + ASKED
        self.say(f"no further job could be submitted: {why}; trying again")

    def arrive(self, worker: str) -> None:
        """Note that a worker is there."""
        job = self.jobs.get(number_of(worker))
        if job:
            job.had_worker = True
            self.failures = 0

    def look(self) -> None:
        """Ask Slurm what became of the jobs, if it is time; say which wait, and which ended without a worker."""
        if time.monotonic() < self.next_look:
            return
        self.ask()
        waiting: dict[str, list[str]] = {}
        for job in self.jobs.values():
            if job.state in WAITS and job.reason not in ("", "None"):
                waiting.setdefault(job.reason, []).append(job.id)
        for reason, jobs in waiting.items():
            if reason not in self.said:
                self.said.add(reason)
                verb = "wait" if len(jobs) > 1 else "waits"
                noun = "jobs" if len(jobs) > 1 else "job"
                click.echo(f"{noun} {enumerated(jobs)} {verb} in the queue; its reason: {reason}")
        self.mourn()

    def mourn(self) -> None:
        """Say which jobs ended before their workers were there; raise ClickException where they do so time and again."""
        for job in self.jobs.values():
            if job.is_over and not job.had_worker and not job.is_ours_to_end and job.id not in self.said:
                self.said.add(job.id)
                self.failures += 1
                end = f"{job.name} {ENDED[job.state]} before its worker was there"
                click.echo(f"{end}{self.last_words(job)}")
        if self.failures >= TRIES and not self.number:
            raise click.ClickException(f"{self.file.place}: {self.failures} jobs in a row brought no worker")

    def is_ending(self, worker: str) -> bool:
        """Tell whether Slurm ends the job of a worker."""
        self.ask()
        job = self.jobs.get(number_of(worker))
        return job is not None and job.state != "RUNNING"

    def why_gone(self, worker: str) -> str:
        """Say what became of a job whose worker is gone, as soon as Slurm knows."""
        job = self.jobs.get(number_of(worker))
        if job is None:
            return f"{worker} is gone"
        end = time.monotonic() + PATIENCE
        self.ask()
        while job.state in ("RUNNING", "COMPLETING") and time.monotonic() < end:
            time.sleep(ASKED_IN_A_HURRY)
            self.ask()
        if job.state in WAITS:
            return f"{job.name} was put back into the queue"
        if job.is_over:
            return f"{job.name} {ENDED[job.state]}"
        self.end([worker])
        return f"{job.name} lost its worker"

    def waiting(self) -> list[str]:
        """Return the jobs that have not begun, the latest first."""
        return [
            job.id for job in reversed(self.jobs.values()) if job.state in WAITS and not job.is_ours_to_end
        ]

    def end(self, workers: Collection[str]) -> None:
        """Cancel jobs, by their numbers or those of their workers."""
        jobs = [self.jobs[number_of(worker)] for worker in workers if number_of(worker) in self.jobs]
        for job in jobs:
            job.is_ours_to_end = True
        cancel([job.id for job in jobs if not job.is_over])

    def refuse(self, worker: str) -> None:
        """Do without a job, which was told to end: another one may be on another node."""

    def close(self) -> None:
        """See to it that no job is left in the queue."""
        self.wait_until_all_are_over()
        left = self.left_in_the_queue()  # one, too, that was submitted while the command was interrupted
        cancel(left)
        if left:
            self.wait_until_all_are_over()

    def wait_until_all_are_over(self) -> None:
        """Wait until no job is left, as long as that may take."""
        end = time.monotonic() + PATIENCE
        while self.number_left() and time.monotonic() < end:
            time.sleep(ASKED_IN_A_HURRY)

    def number_left(self) -> int:
        """Return how many jobs are not over, those that were told to end included."""
        self.ask()
        return sum(not job.is_over for job in self.jobs.values())

    def cost(self) -> str:
        """Say what the jobs cost."""
        hours = sum(job.core_seconds for job in self.jobs.values()) / 3600
        return f"{counted(len(self.jobs), 'job')}, {hours:.2f} core hours"

    @property
    def all_went_well(self) -> bool:
        """Whether nobody needs to read what the jobs wrote."""
        return all(job.had_worker and job.state in ("COMPLETED", "CANCELLED") for job in self.jobs.values())

    # --- Slurm ---
    def ask(self) -> None:
        """Ask Slurm what became of the jobs."""
        self.next_look = time.monotonic() + ASKED
        told = self.queue()
        if told is None:
            return
        there = set()
        for job_id, state, reason, cores, took, node in told:
            there.add(job_id)
            job = self.jobs.get(job_id)
            if job is None:
                continue
            if state == "COMPLETING" and reason == "TimeLimit":
                state = "TIMEOUT"
            seconds = seconds_of(took)
            if seconds < job.seconds:
                job.earlier += job.seconds
            job.state, job.reason, job.seconds = state, reason, seconds
            job.node = node or job.node
            job.cores = int(cores)
        for job in self.jobs.values():
            is_new = time.monotonic() < job.submitted + SOON  # and may not be listed yet
            if job.id not in there and not job.is_over and not is_new:  # long ago: Slurm has forgotten it
                job.state = "COMPLETED"

    def left_in_the_queue(self) -> list[str]:
        """Return the jobs of this name that are not over, whichever command submitted them."""
        return [job_id for job_id, state, *_ in self.queue() or [] if state not in ENDED]

    def queue(self) -> list[list[str]] | None:
        """Return what squeue says of the jobs of this name; None where it cannot be asked now."""
        if not shutil.which("squeue"):
            fail(
                self.file.place,
                "there is no squeue here: run this on a machine from which jobs are submitted",
            )
        command = [
            "squeue",
            "--me",
            f"--name={self.name}",
            "--states=all",
            "--noheader",
            f"--format={FORMAT}",
        ]
        try:
            told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        except (OSError, subprocess.SubprocessError) as error:
            self.say(f"squeue fails: {getattr(error, 'stderr', None) or error}".strip())
            return None
        return [line.split("|") for line in told.splitlines() if line.count("|") == FORMAT.count("|")]

    def last_words(self, job: Job) -> str:
        """Return the last line that a job wrote, with the file that has more."""
        for log in self.logs.glob(f"{self.name}-{job.id}*.err"):
            lines = []
            with suppress(OSError):
                lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
            for line in reversed(lines):
                if line.strip():
                    return f": {line.strip()} ({log})"
        return ""

    def say(self, news: str) -> None:
        """Print what is new."""
        if news not in self.said:
            self.said.add(news)
            click.echo(news)


def name_of_jobs(outputs: Path) -> str:
    """Return the name of all jobs for a study's outputs."""
    place = outputs.resolve()
    return f"nbstudy-{re.sub(r'[^A-Za-z0-9_.-]', '-', place.name)}-{hash_of(str(place))[:8]}"


def number_of(worker: str) -> str:
    """Return the number of a worker's job."""
    return worker.removeprefix("job-").partition("-")[0]


def cancel(jobs: Collection[str]) -> None:
    """Take jobs out of the queue; those that are over already are no mistake."""
    if jobs:
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(["scancel", *jobs], capture_output=True, check=False, timeout=60)


def seconds_of(took: str) -> int:
    """Return a time as squeue writes it, as in 1-02:03:04 or 3:04, in seconds."""
    days, _, clock = took.rpartition("-")
    seconds = 0
    with suppress(ValueError):
        for part in clock.split(":"):
            seconds = 60 * seconds + int(part)
        seconds += 86400 * int(days or 0)
    return seconds
