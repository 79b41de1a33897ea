#!/usr/bin/env bash
# A display id that `display` is given again rewrites all that was shown under it before, in cells that ended long ago.
#
# nbclient 0.11.0, ipykernel 7.4.0, ipython 9.18.1.
# Expected: `display` adds an output and `update_display` changes those of the same id; so IPython has two functions, and
# the protocol two messages. Seen: nbclient takes each `display` with a known id as an update, too, and adds the new output as
# well. A helper that shows a table under a fixed id, called for each model, leaves the last model's table under every
# heading, and a loop over epochs leaves as many copies of the last epoch as there were epochs. An executed notebook does
# not keep display ids, so nothing in it says that these are not what the cells showed. And order counts: an update before the
# first display is dropped, and one after `clear_output` as well.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet nbclient==0.11.0 ipykernel==7.4.0 ipython==9.18.1
export JUPYTER_DATA_DIR=$folder/data JUPYTER_RUNTIME_DIR=$folder/runtime JUPYTER_CONFIG_DIR=$folder/config
export IPYTHONDIR=$folder/ipython

cat > "$folder/expected" <<'TEXT'
display in three cells, no id: A | B | C
display in three cells, one id: C | C | C
display in a loop, one id: 2, 2, 2
display, then update_display in a later cell: B | nothing
update_display, then display in a later cell: nothing | B
display and clear_output, then update_display in a later cell: nothing | nothing
the file knows of an id: False
TEXT

"$folder/venv/bin/python" > "$folder/seen" <<'PYTHON'
import nbformat
from nbclient import NotebookClient

IMPORT = "from IPython.display import clear_output, display, update_display"
STUDIES = {
    "display in three cells, no id": ["display('A')", "display('B')", "display('C')"],
    "display in three cells, one id": [f"display('{name}', display_id='table');" for name in "ABC"],
    "display in a loop, one id": ["for epoch in range(3): display(epoch, display_id='epoch')"],
    "display, then update_display in a later cell": [
        "display('A', display_id='first');",
        "update_display('B', display_id='first')",
    ],
    "update_display, then display in a later cell": [
        "update_display('A', display_id='early')",
        "display('B', display_id='early');",
    ],
    "display and clear_output, then update_display in a later cell": [
        "display('A', display_id='cleared'); clear_output()",
        "update_display('B', display_id='cleared')",
    ],
}

cells = [nbformat.v4.new_code_cell(source) for sources in [[IMPORT], *STUDIES.values()] for source in sources]
notebook = nbformat.v4.new_notebook(cells=cells)
NotebookClient(notebook, kernel_name="python3").execute()
rest = iter(notebook.cells[1:])
for name, sources in STUDIES.items():
    shown = [[output.data["text/plain"].strip("'") for output in next(rest).outputs] for _ in sources]
    print(f"{name}: {' | '.join(', '.join(texts) or 'nothing' for texts in shown)}")
for cell in notebook.cells:
    del cell["source"]
print("the file knows of an id:", "display_id" in str(notebook) or "transient" in str(notebook))
PYTHON
cat "$folder/seen"
diff "$folder/expected" "$folder/seen"
