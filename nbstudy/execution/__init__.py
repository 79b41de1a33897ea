"""Make it so: what is left to run, where, in which kernels, and a summary that is current.

It may import `records`, `study` and `decision`. The command takes `unfolding.unfold`, what `plan` prints,
`places.open_pool`, `running.run_all`, `opening.open_test_set` and `summary.summarise`. What only runs need (`work` and the kernels) is imported
when there is something to run, `dask_cluster` for a cluster alone.
"""
