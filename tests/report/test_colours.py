"""The colours of figures and of the page to explore: they can be read on their ground."""

from __future__ import annotations

import re

import pytest
from matplotlib.colors import to_hex, to_rgb

from nbstudy.report.colours import COLOURS, GREY
from nbstudy.report.page import asset

LEAST = 4.5  # what WCAG 2 asks for of letters


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour."""
    red, green, blue = (linear(part) for part in to_rgb(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def linear(part: float) -> float:
    """Return a part of a colour as an amount of light."""
    if part <= 0.04045:
        return part / 12.92
    return float(((part + 0.055) / 1.055) ** 2.4)


def variables(scheme: str) -> dict[str, str]:
    """Return the colours of the page, for light or for dark ground."""
    style = asset("page.css")
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    text = light if scheme == "light" else dark
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", text))


@pytest.mark.parametrize("colour", [*COLOURS, GREY])
def test_labels_can_be_read_in_the_colour_of_what_they_name(colour: str) -> None:
    assert contrast(colour, "white") >= LEAST


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_and_lines_of_the_page_can_be_read(scheme: str) -> None:
    found = variables(scheme)
    letters = [name for name in found if name not in ("ground", "panel", "line")]
    assert len(letters) == len(COLOURS) + 4
    for name in letters:
        assert contrast(found[name], found["ground"]) >= LEAST, name


def test_page_has_the_colours_of_the_figures() -> None:
    found = variables("light")
    assert [to_hex(found[f"colour-{place}"]) for place in range(len(COLOURS))] == [
        to_hex(each) for each in COLOURS
    ]
    assert found["grey"] == to_hex(GREY)
