"""The parameters of a study's configurations, and in which of them these differ."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from nbstudy.study.configurations import SEED

Kind = tuple[str, str]  # a parameter that is a text, and its value


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
    def keys(self) -> dict[str, str]:
        """A text for each configuration, which is the same for those that are equal in all parameters."""
        return {name: as_key(own) for name, own in self.given.items()}

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
        for kind in self.kinds_of(name):
            for key in among:
                if key != kind[0] and key not in unset and key in self.left_by_kinds.get(kind, ()):
                    unset.append(key)
        return unset

    def kinds_of(self, name: str) -> list[Kind]:
        """Return the kinds that a configuration is of."""
        kinds = []
        for parameter in self.factors:
            value = self.given[name].get(parameter)
            if isinstance(value, str):
                kinds.append((parameter, value))
        return kinds

    @cached_property
    def left_by_kinds(self) -> dict[Kind, set[str]]:
        """The parameters that all configurations of a kind leave at their default, those aside of the one that is made."""
        everything = dict.fromkeys(key for own in self.given.values() for key in own)
        defaults = {key: str(self.defaults.get(key)) for key in everything}
        left: dict[Kind, set[str]] = {}
        for name, own in self.given.items():
            kinds = self.kinds_of(name)
            if name == self.made or not kinds:
                continue
            at_default = {key for key in everything if str(own.get(key)) == defaults[key]}
            for kind in kinds:
                left[kind] = left.get(kind, at_default) & at_default
        return left

    def key_of(self, name: str, among: Collection[str]) -> str:
        """Return a text that is the same for configurations that are equal in some parameters."""
        return as_key({parameter: self.given[name].get(parameter) for parameter in among})


def as_key(parameters: dict[str, Any], without: str = "") -> str:
    """Return a text that is the same for equal parameters, leaving one of them out."""
    kept = {name: value for name, value in parameters.items() if name != without}
    return json.dumps(kept, sort_keys=True)
