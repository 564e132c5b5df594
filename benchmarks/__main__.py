"""`python -m benchmarks`: print the table of what is measured so far."""

from benchmarks.decide import measure

print(measure())  # noqa: T201 - the table
