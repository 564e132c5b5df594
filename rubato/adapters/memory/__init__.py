"""The store, quota and accounts ports in memory: for tests, simulations and evals, held to the same contract suite as
PostgreSQL. Core is all it imports."""
