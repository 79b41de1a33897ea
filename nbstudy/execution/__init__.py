"""Make it so: what is left to run, where, in which kernels, and a summary that is current.

It may import `records` and `study`, and what these may. The command takes `pools.open_pool`, `running.run_all` and
`summary.summarise`.
"""
