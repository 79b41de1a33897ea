#!/usr/bin/env bash
# LightGBM and XGBoost grow the same trees for any number of threads, but print other metrics for them.
#
# lightgbm 4.7.0, xgboost-cpu 3.2.0, numpy 2.4.6, scipy 1.17.1; 20 rounds of regression, 1, 2, 4 and 8 threads.
# Expected: where the number of threads changes bits at all, it is in the sums of gradients, so in the trees. Seen: the
# predictions are the same to the last bit, and the metric, which early stopping judges by, is not: the l2 of LightGBM
# differs from 100 rows on, the rmse of XGBoost not with 2,000 rows, but with 20,000. Who compares logs sees two results
# where there is one; who compares predictions sees none.
set -euo pipefail
unset OMP_NUM_THREADS
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet lightgbm==4.7.0 xgboost-cpu==3.2.0 numpy==2.4.6 scipy==1.17.1

cat > "$folder/expected" <<'TEXT'
lightgbm, 100 rows: predictions same, metric differs
lightgbm, 20000 rows: predictions same, metric differs
xgboost, 2000 rows: predictions same, metric same
xgboost, 20000 rows: predictions same, metric differs
TEXT

"$folder/venv/bin/python" > "$folder/seen" <<'PYTHON'
import lightgbm
import numpy as np
import xgboost


def by_lightgbm(features, target, threads):
    data, history = lightgbm.Dataset(features, target), {}
    options = {"num_threads": threads, "force_col_wise": True, "verbose": -1}
    keep = lightgbm.record_evaluation(history)
    model = lightgbm.train(options, data, 20, valid_sets=[data], callbacks=[keep])
    return model.predict(features).tobytes(), str(history)


def by_xgboost(features, target, threads):
    data, history = xgboost.DMatrix(features, target, nthread=threads), {}
    options = {"nthread": threads, "tree_method": "hist"}
    model = xgboost.train(
        options, data, 20, evals=[(data, "train")], evals_result=history, verbose_eval=False
    )
    return model.predict(data).tobytes(), str(history)


def same(results):
    return "same" if len(set(results)) == 1 else "differs"


for name, fit, rows in [
    ("lightgbm", by_lightgbm, 100),
    ("lightgbm", by_lightgbm, 20_000),
    ("xgboost", by_xgboost, 2_000),
    ("xgboost", by_xgboost, 20_000),
]:
    random = np.random.default_rng(0)
    features = random.standard_normal((rows, 5))
    target = features[:, 0] + random.standard_normal(rows)
    predictions, metrics = zip(*[fit(features, target, threads) for threads in (1, 2, 4, 8)], strict=True)
    print(f"{name}, {rows} rows: predictions {same(predictions)}, metric {same(metrics)}")
PYTHON
cat "$folder/seen"
diff "$folder/expected" "$folder/seen"
