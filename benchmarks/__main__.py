"""`python -m benchmarks`: print the table of what is measured so far; `python -m benchmarks clients`: that table."""

import sys

from benchmarks import clients, decide

print((clients if "clients" in sys.argv[1:] else decide).measure())  # noqa: T201 - the table
