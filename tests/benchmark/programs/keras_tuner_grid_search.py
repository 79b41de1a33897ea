"""Train the network with each seed by KerasTuner's GridSearch; print the accuracies, as JSON.

The arguments are the number of seeds and the number of epochs. One trial at a time trains, with all threads:
what KerasTuner does unless three processes of it, one of them for the others, talk over the network.
"""

import json
import sys

import keras_tuner
import network

SEEDS, EPOCHS = map(int, sys.argv[1:])
accuracies = []


class Network(keras_tuner.HyperModel):
    """The network with the seed of a trial."""

    def build(self, hp):
        """Return the compiled network."""
        return network.build_model(hp.Choice("seed", list(range(SEEDS))))

    def fit(self, hp, model, *args, **kwargs):
        """Train, and note the accuracy after the last epoch; KerasTuner itself keeps that of the best."""
        history = model.fit(*args, **kwargs)
        accuracies.append(history.history["val_accuracy"][-1])
        return history


tuner = keras_tuner.GridSearch(Network(), objective="val_accuracy", directory=".", project_name="seeds")
training, validation = network.load_data()
tuner.search(*training, batch_size=512, epochs=EPOCHS, validation_data=validation, verbose=0)
print(json.dumps(accuracies))
