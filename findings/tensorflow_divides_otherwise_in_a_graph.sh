#!/usr/bin/env bash
# x / 255 has other bits in a tf.function than outside of it: the graph multiplies by 1 / 255 instead.
#
# tensorflow 2.21.0, numpy 2.4.6; all grey values 0 to 255 as float32, on the CPU.
# Expected: one division, correctly rounded, is the same number eagerly, in a graph, in a tf.data pipeline and in NumPy.
# Seen: where the divisor is a constant, 126 of the 256 grey values come out otherwise in a graph, exactly as if they were
# multiplied by the rounded reciprocal. So images that are scaled within a training step are not those that are scaled
# beforehand or in a pipeline. A divisor that is no constant of the graph, or a power of two, is divided by.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow==2.21.0 numpy==2.4.6

cat > "$folder/expected" <<'TEXT'
eagerly: 0 of 256 differ from NumPy's
in a graph: 126 of 256 differ from NumPy's
in a pipeline: 0 of 256 differ from NumPy's
in a graph, by an argument: 0 of 256 differ from NumPy's
in a graph, by 256: 0 of 256 differ from NumPy's
as multiplied in NumPy: 126 of 256 differ from NumPy's
TEXT

TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" > "$folder/seen" 2> "$folder/errors" <<'PYTHON' || { cat "$folder/errors"; exit 1; }
import numpy as np
import tensorflow as tf

grey = np.arange(256, dtype=np.float32)
pipeline = tf.data.Dataset.from_tensors(grey).map(lambda values: values / 255)
ways = {
    "eagerly": (tf.constant(grey) / 255, 255),
    "in a graph": (tf.function(lambda values: values / 255)(tf.constant(grey)), 255),
    "in a pipeline": (next(iter(pipeline)), 255),
    "in a graph, by an argument": (
        tf.function(lambda values, by: values / by)(tf.constant(grey), tf.constant(255.0)), 255,
    ),
    "in a graph, by 256": (tf.function(lambda values: values / 256)(tf.constant(grey)), 256),
    "as multiplied in NumPy": (grey * (np.float32(1) / np.float32(255)), 255),
}
for way, (scaled, divisor) in ways.items():
    differ = np.count_nonzero(np.asarray(scaled) != grey / np.float32(divisor))
    print(f"{way}: {differ} of 256 differ from NumPy's")
PYTHON
cat "$folder/seen"
diff "$folder/expected" "$folder/seen"
