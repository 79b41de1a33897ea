#!/usr/bin/env bash
# metrics=["accuracy"] makes Keras trace the training step twice; the same metric as an object, once.
#
# keras 3.15.1, tensorflow 2.21.0; a layer, one batch. Counted: how often Python runs through train_step, which is how often
# TensorFlow makes a graph of it.
# Expected: once, since the two ways mean the same metric. Seen: a metric that is given by its name is made at its first use,
# which is in the middle of the first trace; a tf.function that makes variables in its first trace is traced again without.
# Loss and gradients of all layers are traced twice, at each start of a training.
# (The optimizer's variables do the same where it was not built before: then an object alone does not help.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 tensorflow==2.21.0

cat > "$folder/expected" <<'TEXT'
by name, optimizer not built: 2
as an object, optimizer not built: 2
by name, optimizer built: 2
as an object, optimizer built: 1
TEXT

export KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3
"$folder/venv/bin/python" > "$folder/seen" 2> "$folder/errors" <<'PYTHON' || { cat "$folder/errors"; exit 1; }
import keras
import numpy as np


class Counting(keras.Sequential):
    traces = 0

    def train_step(self, data):
        self.traces += 1
        return super().train_step(data)


for is_built in (False, True):
    for what, metric in [("by name", "accuracy"), ("as an object", keras.metrics.SparseCategoricalAccuracy())]:
        model = Counting([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
        optimizer = keras.optimizers.RMSprop()
        if is_built:
            optimizer.build(model.trainable_variables)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=[metric])
        model.fit(np.zeros((8, 4), "float32"), np.zeros(8, "int32"), verbose=0)
        print(f"{what}, optimizer {'built' if is_built else 'not built'}: {model.traces}")
PYTHON
cat "$folder/seen"
diff "$folder/expected" "$folder/seen"
