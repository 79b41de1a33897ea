"""How far the cells of a notebook have come while a kernel runs them, and the error of one in a line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from nbstudy.execution.last_words import plain


@dataclass
class Progress:
    """How far a notebook has come."""

    begun: bool = False
    cells: int = 0  # of code, that will run
    ended: int = 0
    reply: dict[str, Any] = field(default_factory=dict)  # of the kernel, when the last of them ended

    def begin(self, notebook: Any) -> None:
        """Note that a notebook is about to run."""
        self.begun = True
        for cell in notebook.cells:
            is_skipped = "skip-execution" in cell.metadata.tags or not cell.source.strip()
            if cell.cell_type == "code" and not is_skipped:
                self.cells += 1

    def end_cell(self, execute_reply: Any, **_: Any) -> None:
        """Note that a cell has ended, with or without an error."""
        self.ended += 1
        self.reply = execute_reply["content"]

    def error(self) -> str | None:
        """Return the error of the cell that ended last, however the notebook shows errors; None if it has none."""
        if self.reply.get("status") != "error":
            return None
        message = self.reply["evalue"]
        if not message.strip():  # as of a bare assert: name what failed
            traceback = plain("\n".join(self.reply["traceback"]))
            message = "".join(re.findall(r"^-+> *\d+ +(.+)", traceback, re.MULTILINE)[-1:])
        return in_one_line(self.reply["ename"], message)


def in_one_line(name: str, message: str) -> str:
    """Return an error in one line: its name, and the first words of its message."""
    for line in plain(message).splitlines():
        if line.strip():
            return f"{name or 'Error'}: {line.strip()}"
    return name or "Error"
