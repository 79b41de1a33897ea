"""A project whose template imports the project's own files in every way that there is.

Helpers only: the tests are in end_to_end/test_inputs.py.
"""

from __future__ import annotations

import sysconfig
import venv
from pathlib import Path

from project import Project

# what each of these is called is what it is for
FILES = {
    "lib/installed/__init__.py": "VALUE = 1\n",  # as by `pip install --editable .`
    "src/package/__init__.py": "from package import part\n",
    "src/package/part.py": (
        "from pathlib import Path\n\nVALUE = len(Path(__file__).with_name('words').joinpath('table.txt').read_text())\n"
    ),
    "src/package/words/table.txt": "one\n",
    "tools/loaded.py": "VALUE = 1\n",
    "tools/executed.py": "VALUE = 1\n",
    "tools/run.py": "VALUE = 1\n",
    "tools/script.py": "print(1)\n",
    "tools/of_a_child.py": "VALUE = 1\n",
}
# which are found by `python_path`, and travel with the template
TRAVELLING = {
    "code/travelling/__init__.py": (
        "from pathlib import Path\n\nVALUE = Path(__file__).with_name('numbers.txt').read_text()\n"
    ),
    "code/travelling/numbers.txt": "one\n",
}
UNSEEN = {"src/package/unused.py": "VALUE = 1\n", "data/houses.csv": "rooms,price\n3,100\n"}
CELL = """
    import installed
    import travelling

    import importlib.util
    import json
    import multiprocessing
    import os
    import runpy
    import subprocess
    import sys
    from pathlib import Path

    project = Path(os.environ["NBSTUDY_PROJECT"])
    sys.path.insert(0, str(project / "src"))
    import package

    specification = importlib.util.spec_from_file_location("loaded", project / "tools/loaded.py")
    loaded = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(loaded)
    exec((project / "tools/executed.py").read_text())
    ran = runpy.run_path(str(project / "tools/run.py"))
    printed = subprocess.check_output([sys.executable, project / "tools/script.py"])


    def be_a_child():
        runpy.run_path(str(project / "tools/of_a_child.py"))


    child = multiprocessing.get_context("fork").Process(target=be_a_child)
    child.start()
    child.join()
    assert child.exitcode == 0

    (project / "tools/made.json").write_text("{}")
    json.loads((project / "tools/made.json").read_text())
    houses = (project / "data/houses.csv").read_text()
    Path("result.json").write_text(json.dumps({"score": level}))
"""
STUDY = """
notebooks: {run: importing.ipynb, summary: null}
python_path: [code]
metric: score
better: higher
configurations:
  low: {level: 1.0}
  high: {level: 2.0}
"""


def write_files(project: Project, files: dict[str, str]) -> None:
    """Write files by their paths in a project."""
    for path, text in files.items():
        file = project.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def importing_project(project: Project) -> str:
    """Make a project import everything, with a Python of its own that has its package installed; return its study."""
    write_files(project, FILES | TRAVELLING | UNSEEN)
    project.notebook("importing.ipynb", {"parameters": "level: float = 0.0", "": CELL})
    project.python = python_with(project.root / "venv", project.root / "lib")
    return project.study(STUDY)


def python_with(directory: Path, source: Path) -> Path:
    """Make a virtual environment with today's libraries and a project installed as editable; return its Python."""
    venv.create(directory, symlinks=True)
    python = directory / "bin" / "python"
    names = {"base": str(directory), "platbase": str(directory)}
    place = Path(sysconfig.get_path("purelib", vars=names))
    libraries = sysconfig.get_path("purelib")
    # the first line is what pip leaves of an editable project, the second stands for an installation of all the others
    (place / "own.pth").write_text(f"{source}\n{libraries}\n")
    return python
