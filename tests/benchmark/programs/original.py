"""Train networks as the original study did; print when each of their epochs ended, as JSON by network.

It stands for what the study was before: one process, one network after another, Keras's defaults. The
argument is a JSON object of networks: their names, and their parameters as train.ipynb calls them.
"""

import json
import sys
import time

import keras
from sklearn.model_selection import train_test_split


class Clock(keras.callbacks.Callback):
    """Note when each epoch ends, in seconds since 1970."""

    def on_train_begin(self, logs=None):
        self.ends = []

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(time.time())


def build_model(hidden_layers, units, dropout):
    """Return an MLP with the original's L2 penalty and its optimizer."""
    model = keras.Sequential([keras.Input((784,))])
    for _ in range(hidden_layers):
        penalty = keras.regularizers.L2(0.001)
        model.add(keras.layers.Dense(units, "relu", kernel_regularizer=penalty))
        if dropout:
            model.add(keras.layers.Dropout(dropout))
    model.add(keras.layers.Dense(10, "softmax"))
    model.compile("rmsprop", "categorical_crossentropy", metrics=["accuracy"])
    return model


(images, labels), _ = keras.datasets.fashion_mnist.load_data()
images = images.reshape(-1, 784).astype("float32") / 255
labels = keras.utils.to_categorical(labels)
x, x_val, y, y_val = train_test_split(images, labels, test_size=1 / 6, random_state=1)

ends = {}
for name, network in json.loads(sys.argv[1]).items():
    model = build_model(network["hidden_layers"], network["units"], network["dropout"])
    clock = Clock()
    model.fit(
        x,
        y,
        epochs=network["epochs"],
        batch_size=512,
        validation_data=(x_val, y_val),
        callbacks=[clock],
        verbose=0,
    )
    ends[name] = clock.ends
print(json.dumps(ends))
