"""Plain numbers in, a decision out: which values are better, who is dropped, what is chosen.

It imports no other wing, no pandas, and SciPy only when there is something to decide. Others take `metrics.Metric`, and
the rules: `judge` and `choose` of `elimination`, `climb` of `halving`, `run_race` of `race`, with what these are given and what they
say.
"""
