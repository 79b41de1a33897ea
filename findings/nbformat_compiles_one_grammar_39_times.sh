#!/usr/bin/env bash
# Next to jupyter-events, which Jupyter's server needs, `import nbformat` compiles one grammar 39 times, and uses none of it.
#
# nbformat 5.11.1, jsonschema 4.26.0, rfc3987-syntax 1.1.0, lark 1.3.1, jupyter-events 0.12.1.
# Expected: a package that nbformat does not need does not change what it costs to import it. Seen: nbformat imports
# jsonschema, and jsonschema imports whatever checkers of formats it finds, here that of IRIs, which comes with the extra
# format-nongpl that jupyter-events asks for. When that is imported, it makes an Earley parser for each of 38 rules,
# after one for three of them, all from the same text: 1.4 s of processor time instead of 0.14 s. So whatever reads a notebook
# starts later where JupyterLab is installed, too, while no validation of a notebook asks for an IRI. jsonschema goes
# without the checker where it is hidden (None in sys.modules): 0.16 s, and the same notebooks are valid.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet nbformat==5.11.1 jsonschema==4.26.0
export JUPYTER_DATA_DIR=$folder/data JUPYTER_CONFIG_DIR=$folder/config

cat > "$folder/expected" <<'TEXT'
alone: 0 parsers of 0 grammars, asked 0 times; valid
beside jupyter-events: 39 parsers of 1 grammars, asked 0 times; valid
more than three times the processor time: True
checker hidden: 0 parsers of 0 grammars, asked 0 times; valid
more than three times the processor time: False
TEXT

cat > "$folder/count.py" <<'PYTHON'
import contextlib
import os
import sys

if "hide" in sys.argv:
    sys.modules["rfc3987_syntax"] = None
grammars, asked = [], []
with contextlib.suppress(ImportError):
    import lark

    class Counted(lark.Lark):
        def __init__(self, grammar, **options):
            grammars.append(grammar)
            super().__init__(grammar, **options)

        def parse(self, *arguments, **options):
            asked.append(arguments)
            return super().parse(*arguments, **options)

    lark.Lark = Counted

import nbformat

notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")])
for validator in ("fastjsonschema", "jsonschema"):
    os.environ["NBFORMAT_VALIDATOR"] = validator
    nbformat.validate(notebook)
print(f"{len(grammars)} parsers of {len(set(grammars))} grammars, asked {len(asked)} times; valid")
PYTHON

cat > "$folder/seconds.py" <<'PYTHON'
import sys
import time

if "hide" in sys.argv:
    sys.modules["rfc3987_syntax"] = None
before = time.process_time()
import nbformat

print(time.process_time() - before)
PYTHON

python=$folder/venv/bin/python
seconds() {
    for _ in 1 2 3; do "$python" "$folder/seconds.py" "$@"; done | sort -g | head -n 1
}
compare() {
    "$python" -c 'import sys; print("more than three times the processor time:", float(sys.argv[2]) > 3 * float(sys.argv[1]))' "$@"
}
alone=$(seconds)
{
    echo "alone: $("$python" "$folder/count.py")"
    "$folder/venv/bin/pip" install --quiet jupyter-events==0.12.1 jsonschema==4.26.0 rfc3987-syntax==1.1.0 lark==1.3.1
    echo "beside jupyter-events: $("$python" "$folder/count.py")"
    compare "$alone" "$(seconds)"
    echo "checker hidden: $("$python" "$folder/count.py" hide)"
    compare "$alone" "$(seconds hide)"
} > "$folder/seen"
cat "$folder/seen"
diff "$folder/expected" "$folder/seen"
