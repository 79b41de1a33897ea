"""The colours of all figures; which configuration has which is decided in looks.py."""

from __future__ import annotations

# Okabe and Ito's colours, which colour-blind people can tell apart, but brown for their yellow
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31"]
GREY = "0.5"  # of what is dropped, and of notes
FAINT = "0.75"  # of lines that lead from a dot to its label
SHADE = "0.92"  # of what lies within the noise of the best
STRONG = "black"  # of a median over many lines
