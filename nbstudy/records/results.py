"""What the runs of a study left, for anybody's own notebook: load_results(outputs) -> Results.

    from nbstudy import load_results

    results = load_results("outputs/fashion_mnist")
    results.curve("model_4", "val_loss").plot()

A Results has what a user asks for; what is computed from it lies beside it, in modules of its own.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import pandas as pd

from nbstudy.checks import check_known, fail
from nbstudy.decision.elimination import Choice, Verdict
from nbstudy.files import CHECKPOINT, read_record
from nbstudy.records.outputs import Outputs
from nbstudy.records.reading import Run, field_of
from nbstudy.records.record import log_of
from nbstudy.records.rounds import Round, choose_in, judge_round, rounds_of
from nbstudy.records.states import State
from nbstudy.records.studies import Studies, beside_each_other
from nbstudy.records.table import histories_of, table_of
from nbstudy.uncollected import uncollected

Several = list[str] | list[Path] | tuple[str | Path, ...]

HOW_TO_MAKE_ONE = "`nbstudy params/NAME.yaml` makes that of outputs/NAME"
KERAS = ".keras"  # how the files of its models are called


@dataclass(frozen=True, eq=False)
class Results(Outputs):
    """Everything that a study left, its runs by configuration in `runs`."""

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row a configuration, in the study's order; the index is the configuration's name.

        state                 complete, unfinished, stale or missing; replaced, where such runs were asked for
        reason                why it is not complete, or what a replaced run was made with that is not today's
        error                 of an attempt that failed
        attempts, started     how often it was begun, and when first (UTC)
        minutes               that it took, over all attempts
        device                that it ran on
        environment_changes   what was not the same when it was resumed
        weights               of the network
        epochs                that were trained
        diverged              the epoch at which the loss was no longer finite
        ended                 why it ended early on purpose
        note                  what the author of the study notes of it
        settled_<metric>      the mean over the last tenth of the epochs, rounded up, as far as they were measured; NaN
                              if one is not finite, or none is there
        best_<metric>         the best value of any epoch, of a metric of which it is known what is better,
        best_<metric>_epoch   and which epoch that was, from 1
        gap                   settled_val_loss - settled_loss
        <name>                each number in result.json; result_<name> where another column has that name
        param_<name>          each parameter, in its own type

        Metrics are in the units of the files. What a run does not have is missing (NaN, NA, None).
        """
        return table_of(self)

    @cached_property
    def histories(self) -> pd.DataFrame:
        """A row an epoch of each run, whatever its state, in the study's order.

        configuration    its name
        epoch            from 1
        <metric>         each further column of history.csv; NaN where it was not measured or is not finite

        What a history says is in notebooks/README.md; one that cannot be read has no epochs.
        """
        return histories_of(self)

    def curves(
        self, names: Collection[str], metric: str | None = None, epochs: int | None = None
    ) -> pd.DataFrame:
        """Return a metric of several runs: a row an epoch, a column a run, NaN after its last epoch."""
        return pd.DataFrame({name: self.curve(name, metric, epochs) for name in names})

    def load_model(self, name: str) -> Any:
        """Return the Keras model of a run, without its optimizer: to predict with, not to train on.

        That is for Keras alone: of any other template `runs[name].checkpoint` is the file to load. Raise StudyError
        where the model is not there or cannot be loaded.
        """
        check_known([name], self.everything, f"{self.directory}: configuration")
        run = self.everything[name]
        file = run.checkpoint
        if file.suffix != KERAS:
            file = run.directory / CHECKPOINT
        cure = how_to_get_a_model(run, self.record)
        if not file.exists():
            fail(file.as_posix(), f"is not here; {cure}")
        with quiet_stderr():
            try:
                import keras

                return keras.models.load_model(file, compile=False)
            except ModuleNotFoundError as error:
                extra = "install nbstudy with its extra, as in pip install '/path/to/nbstudy[keras]'"
                fail("load_model", f"needs {error.name}, which is not installed here; {extra}")
            except Exception as error:  # noqa: BLE001 - a damaged archive shows in many ways
                fail(file.as_posix(), f"cannot be loaded ({type(error).__name__}); {cure}")

    @cached_property
    def rounds(self) -> list[Round]:
        """The rounds of elimination: those of the study file, or the rungs as far as they are reached."""
        return rounds_of(self)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """What the rule says of each of the rounds."""
        return [judge_round(self, each) for each in self.rounds]

    def judge(self, each: Round) -> Verdict:
        """Return what the rule says of a round. A rung that keeps a number of candidates drops the others."""
        for own, verdict in zip(self.rounds, self.verdicts, strict=True):
            if own is each:
                return verdict
        return judge_round(self, each)

    def choose(self) -> Choice:
        """Choose among the candidates of the last round, or of the last rung, as it judges them."""
        return choose_in(self, self.rounds, self.judge)

    @property
    def is_writable(self) -> bool:
        """Whether there is a study, and its directory can be written to."""
        return bool(self.runs) and os.access(self.directory, os.W_OK)


# --- reading ---
@overload
def load_results(outputs: str | Path, missing_ok: bool = False, replaced: bool = False) -> Results: ...


@overload
def load_results(outputs: Several, missing_ok: bool = False, replaced: bool = False) -> Studies[Results]: ...


def load_results(
    outputs: str | Path | Several, missing_ok: bool = False, replaced: bool = False
) -> Results | Studies[Results]:
    """Return everything that a study left in its directory, which is outputs/<study>; of several, Studies.

    With `replaced` its table and histories also have the runs whose places others have taken, as
    "model_4@2026-01-31T23-59-59.123Z", by when that was; no round looks at them.

    Raise StudyError where there is no study, unless `missing_ok`, which gives empty Results; and where a newer
    version of nbstudy wrote a study.json or run.json.
    """
    if isinstance(outputs, str | Path):
        return read_results(Path(outputs), missing_ok, replaced)
    return beside_each_other(read_results(Path(each), missing_ok, replaced) for each in outputs)


@uncollected()
def read_results(directory: Path, missing_ok: bool, replaced: bool) -> Results:
    """Return what one study left, as `load_results` does."""
    file = directory / "study.json"
    record = read_record(file)
    if file.exists() and not record and not missing_ok:
        cure = "bring it back, as from git, or run the study again, which writes it anew"
        fail(f"{directory}", f"there is no study here that can be read: {file.name} is damaged; {cure}")
    if not record and not missing_ok:
        fail(f"{directory}", f"there is no study here{beside(directory)}; {HOW_TO_MAKE_ONE}")
    return Results.read(directory, record, replaced)


def beside(directory: Path) -> str:
    """Name the studies that lie beside a directory."""
    studies = sorted(path.parent.as_posix() for path in directory.parent.glob("*/study.json"))
    if not studies:
        return ""
    return f" (beside it: {', '.join(studies)})"


def how_to_get_a_model(run: Run, record: dict[str, Any]) -> str:
    """Say how a run comes to a model that can be loaded here, by the study.json of its study."""
    if run.checkpoint.suffix != KERAS:
        return (
            f"load_model is for Keras, and what this run leaves is {run.checkpoint.as_posix()}: load that as its "
            "template does"
        )
    if not field_of(record, "lengthens", str):
        log = log_of(run.name, run.directory, run.record).as_posix()
        return f"nothing says that its template leaves one: see {log}"
    if run.state is State.REPLACED:
        return "what is replaced is kept without it"
    if run.state in (State.MISSING, State.UNFINISHED):
        return "run the study again, which trains it"
    place = run.directory.as_posix()
    return f"unless git has it, remove {place}/ and run the study again, which trains it anew"


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep out what TensorFlow writes straight to the standard error stream: notes about the machine."""
    standard_error = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)
