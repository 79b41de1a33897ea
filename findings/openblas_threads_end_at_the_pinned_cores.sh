#!/usr/bin/env bash
# OpenBLAS cuts OPENBLAS_NUM_THREADS to the cores that the process is pinned to, and with it changes bits.
#
# numpy 2.4.6 (OpenBLAS 0.3.31), threadpoolctl 3.8.0, Linux on x86-64, kernels for Haswell.
# Expected: who asks for four threads gets four, slower on one core, with the bits of four: so do TensorFlow, OpenMP and
# POLARS_MAX_THREADS. Seen: pinned to one core when it is loaded, OpenBLAS takes one thread without a word, and a product
# of matrices gets the bits of one. Asked after it was loaded, by threadpoolctl, it does take four threads on one core,
# with other bits. So one and the same number of threads gives two results, by the way in which it was asked for.
set -euo pipefail
unset OMP_NUM_THREADS OPENBLAS_NUM_THREADS GOTO_NUM_THREADS
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 threadpoolctl==3.8.0

cat > "$folder/expected" <<'TEXT'
1 by the variable: 1 thread(s), the bits of 1
4 by the variable: 1 thread(s), the bits of 1
4 by threadpoolctl: 4 thread(s), other bits
TEXT

cat > "$folder/product.py" <<'PYTHON'
import os
import sys

os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
threads, way = sys.argv[1:]
if way == "variable":
    os.environ["OPENBLAS_NUM_THREADS"] = threads
import hashlib

import numpy as np
import threadpoolctl

if way == "threadpoolctl":
    threadpoolctl.threadpool_limits(int(threads))
matrix = np.random.default_rng(0).standard_normal((500, 500)).astype("float32")
print(threadpoolctl.threadpool_info()[0]["num_threads"], hashlib.sha256(matrix @ matrix).hexdigest())
PYTHON

export OPENBLAS_CORETYPE=Haswell
bits_of_one=
for asked in "1 variable" "4 variable" "4 threadpoolctl"; do
    read -r number way <<< "$asked"
    read -r threads bits < <("$folder/venv/bin/python" "$folder/product.py" "$number" "$way")
    bits_of_one=${bits_of_one:-$bits}
    what="other bits"
    if [[ $bits == "$bits_of_one" ]]; then what="the bits of 1"; fi
    name="the variable"
    if [[ $way == threadpoolctl ]]; then name=threadpoolctl; fi
    echo "$number by $name: $threads thread(s), $what"
done | tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
