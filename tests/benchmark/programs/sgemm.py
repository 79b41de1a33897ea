"""Print the FLOP/s of NumPy's product of matrices (OpenBLAS's sgemm) on all cores together.

It stands for the limit of this machine: training is almost nothing but such products. The best of six
counts, since the first ones also start the threads and touch the memory.
"""

import time

import numpy as np

SIDE = 4096

left, right = np.random.default_rng(0).random((2, SIDE, SIDE), dtype="float32")
rates = []
for _ in range(6):
    start = time.perf_counter()
    np.matmul(left, right)
    seconds = time.perf_counter() - start
    rates.append(2 * SIDE**3 / seconds)
print(max(rates))
