"""The policies that the offline planner is compared with, each from its source, in a file of its own.

A policy says after each look how long to wait until the next. `catalogue.py` lists them; `seat.py` puts one behind the
planner port, where it acts through the same tools as a model.
"""
