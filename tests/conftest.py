"""A project of its own for a test: the real runner and notebooks, copied, with studies to run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent

# A template without TensorFlow, for what concerns the runner and not the training.
TINY = {
    "parameters": """
        steps: int = 3  # rows of the history
        seconds: float = 0.0  # of a step
        text: str = ""  # kept as it is
        flag: bool = False  # of no effect
    """,
    "preflight": """
        if steps < 1:
            raise ValueError(f"steps must be at least 1, not {steps}")
        flops, lengthens = 1e9 * steps, "steps"
    """,
    "": """
        import json, time
        from pathlib import Path

        if text == "fail":
            raise RuntimeError("asked to fail")
        rows = ["epoch,val_loss"]
        for step in range(1, steps + 1):
            time.sleep(seconds)
            rows.append(f"{step},{1 / step}")
            Path("partial.csv").write_text("\\n".join(rows) + "\\n")
            Path("partial.csv").replace("history.csv")
        Path("result.json").write_text(json.dumps({"text": text}))
    """,
}


class Project:
    """A copy of runner, notebooks and studies in a directory of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.started: list[subprocess.Popen[str]] = []
        for name in ("runner.py", "study.py"):
            shutil.copy(ROOT / name, root)
        for name in ("notebooks", "params"):
            shutil.copytree(ROOT / name, root / name)
        cells = [
            new_code_cell(textwrap.dedent(source).strip(), metadata={"tags": [tag] if tag else []})
            for tag, source in TINY.items()
        ]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(new_notebook(cells=cells, metadata=kernel), root / "notebooks" / "tiny.ipynb")

    def study(self, text: str, name: str = "mine") -> str:
        """Write a study file; return its path as the command line takes it."""
        (self.root / "params" / f"{name}.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
        return f"params/{name}.yaml"

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of the runner."""
        return [sys.executable, str(self.root / "runner.py"), *arguments]

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run the runner; return all that it printed."""
        done = subprocess.run(
            self.command(*arguments), cwd=self.root, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the runner and leave it running; it is killed at the end of the test."""
        process = subprocess.Popen(
            self.command(*arguments), cwd=self.root, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.started.append(process)
        return process

    def edit(self, notebook: str, old: str, new: str) -> None:
        """Replace code in a notebook."""
        path = self.root / "notebooks" / notebook
        content = nbformat.read(path, as_version=4)
        assert any(old in cell.source for cell in content.cells)
        for cell in content.cells:
            cell.source = cell.source.replace(old, new)
        nbformat.write(content, path)

    def outputs(self, *parts: str) -> Path:
        """Return a path in outputs/."""
        return self.root.joinpath("outputs", *parts)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project in which nothing has run."""
    project = Project(tmp_path)
    yield project
    for process in project.started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: Any) -> Callable[[], Project]:
    """Return a function that makes projects, for fixtures that live longer than a test."""
    return lambda: Project(tmp_path_factory.mktemp("project"))
