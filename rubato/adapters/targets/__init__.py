"""Targets: Python functions that jobs may call. The registry, the two ways to run a call, and Rubato's own targets.

What users write against stands in `rubato.targets`.
"""
