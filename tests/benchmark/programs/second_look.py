"""Unfold a study twice, whose runs stay as they are; print the processor seconds of the second time."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from earlier import context_of, finish_promotion, load_study, unfold

file = Path(sys.argv[1])
study = load_study(file)
context = context_of(study, Path("outputs") / file.stem)
unfold(study, context, finish_promotion)
began = time.process_time()
unfold(study, context, finish_promotion)
print(time.process_time() - began)
