"""Tell it: the summary of a study, a file a section of the page, with its table, its figure and its sentences.

A section computes what it has to say (`compute`, which returns a small dataclass), writes it (`write`) and shows it with
its figure (`show`, which a cell of summary.ipynb calls). `story` computes all of them once. A new section is a file here, a
line in `story`, and a line in each of the two pages, which have the sections' order: summary.ipynb and `page`.

`page` makes summary.html, one file to explore and to send: of the story, of an `explorer` of the runs with what is
`explored` of them and its `charts`, and of what lies in assets/. What sections share lies beside them: numbers, tables and
what makes texts of users fit for a page in `markdown`, common sentences in `phrases`, size and axes of figures in
`figures`, their `colours`, which of them and which line style a configuration has in `looks`, what is drawn of a run in
`curves`, how in `lines`, `labels`, `rankings` by one criterion, and the `sensitivity` of a search to its parameters.

It may import all other wings; nothing but the summary notebook imports it. It alone imports matplotlib.
"""
