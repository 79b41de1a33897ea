#!/usr/bin/env bash
# A cell whose only line declares a parameter with its type may run a magic instead, and set nothing.
#
# papermill 2.7.0, ipykernel 7.4.0, IPython 9.18.0; Python 3.11. The cell tagged `parameters` holds one line in the form
# that papermill reads types from, `name: type = value`; the next cell asks whether the name is there.
# Expected: the assignment that Python makes of it. papermill infers all of them as parameters with type and default. Seen:
# where IPython has a line magic of that name, and no variable yet, `history: int = 10` is `%history : int = 10`, since a
# colon, unlike an equals sign, does not tell it that this is Python. Some magics print nothing or a line, and the notebook
# goes on as a success without the variable (history, page, save, alias); others fail it with an error that is about
# something else (precision, run, time). A second line in the cell, even a comment, and it is Python again; so is a value
# that papermill injects, since its cell begins with a comment. So a default works or not by whether others stand beside it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
export JUPYTER_DATA_DIR=$folder/data JUPYTER_RUNTIME_DIR=$folder/runtime JUPYTER_CONFIG_DIR=$folder/config
export IPYTHONDIR=$folder/ipython
"$folder/venv/bin/pip" install --quiet papermill==2.7.0 ipykernel==7.4.0 ipython==9.18.0

cat > "$folder/expected" <<'TEXT'
epochs: inferred int; alone set; below a comment set; injected set
history: inferred int; alone not set; below a comment set; injected set
page: inferred int; alone not set; below a comment set; injected set
save: inferred bool; alone not set; below a comment set; injected set
alias: inferred str; alone not set; below a comment set; injected set
precision: inferred str; alone ValueError; below a comment set; injected set
run: inferred str; alone Exception; below a comment set; injected set
time: inferred float; alone SyntaxError; below a comment set; injected set
TEXT

cat > "$folder/declared.py" <<'PYTHON'
import nbformat
import papermill

DECLARED = {
    "epochs": "int = 10",
    "history": "int = 10",
    "page": "int = 1",
    "save": "bool = True",
    "alias": "str = 'b'",
    "precision": "str = 'mixed'",
    "run": "str = 'first'",
    "time": "float = 1.5",
}


def written(name, cell):
    """The path of a notebook that declares a parameter in its first cell, and asks for it in its second."""
    asks = f"print('set' if '{name}' in globals() else 'not set')"
    cells = [nbformat.v4.new_code_cell(each) for each in (cell, asks)]
    cells[0].metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, "declared.ipynb")
    return "declared.ipynb"


def outcome(name, cell, **parameters):
    """What the second cell printed, or the name of the error that ended the notebook before."""
    try:
        executed = papermill.execute_notebook(
            written(name, cell), None, parameters, progress_bar=False, log_output=False
        )
    except papermill.PapermillExecutionError as error:
        return error.ename
    return executed.cells[-1].outputs[-1].text.strip()


for name, rest in DECLARED.items():
    line = f"{name}: {rest}"
    inferred = papermill.inspect_notebook(written(name, line))[name]["inferred_type_name"]
    alone = outcome(name, line)
    below = outcome(name, f"# what can be set\n{line}")
    injected = outcome(name, f"# what can be set\n{line}", **{name: 2})
    print(f"{name}: inferred {inferred}; alone {alone}; below a comment {below}; injected {injected}")
PYTHON

cd "$folder"
"$folder/venv/bin/python" declared.py 2> "$folder/errors" > "$folder/seen" || { cat "$folder/errors"; exit 1; }
cat "$folder/seen"
diff expected seen
