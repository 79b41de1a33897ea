#!/usr/bin/env bash
# A module that cloudpickle is to send along is sent without what functools.cache and toolz.curry decorate in it.
#
# cloudpickle 3.1.3, toolz 1.2.0; Python 3.11. The module is registered by register_pickle_by_value, so that a worker which
# does not have it (say, of Dask) can run its functions; "worker" is a Python that cannot import it.
# Expected: all of the module's functions go along, or cloudpickle says which do not. Seen: it asks only for Python's own
# functions and classes whether their module is registered. What functools.cache makes is neither, and pickles as a name, as
# does what toolz.curry decorates; toolz.memoize and functools.partial go along. To pickle them raises nothing: the worker
# fails, and not for the cached function alone, but for each function that calls one. To curry a function under another name
# sends it, since toolz pickles a name only where that name leads to the curried object. And functools.singledispatch, which
# pickles unless the module is registered, does not pickle if it is.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet cloudpickle==3.1.3 toolz==1.2.0

cat > "$folder/expected" <<'TEXT'
plain: sent, worker returns 2
partial: sent, worker returns 2
toolz_memoized: sent, worker returns 2
curried_by_name: sent, worker returns 2
toolz_curried: sent, worker raises ModuleNotFoundError
cached: sent, worker raises ModuleNotFoundError
calls_cached: sent, worker raises ModuleNotFoundError
dispatched: raises TypeError (not registered: sent)
TEXT

mkdir "$folder/home"
cat > "$folder/home/steps.py" <<'PYTHON'
import functools

import toolz


def plain(number):
    return number + 1


partial = functools.partial(plain)
curried_by_name = toolz.curry(plain)


@toolz.memoize
def toolz_memoized(number):
    return number + 1


@toolz.curry
def toolz_curried(number):
    return number + 1


@functools.cache
def cached(number):
    return number + 1


def calls_cached(number):
    return cached(number)


@functools.singledispatch
def dispatched(number):
    return number + 1
PYTHON

cd "$folder"
PYTHONPATH="$folder/home" "$folder/venv/bin/python" > "$folder/seen" <<'PYTHON'
import os
import subprocess
import sys

import cloudpickle
import steps

WORKER = """
import pickle, sys
try:
    print("returns", pickle.load(sys.stdin.buffer)(1))
except Exception as error:
    print("raises", type(error).__name__)
"""


def pickled(function):
    try:
        return cloudpickle.dumps(function), "sent"
    except TypeError:
        return None, "raises TypeError"


_, before = pickled(steps.dispatched)
cloudpickle.register_pickle_by_value(steps)
elsewhere = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
names = ["plain", "partial", "toolz_memoized", "curried_by_name", "toolz_curried", "cached", "calls_cached"]
for name in names:
    data, outcome = pickled(getattr(steps, name))
    worker = subprocess.run([sys.executable, "-c", WORKER], input=data, capture_output=True, env=elsewhere)
    print(f"{name}: {outcome}, worker {worker.stdout.decode().strip()}")
print(f"dispatched: {pickled(steps.dispatched)[1]} (not registered: {before})")
PYTHON
cat "$folder/seen"
diff "$folder/expected" "$folder/seen"
