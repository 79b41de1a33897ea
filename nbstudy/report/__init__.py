"""Tell it: the tables, figures and sentences of the summary.

It may import all other wings; nothing but the summary notebook imports it. It alone imports matplotlib.
"""
