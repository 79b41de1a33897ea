"""What is asked: a study file, its configurations, and the template notebook that runs them.

It may import `decision`. Others take `study.load_study`, the `Study` that it returns, and its `Template`.
"""
