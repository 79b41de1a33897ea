"""The network that the peers train, in plain Keras: model_4 of the study, with its data, split and RMSprop."""

import keras
import tensorflow as tf
from sklearn.model_selection import train_test_split


def load_data():
    """Return images (n, 784) and labels (n,) of the training set, and those of the validation set."""
    (images, labels), _ = keras.datasets.fashion_mnist.load_data()
    images = images.reshape(-1, 784).astype("float32") / 255
    x, x_val, y, y_val = train_test_split(images, labels, test_size=1 / 6, random_state=1)
    return (x, y), (x_val, y_val)


def build_model(seed):
    """Return a compiled MLP: five hidden layers of 128 units with an L2 penalty."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((784,))])
    for _ in range(5):
        penalty = keras.regularizers.L2(0.001)
        model.add(keras.layers.Dense(128, activation="relu", kernel_regularizer=penalty))
    model.add(keras.layers.Dense(10, activation="softmax"))
    model.compile(
        optimizer=keras.optimizers.RMSprop(epsilon=1e-14),  # train.ipynb says why
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def train(seed, epochs, training, validation):
    """Train a new network; return its accuracy on the validation set after the last epoch."""
    model = build_model(seed)
    history = model.fit(*training, batch_size=512, epochs=epochs, validation_data=validation, verbose=0)
    return history.history["val_accuracy"][-1]


def use_one_thread():
    """Let TensorFlow compute with one thread: another process trains on the other core."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
