"""The colours of all figures; which configuration has which is decided in looks.py.

Each can be read as letters on white, at a contrast of 4.5 or more, so that a label has the colour of what it names.
Colour-blind people can tell them apart: the two that are nearest differ by 15 in CIEDE2000, for normal eyes, protans and
deutans (Machado, Oliveira and Fernandes, 2009, at full severity).
"""

from __future__ import annotations

COLOURS = ["#0072B2", "#842F00", "#0C776D", "#C22062", "#976E0A", "#3A0F66", "#000000", "#593031"]
GREY = "#6B6B6B"  # of what is dropped, and of notes
FAINT = "0.75"  # of lines that lead from a dot to its label
SHADE = "0.92"  # of what lies within the noise of the best
STRONG = "black"  # of a median over many lines
