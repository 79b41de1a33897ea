"""Metrics: which values of one are better, and which metric decides where nobody says.

A direction is known by the words of a metric's name, or because the study file says it. Where neither does, it is asked
for: nothing is decided by a guess.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

ROUNDING = 1e-12  # what is nearer to zero is no difference
LAST_DIGIT = 0.0001  # of a value as it is written
MAIN = "val_loss"  # decides where it is there and nobody says otherwise


class Better(StrEnum):
    """Which values of a metric are better; `better` in a study file."""

    LOWER = "lower"
    HIGHER = "higher"

    @property
    def opposite(self) -> Better:
        """The other direction."""
        if self is Better.LOWER:
            return Better.HIGHER
        return Better.LOWER


# Words of metrics' names, as in val_loss, f1_score and mean_squared_error; _ joins those of several words.
WORDS = {
    Better.LOWER: """
        loss losses error errors err cost deviance mse mae rmse msle rmsle mape smape brier logloss nll hinge huber
        logcosh crossentropy cross_entropy kl kl_divergence perplexity ppl regret wer cer fid aic bic eer
        misclassification fpr fnr davies_bouldin inertia bpc
    """,
    Better.HIGHER: """
        accuracy accuracies acc auc auroc auprc precision recall sensitivity specificity tpr tnr f1 f2 fbeta r2
        r_squared explained_variance correlation corrcoef pearson pearsonr spearman spearmanr kendall mcc matthews
        kappa likelihood dice iou jaccard bleu rouge meteor psnr ssim ndcg mrr map map50 silhouette rand ari nmi
        calinski_harabasz reward
    """,
}
NEGATED = (
    "neg negative"  # scikit-learn's neg_mean_squared_error is better when higher; only at the beginning,
)
BEFORE_NEGATED = "val validation test train mean"  # or after these: recall_neg is something else
# What a run says of itself, and is judged by only if the study file asks for it: indices, times, sizes.
NO_METRIC = """
    epoch epochs step steps iteration iterations iter batch batches index unnamed id seed fold lr learning_rate time
    times second seconds minute minutes hour hours duration elapsed timestamp date wall weights parameters params
    diverged version versions device
"""


class Data(IntEnum):
    """What a metric was measured on, by its name: first what says most of data that nobody has seen."""

    VALIDATION = 0
    NOT_SAID = 1
    TEST = 2  # which should decide nothing
    TRAINING = 3


DATA = {
    Data.VALIDATION: "val valid validation dev eval cv",
    Data.TEST: "test",
    Data.TRAINING: "train training",
}


@dataclass(frozen=True)
class Metric:
    """What runs are judged by."""

    name: str
    better: Better | None  # None: nobody knows, so nothing can be decided by it

    def __str__(self) -> str:
        """Return its name."""
        return self.name

    def cost(self, value: float) -> float:
        """Return a value as a cost, for which lower is better; infinite where it is not finite."""
        if not math.isfinite(value):
            return math.inf
        if self.better is Better.HIGHER:
            return -value
        return value

    def value(self, cost: float) -> float:
        """Return a cost as a value again, NaN where it is infinite."""
        if math.isinf(cost):
            return math.nan
        if self.better is Better.HIGHER:
            return -cost
        return cost


def written(value: float, sign: str = "") -> str:
    """Return a value with four decimals, or with the digits that tell more where it is small or large.

    `sign` is "+" for a change.
    """
    if ROUNDING < abs(value) < LAST_DIGIT / 2:
        return f"{value:{sign}.4g}"
    if abs(value) >= 1000:
        return f"{value:{sign}.1f}"
    return f"{value:{sign}.4f}"


def metric_called(name: str, better: Better | None = None) -> Metric:
    """Return a metric; which values of it are better is what is said, else what its name says."""
    return Metric(name, better or direction_of(name))


def direction_of(name: str) -> Better | None:
    """Return which values of a metric are better, by the words of its name; None where these say nothing, or both."""
    found = [better for better, known in WORDS.items() if has_words(name, known)]
    if len(found) != 1:
        return None
    if not has_words(name, NEGATED):
        return found[0]
    if is_negated(name):
        return found[0].opposite
    return None


def is_negated(name: str) -> bool:
    """Tell whether a name says that all that follows is negated, as in mean_test_neg_log_loss."""
    for word in words_of(name):
        if word not in BEFORE_NEGATED.split():
            return word in NEGATED.split()
    return False


def deciding(names: Iterable[str]) -> str:
    """Return the metric that decides where nobody says: val_loss, then others of the validation data, then the loss.

    Of the test and of the training data only where there is nothing else; those whose direction is known come first.
    """
    candidates = [name for name in names if can_decide(name)]
    return min(candidates, key=preference, default=MAIN)


def preference(name: str) -> tuple[Data, bool, bool]:
    """Return what sorts metrics by how well they can decide, the best first."""
    return data_of(name), name not in (MAIN, "loss"), direction_of(name) is None


def can_decide(name: str) -> bool:
    """Tell whether a run may be judged by a number without being asked to: not by an index, a time or a size."""
    return not has_words(name, NO_METRIC)


def data_of(name: str) -> Data:
    """Return what a metric was measured on, by its name."""
    for data, words in DATA.items():
        if has_words(name, words):
            return data
    return Data.NOT_SAID


def has_words(name: str, known: str) -> bool:
    """Tell whether one of these is a whole word of a name, or several in a row: `acc` is in val_acc, not in pace."""
    words = "_".join(words_of(name))
    return any(f"_{each}_" in f"_{words}_" for each in known.split())


def words_of(name: str) -> list[str]:
    """Return the words of a name, in small letters."""
    return re.findall("[a-z0-9]+", name.lower())
