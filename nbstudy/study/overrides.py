"""Overrides of the command line, `-p NAME VALUE`: a value for every configuration of a study."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from nbstudy.checks import Faults, fail, shorten
from nbstudy.study.configurations import NAME
from nbstudy.study.parameters import text_of
from nbstudy.study.study_file import read_text
from nbstudy.study.template import Template, convert_parameters


def parse_overrides(overrides: Iterable[tuple[str, str]], template: Template) -> dict[str, Any]:
    """Return `-p NAME VALUE` pairs in the template's types, in the order of their names."""
    values: dict[str, Any] = {}
    for name, text in sorted(overrides):
        if name in values:
            fail(f"-p {name}", "is given twice")
        values[name] = text
        if name in template.declarations:
            values[name] = parse_value(text, template.declarations[name].kinds)
    values = convert_parameters(values, template, "-p")
    faults = Faults()
    for name, value in values.items():
        with faults:
            if not NAME.fullmatch(text_of(value)):
                cure = "write a configuration with it instead"
                fail(f"-p {name}", f"{shorten(value)} cannot be part of a directory's name; {cure}")
    faults.end()
    return values


def parse_value(text: str, kinds: Collection[type]) -> Any:
    """Return what YAML takes a text for, the text itself where that is asked for or YAML takes it for nothing."""
    if kinds == (str,):
        return text
    try:
        value = read_text(text)
    except Exception:  # noqa: BLE001 - ruamel.yaml lets all kinds through
        return text
    if str in kinds and type(value) not in kinds:
        return text
    return value
