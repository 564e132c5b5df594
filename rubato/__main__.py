"""`python -m rubato`."""

from rubato.cli import main

main()
