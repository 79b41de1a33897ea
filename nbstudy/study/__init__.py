"""What is asked: a study file, its configurations, and the template notebook that runs them.

It may import `decision`. Others take `study.load_study`, the `Study` that it returns, its `Template`, `Halving` and `Race`, and
what `modules` says of the modules beside a template. `study_file.EMPTY` lists the keys of a study file, and where
each is read.
"""
