"""nbstudy as somebody has it who installed it: without this checkout, in a project of their own.

Helpers only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from project import PATIENCE, ROOT


class Installed:
    """The command `nbstudy`, installed in a directory from a copy of what a wheel is built from."""

    def __init__(self, root: Path) -> None:
        self.source = root / "source"
        self.site = root / "site"
        shutil.copytree(
            ROOT / "nbstudy", self.source / "nbstudy", ignore=shutil.ignore_patterns("__pycache__")
        )
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, self.source)
        command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
        command += ["--quiet", "--disable-pip-version-check", "--target", str(self.site), str(self.source)]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)

    def run(self, place: Path, *arguments: str, status: int = 0, **environment: str) -> str:
        """Run `nbstudy` in a directory; return all that it printed."""
        done = subprocess.run(
            [sys.executable, str(self.site / "bin" / "nbstudy"), *arguments],
            cwd=place,
            env=os.environ | {"PYTHONPATH": str(self.site)} | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * PATIENCE,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr
