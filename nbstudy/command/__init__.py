"""The command `nbstudy`: a file for each thing that it does, and `main`, which tells them apart.

It may import all wings, and nothing imports it but the command itself and a project's runner.py.
"""
