"""The log of a run: the notebook that papermill executes, with what papermill leaves out of it.

Output goes into the cell that caused it, also when that has ended; an error that no cell could show is shown where it
happened; paths of this machine are removed; a head tells what came of the run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from nbstudy.execution.environment import THE_END
from nbstudy.execution.once import find_classes_of_traits, made_once
from nbstudy.files import read_json, write_json
from nbstudy.study.notebook import identifier

ENGINE = "nbstudy"  # the name by which papermill finds what executes notebooks here
POLL = 0.05  # seconds between two looks at whether a kernel has ended
SOON = 0.002  # the same, once it has sent its last message
OUTPUT = {"stream", "display_data", "update_display_data", "execute_result", "error", "clear_output"}
HEAD = "nbstudy-head"  # the tag of the cell at the head of a log
ERROR_MARK = "papermill-error-cell"  # the anchor that papermill puts above the cell that failed
AT_MOST_EVERY = 1.0  # seconds in which a log is saved once, however fast cells and outputs follow each other
AT_MOST_OFTEN = 0.1  # of the time, where saving it takes long
GRACE = 0.2  # seconds in which the last output arrives of a kernel that could not say that it was the last


# --- while it is executed ---
def register_engine() -> None:
    """Tell papermill how notebooks are executed here."""
    from papermill.engines import papermill_engines

    papermill_engines.register(ENGINE, made_once(engine_class))


def engine_class() -> type[Any]:
    """Return the class by which papermill executes notebooks here."""
    from jupyter_core.utils import ensure_event_loop
    from nbclient.exceptions import CellExecutionComplete
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import Engine, NotebookExecutionManager

    class Client(PapermillNotebookClient):  # type: ignore[misc]
        """Puts each output into the cell that caused it, and ends the kernel when all cells have ended."""

        def __init__(self, manager: Any, **options: Any) -> None:
            # its file for the history is said by the kernel's settings
            super().__init__(manager, ipython_hist_file="", **options)
            self.places: dict[str, tuple[Any, int]] = {}  # cells and their indices, by their requests
            self.to_be_cleared: dict[int, bool] = {}  # when the next output comes, by the index of the cell
            self.has_said_all = False  # the kernel, at its end

        def execute(self, **options: Any) -> Any:
            notebook = super().execute(**options)
            ensure_event_loop().run_until_complete(self.end_kernel())
            return notebook

        async def _async_poll_output_msg(self, request: str, cell: Any, index: int) -> None:
            # that of nbclient 0.11 (client.py) drops what another cell than the one that runs has caused
            self.places[request] = (cell, index)
            self.to_be_cleared[index] = False
            while True:
                message = await self.kc.iopub_channel.get_msg()
                try:
                    self.put_into_its_cell(message)
                except CellExecutionComplete:
                    if message["parent_header"]["msg_id"] == request:
                        return

        def put_into_its_cell(self, message: Any) -> None:
            """Process what a cell has caused; raise CellExecutionComplete where that says that it has ended."""
            request = message["parent_header"].get("msg_id")
            if request in self.places:
                self.put(message, *self.places[request])

        def put(self, message: Any, cell: Any, index: int) -> None:
            """Process a message, for which nbclient does not keep apart which cell waits to be cleared."""
            self.clear_before_next_output = self.to_be_cleared[index]
            try:
                self.process_message(message, cell, index)
            finally:
                self.to_be_cleared[index] = self.clear_before_next_output

        async def end_kernel(self) -> None:
            """Ask the kernel to end, and keep what it puts out until it has."""
            await self.km.ask_to_end()
            while await self.km.is_ending():
                await self.take_output(timeout=SOON if self.has_said_all else POLL)
            while not self.has_said_all and await self.take_output(timeout=GRACE):
                pass

        async def take_output(self, timeout: float) -> bool:
            """Keep what an ending kernel puts out next; tell whether anything came in so many seconds.

            What threads and exit handlers put out is of no cell any more: it goes into the last one.
            """
            try:
                message = await self.kc.iopub_channel.get_msg(timeout)
            except Empty:
                return False
            self.has_said_all = message["msg_type"] == THE_END
            if message["msg_type"] in OUTPUT and self.places:
                last = list(self.places.values())[-1]
                self.put(message, *self.places.get(message["parent_header"].get("msg_id"), last))
            return True

    class Manager(NotebookExecutionManager):  # type: ignore[misc]
        """Saves the log at most once a second, so that a kill loses no more of it than that.

        papermill 2.7 (engines.py) saves it before and after each cell, also of text, has nbformat check it each time, and keeps
        the outputs of a cell that runs long back for half a minute.
        """

        next_save = 0.0  # seconds of the monotonic clock
        waiting: Any = None  # a call of the event loop, where there is something that is not saved yet
        failure: OSError | None = None  # of a full disk, while a cell ran

        def save(self, **_: Any) -> None:
            """Save the log now, or soon while a cell runs; raise OSError where that failed."""
            if self.failure:
                raise self.failure
            left = self.next_save - time.monotonic()
            if left <= 0:
                self.write()
            elif not self.waiting:
                self.waiting = ensure_event_loop().call_later(left, self.write_while_a_cell_runs)

        def autosave_cell(self, **_: Any) -> None:
            """Save the log soon, with an output that has just come."""
            self.save()

        def write_while_a_cell_runs(self) -> None:
            """Save the log; keep a failure for the next save."""
            try:
                self.write()
            except OSError as failure:
                self.failure = failure

        def write(self) -> None:
            """Save the log."""
            self.wait_no_more()
            began = time.monotonic()
            write_json(Path(self.output_path), self.nb, is_final=False)
            ended = time.monotonic()
            self.next_save = ended + max(AT_MOST_EVERY, (ended - began) / AT_MOST_OFTEN)

        def wait_no_more(self) -> None:
            """Take back what is waiting."""
            if self.waiting:
                self.waiting.cancel()
            self.waiting = None

        def notebook_complete(self, **options: Any) -> None:
            """Save the log for good."""
            self.wait_no_more()
            self.next_save = 0.0
            super().notebook_complete(**options)

    class OurEngine(Engine):  # type: ignore[misc]
        @classmethod
        def execute_notebook(
            cls, notebook: Any, kernel_name: str, output_path: str, progress_bar: bool, **options: Any
        ) -> Any:
            manager = Manager(notebook, output_path=output_path, progress_bar=progress_bar)
            manager.notebook_start()
            try:
                cls.execute_managed_notebook(manager, kernel_name, **options)
            finally:
                manager.notebook_complete()
            return manager.nb

        @classmethod
        def execute_managed_notebook(
            cls, manager: Any, kernel_name: str, input_path: str, start_timeout: float, **options: Any
        ) -> None:
            Client(manager, kernel_name=kernel_name, startup_timeout=start_timeout, **options).execute()

    find_classes_of_traits(Client)
    return OurEngine


# --- when it has been executed ---
def finish_log(notebook: Path, remarks: Sequence[str], error: str | None) -> None:
    """Complete a log: mark where an error ended it, say remarks beside its parameters, remove this machine's paths."""
    if not read_json(notebook).get("cells"):  # a full disk left no log: the error is told by the runner alone
        return
    if error:
        mark_error(notebook, error)
    log = read_json(notebook)
    for key in ("input_path", "output_path"):
        log.get("metadata", {}).get("papermill", {}).pop(key, None)
    for cell in log.get("cells", []):
        if "injected-parameters" in cell["metadata"].get("tags", []):
            source = "".join(cell["source"])  # a log that is not final holds texts, and no lists of lines
            cell["source"] = [*(f"# {remark}\n" for remark in remarks), *source.splitlines(keepends=True)]
    write_json(notebook, log)


def mark_error(notebook: Path, error: str) -> None:
    """Mark the cell that was the last to run as failed, as papermill does, unless it has; those after it as pending.

    papermill 2.7 (engines.py, notebook_complete) calls all cells completed when the kernel has died.
    """
    import nbformat
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import ERROR_MARKER_TAG, raise_for_execution_errors

    log = nbformat.read(notebook, as_version=4)
    cells = [cell for cell in log.cells if cell.cell_type == "code"]
    is_marked = any(ERROR_MARKER_TAG in cell.metadata.get("tags", []) for cell in log.cells)
    if is_marked or not cells:
        return
    failed = cells[0]  # where the kernel did not even start
    for cell in cells:
        status = cell.metadata.setdefault("papermill", {})
        if status.get("start_time"):
            failed = cell
        else:
            status["status"] = "pending"
    failed.metadata.papermill.update(status="failed", exception=True)
    log.metadata.setdefault("papermill", {})["exception"] = True
    name, _, message = error.partition(": ")
    failed.outputs.append(nbformat.v4.new_output("error", ename=name, evalue=message, traceback=[error]))
    with suppress(PapermillExecutionError):
        raise_for_execution_errors(log, str(notebook))  # marks it, and writes the log


def put_head(notebook: Path, text: str) -> None:
    """Put a cell of Markdown at the head of a log, in place of any head that it has."""
    log = read_json(notebook)
    cells = [cell for cell in log["cells"] if HEAD not in cell["metadata"].get("tags", [])]
    taken = {cell["id"] for cell in cells if "id" in cell}
    head = {
        "cell_type": "markdown",
        "id": identifier("head", 0, taken),
        "metadata": {"tags": [HEAD]},
        "source": text.splitlines(keepends=True),
    }
    log["cells"] = [head, *cells]
    write_json(notebook, log)


def failed_cell(notebook: Path) -> str:
    """Return which of the cells of code that run was the one that failed in a log, in Markdown; empty where none did."""
    ran = []
    for cell in read_json(notebook).get("cells", []):
        is_skipped = "skip-execution" in cell["metadata"].get("tags", [])
        if cell["cell_type"] == "code" and "".join(cell["source"]).strip() and not is_skipped:
            ran.append(cell["metadata"].get("papermill", {}).get("status"))
    if "failed" not in ran:
        return ""
    return f"[code cell {ran.index('failed') + 1} of {len(ran)}](#{ERROR_MARK})"
