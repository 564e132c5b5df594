"""`make openapi`: write docs/openapi.json. `ARGS=--break` writes it though clients would break."""

import json
import sys

from tests.openapi.breaking import breaks
from tests.openapi.document import COMMITTED, made, written


def main() -> int:
    """Return the exit code."""
    document = made()
    if COMMITTED.exists():
        found = breaks(json.loads(COMMITTED.read_text()), document)
        if found and "--break" not in sys.argv:
            print("These changes break clients of the committed document:", *found, sep="\n  ", file=sys.stderr)  # noqa: T201
            print("Undo them, or say so: make openapi ARGS=--break", file=sys.stderr)  # noqa: T201
            return 1
    COMMITTED.write_text(written(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
