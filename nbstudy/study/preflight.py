"""The preflight cell of a template, run on every configuration before anything else.

It refuses values that make no sense, and says what a run costs, what lengthens it and what it resumes from.
"""

from __future__ import annotations

import copy
import json
import math
from collections import Counter
from collections.abc import Mapping
from types import CodeType
from typing import Any

from nbstudy.checks import Faults, Interrupted, StudyError, check_known, fail, shorten
from nbstudy.files import CHECKPOINT
from nbstudy.study.cells import compile_plain
from nbstudy.study.configurations import NAME, Named
from nbstudy.study.modules import importable
from nbstudy.study.parameters import WHOLE_NUMBER, convert
from nbstudy.study.template import Template

SET_BY_PREFLIGHT = ["flops", "lengthens", "checkpoint"]  # for the runner, where these are no parameters
OWN_FILES = {"run.json", "result.json", "history.csv"}  # of a run, none of which is its checkpoint


class InvalidConfiguration(StudyError):
    """A configuration whose values the template refuses."""


class Preflight:
    """The template's preflight cell, run on every configuration, and what it says of them."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self.cells: list[CodeType] = []
        for source in template.preflight:
            self.cells.append(compile_plain(source, f"{template.file}: preflight"))
        self.flops: dict[str, float] = {}  # by the values of a configuration
        self.has_run = False
        self.lengthens: str | None = None
        self.checkpoint = CHECKPOINT

    def run(self, name: str, parameters: Mapping[str, Any], place: str) -> float:
        """Run it on one configuration; keep what it sets for all, and return the FLOPs of the run.

        What it said of equal values before, it says again.
        """
        key = json.dumps(parameters)
        if key not in self.flops:
            self.flops[key] = self.run_anew(name, parameters, place)
        return self.flops[key]

    def run_anew(self, name: str, parameters: Mapping[str, Any], place: str) -> float:
        """Run it on values of which it has said nothing yet."""
        names = dict(parameters)
        for each, value in parameters.items():
            if isinstance(value, list | dict):  # which it may change in place
                names[each] = copy.deepcopy(value)
        for cell in self.cells:
            try:
                exec(cell, names)  # noqa: S102 - the template's code, which is about to run anyway
            except ValueError as error:
                raise InvalidConfiguration(f"{place}: {error}") from None
            except Interrupted:
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the template got wrong
                fail(f"{place}: {cell.co_filename}", f"{type(error).__name__}: {error}")
        place = f"{place}: {self.template.file}: preflight"
        said = {key: names[key] for key in SET_BY_PREFLIGHT if key in names and key not in parameters}
        flops = check_flops(said.get("flops", 0), f"{place}: flops")
        lengthens = said.get("lengthens")
        if lengthens is not None:
            check_known([lengthens], parameters, f"{place}: lengthens")
            convert(parameters[lengthens], WHOLE_NUMBER, f"{place}: lengthens: {lengthens}")
        checkpoint = check_checkpoint(said.get("checkpoint", CHECKPOINT), f"{place}: checkpoint")
        if self.has_run and (lengthens, checkpoint) != (self.lengthens, self.checkpoint):
            fail(place, "`lengthens` and `checkpoint` must be the same for all configurations")
        self.has_run, self.lengthens, self.checkpoint = True, lengthens, checkpoint
        return flops


def check_flops(value: Any, place: str) -> float:
    """Return the cost of a run as a number, or refuse what is none."""
    try:
        flops = float(value)
    except (TypeError, ValueError, OverflowError):
        fail(place, f"must be a number, not {shorten(value)}")
    if not 0 <= flops < math.inf:
        fail(place, f"must be at least 0 and finite, not {flops}")
    return flops


def check_checkpoint(value: Any, place: str) -> str:
    """Return the name of the file that a run resumes from, or refuse it."""
    if (
        not isinstance(value, str)
        or not NAME.fullmatch(value)
        or value in OWN_FILES
        or value.endswith(".ipynb")
    ):
        others = ", ".join(sorted(OWN_FILES))
        fail(
            place, f"must be the name of a file in the run's directory, not {shorten(value)}, {others}, a log"
        )
    return value


def run_preflight(
    preflight: Preflight,
    named: Named,
    configurations: dict[str, dict[str, Any]],
    file: str,
    faults: Faults,
) -> tuple[dict[str, float], list[str]]:
    """Return the FLOPs of each configuration, and notes on the dispensable ones that the template refuses.

    These are taken out of `named` and of `configurations`.
    """
    template = preflight.template
    flops: dict[str, float] = {}
    left_out: Counter[str] = Counter()  # by the row of the grid that they come from
    with importable(template.modules):
        for name, parameters in list(configurations.items()):
            with faults:
                try:
                    flops[name] = preflight.run(name, parameters, f"{file}: configuration {name}")
                except InvalidConfiguration:
                    if name not in named.dispensable:
                        raise
                    left_out[named.dispensable[name]] += 1
                    del configurations[name], named.own[name]
    with faults:
        if left_out and not named.own and not faults.found:
            fail(file, f"has no configuration that {template.file} does not refuse; widen the grid")
    notes = []
    for place, number in left_out.items():
        notes.append(f"{place}: {number} configurations are left out, as {template.file} refuses them")
    return flops, notes
