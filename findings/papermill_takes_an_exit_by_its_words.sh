#!/usr/bin/env bash
# papermill calls a run a success or not by the text of an exit, against Python, nbclient and its own file.
#
# papermill 2.7.0, nbclient 0.11.0, ipykernel 7.4.0. The second of four cells exits; "python" is the exit status that the
# same line has in a script. papermill is meant to take sys.exit(0) as an early end.
# Expected: what is a success to one is it to the others, and exit(1) is an exit. Seen, for sys.exit(0): nbclient raises an
# error for the notebook, papermill, which runs it by nbclient, returns; yet the file that it leaves says exception: true,
# and marks the cell failed and the rest pending. Who looks into files and who looks at the exit status count other runs.
# What decides is the text of the error, "0" or none: sys.exit("0") passes, which is status 1 in Python, and
# sys.exit(False) fails, which is 0. And exit(1), which IPython replaces, exits nothing: it neither ends the cells nor fails.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet papermill==2.7.0 nbclient==0.11.0 ipykernel==7.4.0
export JUPYTER_DATA_DIR=$folder/data JUPYTER_RUNTIME_DIR=$folder/runtime JUPYTER_CONFIG_DIR=$folder/config
export IPYTHONDIR=$folder/ipython

cat > "$folder/expected" <<'TEXT'
sys.exit(0): python 0, papermill 0, returns; nbclient raises; exception True, completed failed pending pending
sys.exit("0"): python 1, papermill 0, returns; nbclient raises; exception True, completed failed pending pending
sys.exit(False): python 0, papermill 1, raises; nbclient raises; exception True, completed failed pending pending
sys.exit(1): python 1, papermill 1, raises; nbclient raises; exception True, completed failed pending pending
exit(1): python 1, papermill 0, returns; nbclient returns; exception None, completed completed completed completed
TEXT

cd "$folder"
"$folder/venv/bin/python" > "$folder/seen" <<'PYTHON'
import subprocess
import sys

import nbformat
import papermill
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python"}, "language_info": {"name": "python"}}


def status(*command):
    return subprocess.run([sys.executable, *command], capture_output=True).returncode


def outcome(run):
    try:
        run()
    except (papermill.PapermillExecutionError, CellExecutionError):
        return "raises"
    return "returns"


for line in ("sys.exit(0)", 'sys.exit("0")', "sys.exit(False)", "sys.exit(1)", "exit(1)"):
    sources = ["import sys", line, "three = 3", "four = 4"]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=KERNEL)
    nbformat.write(notebook, "in.ipynb")

    script = status("-c", f"import sys\n{line}")
    command = status("-m", "papermill", "in.ipynb", "by_command.ipynb")
    call = outcome(lambda: papermill.execute_notebook("in.ipynb", "out.ipynb", progress_bar=False))
    client = outcome(NotebookClient(notebook).execute)

    written = nbformat.read("out.ipynb", 4)
    marks = [cell.metadata.papermill.status for cell in written.cells if cell.source in sources]
    print(
        f"{line}: python {script}, papermill {command}, {call}; nbclient {client};",
        f"exception {written.metadata.papermill.exception}, {' '.join(marks)}",
    )
PYTHON
cat "$folder/seen"
diff "$folder/expected" "$folder/seen"
