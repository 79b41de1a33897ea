"""The parameters of a study's configurations, and in which of them these differ."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from nbstudy.study.configurations import SEED


@dataclass(frozen=True, eq=False)
class Parameters:
    """What a study asks of its configurations."""

    given: dict[str, dict[str, Any]]  # by configuration, in the study's order
    lengthens: str | None  # the parameter whose increase continues a finished run, such as epochs
    made: str | None  # the configuration that is made of the choice
    defaults: dict[str, Any] = field(default_factory=dict)  # of the template

    @cached_property
    def first(self) -> dict[str, str]:
        """The first of its replicates, for each configuration: equal in all parameters but the seed."""
        first: dict[str, str] = {}
        return {name: first.setdefault(as_key(own, without=SEED), name) for name, own in self.given.items()}

    @cached_property
    def varying(self) -> list[str]:
        """Those that are not the same for all, but for the one that lengthens a run."""
        return self.varying_among(self.given)

    @cached_property
    def factors(self) -> list[str]:
        """Those that vary by intention: all that vary but the seed, the configuration that is made aside."""
        names = [name for name in self.given if name != self.made]
        return [name for name in self.varying_among(names) if name != SEED]

    def varying_among(self, names: Collection[str]) -> list[str]:
        """Return those that are not the same for some configurations, but for the one that lengthens a run."""
        values: dict[str, set[str]] = {}
        for name in names:
            for parameter, value in self.given[name].items():
                values.setdefault(parameter, set()).add(str(value))
        return [name for name, texts in values.items() if len(texts) > 1 and name != self.lengthens]

    def differing(self, name: str, other: str, among: Collection[str]) -> list[str]:
        """Return those, among some, in which two configurations differ."""
        ours, theirs = self.given[name], self.given[other]
        return [key for key in among if str(ours.get(key)) != str(theirs.get(key))]

    def not_set(self, name: str, among: Collection[str]) -> list[str]:
        """Return those, among some, that a configuration and all of its kind leave at their default.

        A kind is a text that varies, as `model: mlp` does. What none of a kind sets while another kind does may well have
        no effect on it, as a penalty has none on nearest neighbours.
        """
        unset: list[str] = []
        for kind in self.factors:
            own = self.given[name].get(kind)
            if not isinstance(own, str):
                continue
            alike = [
                each for each, given in self.given.items() if given.get(kind) == own and each != self.made
            ]
            for key in among:
                values = {str(self.given[each].get(key)) for each in alike}
                if key != kind and key not in unset and values == {str(self.defaults.get(key))}:
                    unset.append(key)
        return unset

    def key_of(self, name: str, among: Collection[str]) -> str:
        """Return a text that is the same for configurations that are equal in some parameters."""
        return as_key({parameter: self.given[name].get(parameter) for parameter in among})


def as_key(parameters: dict[str, Any], without: str = "") -> str:
    """Return a text that is the same for equal parameters, leaving one of them out."""
    kept = {name: value for name, value in parameters.items() if name != without}
    return json.dumps(kept, sort_keys=True)
