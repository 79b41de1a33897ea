#!/usr/bin/env bash
# KMeans with a seed finds the same centres each time with one thread or two, and others each time with eight.
#
# scikit-learn 1.9.1, numpy 2.4.6, scipy 1.17.1; 30 fits of the digits, random_state=0, one number of threads at a time.
# Expected: bits may depend on the number of threads, but for one number a fit repeats itself. Seen: with three
# threads or more it does not, as if each thread added its sums to the centres when it is done, in no fixed order: of two
# sums the order does not matter (a + b = b + a), of more it does. Here 30 fits with eight threads had 30 different centres (with three: 2, with four: 4 to 6), on one core
# as on two. The labels were the same, so nothing is seen until somebody compares the centres.
set -euo pipefail
unset OMP_NUM_THREADS
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1 threadpoolctl==3.8.0

cat > "$folder/expected" <<'TEXT'
1 thread(s): one set of centres, one labelling
2 thread(s): one set of centres, one labelling
8 thread(s): several sets of centres, one labelling
TEXT

OMP_NUM_THREADS=8 OPENBLAS_NUM_THREADS=1 "$folder/venv/bin/python" > "$folder/seen" <<'PYTHON'
import threadpoolctl
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

pixels = load_digits().data
for threads in (1, 2, 8):
    with threadpoolctl.threadpool_limits(threads, "openmp"):
        fits = [KMeans(10, n_init=1, random_state=0).fit(pixels) for _ in range(30)]
    centres = {fit.cluster_centers_.tobytes() for fit in fits}
    labels = {fit.labels_.tobytes() for fit in fits}
    print(
        f"{threads} thread(s): {'one set' if len(centres) == 1 else 'several sets'} of centres,",
        "one labelling" if len(labels) == 1 else "several labellings",
    )
PYTHON
cat "$folder/seen"
diff "$folder/expected" "$folder/seen"
