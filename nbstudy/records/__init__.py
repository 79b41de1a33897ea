"""What is there: the runs and attempts on disk, who holds a study, when the test set was opened, all results.

It may import `study` and `decision`; `results` alone imports pandas. Others take `runs.find`, the state of a
configuration, `attempts`, which alone makes and replaces runs, `lease.hold`, and `results.load_results`.
"""
