"""Train the network with each seed by Optuna's GridSampler; print the accuracies, as JSON.

The arguments are the number of seeds and the number of epochs. On each core a process trains, and all share
a journal: for work that keeps the processor busy Optuna's documentation advises processes, not n_jobs. They are
forked after TensorFlow was imported and the data were read, so that both is done once.
"""

import json
import os
import sys
from multiprocessing import get_context

import keras
import network
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

SEEDS, EPOCHS = map(int, sys.argv[1:])
CORES = os.cpu_count()


def open_study():
    """Return the study in the journal, a new one if there is none."""
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend("journal.log")),
        sampler=optuna.samplers.GridSampler({"seed": list(range(SEEDS))}),
        study_name="seeds",
        direction="maximize",
        load_if_exists=True,
    )


def optimize(trials):
    """Make so many trials of the study in this process."""
    network.use_one_thread()
    open_study().optimize(objective, n_trials=trials)


def objective(trial):
    """Return the accuracy of the network with the seed of a trial."""
    keras.backend.clear_session()
    seed = trial.suggest_categorical("seed", list(range(SEEDS)))
    return network.train(seed, EPOCHS, *data)


data = network.load_data()
study = open_study()
trials_of_cores = [len(range(core, SEEDS, CORES)) for core in range(CORES)]
with get_context("fork").Pool(CORES) as pool:
    pool.map(optimize, trials_of_cores, chunksize=1)
print(json.dumps([trial.value for trial in study.trials]))
