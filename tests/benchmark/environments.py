"""Virtual environments for the peers: each in its newest release, with TensorFlow and Keras as we pin them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from benchmark.processes import run
from project import ROOT

# what the networks are trained with is the same for all, so that only who runs them differs
PINNED = ("tensorflow", "keras", "numpy", "scikit-learn")


def make_environment(directory: Path, packages: tuple[str, ...]) -> Path:
    """Make a virtual environment, or renew what is there; return its Python.

    The packages come first, so that no pin can hold them back from their newest release. What pip downloads
    is kept beside the directory, for the other environments.
    """
    run([sys.executable, "-m", "venv", str(directory)])
    python = directory / "bin" / "python"
    pip = [str(python), "-m", "pip", "--cache-dir", str(directory.parent / "pip")]
    run([*pip, "install", "--upgrade", *packages])
    run([*pip, "install", *pinned()])
    run([*pip, "check"])
    return python


def pinned() -> list[str]:
    """Return the requirements, with versions, of what the networks are trained with."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    requirements = []
    for library in PINNED:
        requirements += re.findall(rf"^{library}==.*", text, re.MULTILINE)
    return requirements


def versions_of(python: Path, packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of packages, and of what the networks are trained with, in an environment."""
    listed = json.loads(run([str(python), "-m", "pip", "list", "--format", "json"]))
    installed = {package["name"].lower(): package["version"] for package in listed}
    names = [package.partition("[")[0] for package in packages]
    return {name: installed[name] for name in (*names, *PINNED)}
