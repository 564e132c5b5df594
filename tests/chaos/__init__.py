"""Failure on real PostgreSQL: workers killed, stopped and cut off, and what their target and the database say after.

`target` and `nursery` are processes of their own; `director` breaks things; `evidence` holds what was seen from
outside the system under test; `analysis` judges it, `report` prints it. `soak` and `herd` are the long load and the
big second. Run by `python -m tests.chaos`, and small by the tests beside it.
"""
