"""Plain numbers in, a decision out: which values are better, who is dropped, what is chosen.

It imports no other wing, and no pandas. Others take `elimination.judge` and `choose`, and `metrics.Metric`.
"""
