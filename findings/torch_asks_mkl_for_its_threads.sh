#!/usr/bin/env bash
# torch's own sums take their number of threads from MKL, which cuts OMP_NUM_THREADS to the cores of the machine.
#
# torch 2.13.0 (MKL 2024.2), Linux on x86-64, two cores at least; on the CPU. `more` is twice the cores of the machine, and two.
# Expected: OMP_NUM_THREADS decides about what OpenMP splits, such as torch.sum, and MKL_NUM_THREADS about matrices.
# Seen: torch behaves as if it gave OpenMP the number of threads that MKL tells it. MKL_NUM_THREADS beats
# OMP_NUM_THREADS in torch.sum too, and more threads than cores are cut without a word, unless MKL_DYNAMIC=FALSE:
# OMP_NUM_THREADS=4 means other bits on a machine of two cores than on one of four.
set -euo pipefail
unset OMP_NUM_THREADS MKL_NUM_THREADS MKL_DYNAMIC OMP_DYNAMIC OMP_THREAD_LIMIT
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6

cat > "$folder/expected" <<'TEXT'
OMP 1: 1, the sum of one thread
OMP more: fewer, another sum
OMP more, MKL_DYNAMIC=FALSE: more, another sum
OMP more, MKL 1: 1, the sum of one thread
OMP 1, MKL more, MKL_DYNAMIC=FALSE: more, another sum
TEXT

more=$(("$(nproc --all)" * 2 + 2))
cat > "$folder/sum.py" <<'PYTHON'
import sys

import torch

what, more = sys.argv[1], int(sys.argv[2])
threads = torch.get_num_threads()
numbers = torch.randn(64, 100_000, generator=torch.Generator().manual_seed(0))


def sums():
    return [row.sum().item() for row in numbers]


as_started = sums()
torch.set_num_threads(1)
said = {1: "1", more: "more"}.get(threads, "fewer" if threads < more else "?")
print(f"{what}: {said}, {'the sum of one thread' if as_started == sums() else 'another sum'}")
PYTHON

{
    OMP_NUM_THREADS=1 "$folder/venv/bin/python" "$folder/sum.py" "OMP 1" "$more"
    OMP_NUM_THREADS=$more "$folder/venv/bin/python" "$folder/sum.py" "OMP more" "$more"
    OMP_NUM_THREADS=$more MKL_DYNAMIC=FALSE "$folder/venv/bin/python" "$folder/sum.py" "OMP more, MKL_DYNAMIC=FALSE" "$more"
    OMP_NUM_THREADS=$more MKL_NUM_THREADS=1 "$folder/venv/bin/python" "$folder/sum.py" "OMP more, MKL 1" "$more"
    OMP_NUM_THREADS=1 MKL_NUM_THREADS=$more MKL_DYNAMIC=FALSE \
        "$folder/venv/bin/python" "$folder/sum.py" "OMP 1, MKL more, MKL_DYNAMIC=FALSE" "$more"
} | tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
