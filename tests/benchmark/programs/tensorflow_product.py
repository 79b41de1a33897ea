"""Print the FLOP/s of TensorFlow's own product of matrices on all cores together.

It stands for a second limit, beside sgemm.py: on some processors TensorFlow's product is the faster one,
and then this limit is the stricter. The best of six counts, since the first ones also start the threads.
"""

import time

import tensorflow as tf

SIDE = 4096

left, right = tf.random.normal((2, SIDE, SIDE))
rates = []
for _ in range(6):
    start = time.perf_counter()
    (left @ right)[0, 0].numpy()  # a number that is read, so that the product has certainly ended
    seconds = time.perf_counter() - start
    rates.append(2 * SIDE**3 / seconds)
print(max(rates))
