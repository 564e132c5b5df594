"""Targets that lie, a model that obeys every lie, and what neither can break: bounds, grants, quotas, walls, pause caps.

Families of payloads are in `payloads`, the model in `obedient`, what must hold in `invariants`, what breaks when a guard is
taken away in `mutants`.
"""
