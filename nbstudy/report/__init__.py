"""Tell it: the summary of a study, a file a section of the page, with its table, its figure and its sentences.

A new section is a file here, and an import and a cell in notebooks/summary.ipynb, which has the sections' order.
A section computes what it has to say (`compute`, which returns a small dataclass), then writes and draws it (`show`,
which a cell of the summary calls); whoever draws a page otherwise begins at the same dataclass. What sections share
lies beside them: numbers, tables and what makes texts of users fit for a page in `markdown`, common sentences in
`phrases`, size and axes of figures in `figures`, their `colours`, which of them and which line style a configuration has
in `looks`, what is drawn of a run in `curves`, how in `lines` and `dots`, `labels`, and `rankings` by one criterion.

It may import all other wings; nothing but the summary notebook imports it. It alone imports matplotlib.
"""
