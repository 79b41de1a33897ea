"""YAML 1.2 as ruamel.yaml reads it: data only, no tags, no duplicate keys.

It is imported for what is no JSON alone, since it takes a moment.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor


class Constructor(SafeConstructor):
    """Take a plain `=` or `<<` for the text that it is in YAML 1.2.

    ruamel.yaml 0.19.1 gives them types that YAML 1.1 had ("value" and "merge"), and then cannot construct these:
    `a: =` is "could not determine a constructor". As a key `<<` still merges.
    """


Constructor.add_constructor("tag:yaml.org,2002:value", SafeConstructor.construct_yaml_str)
Constructor.add_constructor("tag:yaml.org,2002:merge", SafeConstructor.construct_yaml_str)


def load(text: str) -> Any:
    """Return what a text holds; raise whatever ruamel.yaml raises."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = Constructor
    return yaml.load(text)
