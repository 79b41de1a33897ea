"""Load the results in a directory, with their table and histories; print the processor seconds, imports not counted."""

from __future__ import annotations

import sys
import time

import pandas as pd

from nbstudy import load_results

assert pd.__version__
began = time.process_time()
results = load_results(sys.argv[1])
assert len(results.table) and len(results.histories)
print(time.process_time() - began)
