"""Do what the command line asks for: run a study or, where the first word says so, something else."""

from __future__ import annotations

import sys
from pathlib import Path


def main(here: Path | None = None, study: str | None = None) -> None:
    """Do what the command line asks for.

    Paths begin `here`, by default in the working directory. `study` is the file that is run where none is named.
    """
    program, *words = sys.argv
    name = Path(program).name
    defaults = {}
    if study is not None:
        defaults["study_file"] = study
    # each imported when it is asked for: a command with nothing to do is fast
    if words[:1] == ["new"]:
        from nbstudy.command.new import new

        new.main(words[1:], f"{name} new", obj=here or Path())
    else:
        from nbstudy.command.run import run

        run.main(words, name, obj=here or Path(), default_map=defaults)
