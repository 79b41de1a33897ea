#!/usr/bin/env bash
# In polars a sum by group of the same frame differs from one call to the next, for one number of threads.
#
# polars 2.1.0, numpy 2.4.6; a million float64, five groups, 100 calls in one process.
# Expected: for one number of threads the rows are split in one way, so that a call repeats itself, as it does for the
# sum of the column. Seen: with POLARS_MAX_THREADS=2, 30 calls gave 14 different sums by group, maintain_order=True 11;
# with four threads 14 and 10, pinned to one core 24 and 7. With one thread it repeats itself. RAYON_NUM_THREADS is not
# read.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet polars==2.1.0 numpy==2.4.6

cat > "$folder/expected" <<'TEXT'
1 thread(s): column's sum 1, sum by group 1, in kept order 1
4 thread(s): column's sum 1, sum by group several, in kept order several
RAYON_NUM_THREADS=7: another number of threads
TEXT

cat > "$folder/sums.py" <<'PYTHON'
import numpy as np
import polars

random = np.random.default_rng(0)
size = 1_000_000
frame = polars.DataFrame({"x": random.standard_normal(size), "group": random.integers(0, 5, size)})


def by_group(in_order):
    sums = frame.group_by("group", maintain_order=in_order).agg(polars.col("x").sum())
    return sums.sort("group")["x"].to_numpy().tobytes()


def count(results):
    return "1" if len(set(results)) == 1 else "several"


print(
    f"{polars.thread_pool_size()} thread(s):",
    f"column's sum {count(frame['x'].sum() for _ in range(100))},",
    f"sum by group {count(by_group(False) for _ in range(100))},",
    f"in kept order {count(by_group(True) for _ in range(100))}",
)
PYTHON

{
    POLARS_MAX_THREADS=1 "$folder/venv/bin/python" "$folder/sums.py"
    POLARS_MAX_THREADS=4 "$folder/venv/bin/python" "$folder/sums.py"
    cores=$(nproc)
    asked=7
    if [[ $cores == 7 ]]; then asked=6; fi
    size=$(RAYON_NUM_THREADS=$asked "$folder/venv/bin/python" -c "import polars; print(polars.thread_pool_size())")
    if [[ $size != "$asked" ]]; then echo "RAYON_NUM_THREADS=7: another number of threads"; fi
} | tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
