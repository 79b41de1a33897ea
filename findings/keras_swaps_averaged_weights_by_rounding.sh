#!/usr/bin/env bash
# SwapEMAWeights gives back other weights than it took: a network trained with validation is not the one trained without.
#
# keras 3.15.1, tensorflow 2.21.0; on the CPU, one thread. SGD(use_ema=True) on random numbers, two epochs, three ways.
# Expected: the callback puts the average in place for each validation and the trained weights back after it, so that the
# training goes on from the same weights as without it. Seen: with TensorFlow it swaps two numbers without a third
# (a += b, b = a - b, a -= b), in float32. That rounds, so looking at the validation set changes what is trained, and a run
# that validates every other epoch is another run. Nothing says so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 tensorflow==2.21.0

cat > "$folder/expected" <<'TEXT'
validation alone: the same weights as without
the average validated, in its place by SwapEMAWeights: other weights
TEXT

export KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
"$folder/venv/bin/python" > "$folder/seen" 2> "$folder/errors" <<'PYTHON' || { cat "$folder/errors"; exit 1; }
import keras
import numpy as np

numbers = np.random.default_rng(0)
x, y = numbers.normal(size=(256, 20)).astype("float32"), numbers.normal(size=(256, 1)).astype("float32")


def trained(**options):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(30, "relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, use_ema=True, ema_momentum=0.9), "mse")
    swap = options.pop("swap", [])
    model.fit(x, y, epochs=2, shuffle=False, verbose=0, callbacks=swap, **options)
    # fit() puts the average into the model at its end; what was trained is compared by the average of its last steps
    return [weights.tobytes() for weights in model.get_weights()]


plain = trained()
validated = trained(validation_data=(x, y))
swapped = trained(validation_data=(x, y), swap=[keras.callbacks.SwapEMAWeights()])


def compared(weights):
    return "the same weights as without" if weights == plain else "other weights"


print(f"validation alone: {compared(validated)}")
print(f"the average validated, in its place by SwapEMAWeights: {compared(swapped)}")
PYTHON
cat "$folder/seen"
diff "$folder/expected" "$folder/seen"
