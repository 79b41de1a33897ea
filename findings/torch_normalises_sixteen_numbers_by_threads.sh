#!/usr/bin/env bash
# torch splits a batch of 4 x 4 numbers among threads in batch_norm, and not 32,768 numbers in sum.
#
# torch 2.13.0, on the CPU, x86-64, kernels for AVX2; 1, 2, 4 and 8 threads by torch.set_num_threads, eight draws each.
# Expected: work is split only where it is large (`sum` starts above 32,768 numbers), so that small networks have the
# same bits for any number of threads. Seen: batch_norm (training) and the gradient of layer_norm's weight differ from
# a batch of 4 x 4 on; layer_norm itself and sums along one axis do not.
# use_deterministic_algorithms(True), which is on here, neither helps nor warns.
set -euo pipefail
unset OMP_NUM_THREADS MKL_NUM_THREADS
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6

cat > "$folder/expected" <<'TEXT'
sum of 32768: same
sum of 32769: differs
batch_norm of 4 x 4: differs
layer_norm of 4 x 4: same
layer_norm of 100 x 100: same
layer_norm, gradient of the weight, 4 x 4: differs
sum along axis 0 of 100 x 100: same
TEXT

ATEN_CPU_CAPABILITY=avx2 "$folder/venv/bin/python" > "$folder/seen" <<'PYTHON'
import torch
from torch.nn import functional

torch.use_deterministic_algorithms(True)
generator = torch.Generator().manual_seed(0)


def compare(what, function, *shape):
    draws = [torch.randn(*shape, generator=generator) for _ in range(8)]
    results = set()
    for threads in (1, 2, 4, 8):
        torch.set_num_threads(threads)
        results.add(b"".join(function(draw).numpy().tobytes() for draw in draws))
    print(f"{what}: {'same' if len(results) == 1 else 'differs'}")


def batch_norm(batch):
    return functional.batch_norm(batch, None, None, training=True)


def layer_norm(batch):
    return functional.layer_norm(batch, batch.shape[1:])


def gradient_of_weight(batch):
    weight = torch.ones(batch.shape[1], requires_grad=True)
    (functional.layer_norm(batch, batch.shape[1:], weight) ** 3).sum().backward()
    return weight.grad


compare("sum of 32768", torch.sum, 32768)
compare("sum of 32769", torch.sum, 32769)
compare("batch_norm of 4 x 4", batch_norm, 4, 4)
compare("layer_norm of 4 x 4", layer_norm, 4, 4)
compare("layer_norm of 100 x 100", layer_norm, 100, 100)
compare("layer_norm, gradient of the weight, 4 x 4", gradient_of_weight, 4, 4)
compare("sum along axis 0 of 100 x 100", lambda batch: batch.sum(0), 100, 100)
PYTHON
cat "$folder/seen"
diff "$folder/expected" "$folder/seen"
