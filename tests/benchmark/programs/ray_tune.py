"""Train the network with each seed by Ray Tune, a trial a core; print the accuracies, as JSON.

The arguments are the number of seeds and the number of epochs. Trials reuse the processes of those before, so
that TensorFlow is imported once a core: Ray's documentation advises it for short trials.
"""

import json
import os
import sys
from pathlib import Path

os.environ["RAY_TMPDIR"] = str(Path.cwd())  # the directory that is removed afterwards
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nobody is told, nor waited for

from ray import tune

SEEDS, EPOCHS = map(int, sys.argv[1:])


def trainable(config):
    """Return the accuracy of the network with the seed of a trial."""
    import network  # not before: the process that only directs the trials does without TensorFlow

    network.use_one_thread()
    return {"val_accuracy": network.train(config["seed"], EPOCHS, *network.load_data())}


tuner = tune.Tuner(
    tune.with_resources(trainable, {"cpu": 1}),
    param_space={"seed": tune.grid_search(list(range(SEEDS)))},
    tune_config=tune.TuneConfig(reuse_actors=True),
    run_config=tune.RunConfig(storage_path=str(Path.cwd()), verbose=0),
)
results = tuner.fit()
print(json.dumps([result.metrics["val_accuracy"] for result in results]))
