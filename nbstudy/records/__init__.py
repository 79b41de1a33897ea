"""What is there: the runs and attempts on disk, who holds a study, when the test set was opened, all results.

It may import `study` and `decision`. What the runner needs imports no pandas: `states`, which decides the state of a
configuration, `runs.find`, which asks it, `attempts`, `lease`, `history`, `latest`, `metrics`, `openings` and `tested`. What a reader
needs does: `results.load_results`, whose Results has runs (`reading`, with the histories of many at once: `histories`),
table and histories (`table`, `by_epoch`) and models; what is computed from it lies beside it, in `scores`, `rungs`, `race`, `rounds`.
What need not be read again is known to `intact`, from one command to the next, and to `seen`, from one look to the next.
"""
