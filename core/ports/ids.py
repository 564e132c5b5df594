"""The id port."""

from typing import Protocol


class Ids(Protocol):
    """A source of unguessable, collision-free entropy, shared by nobody across processes."""

    def entropy(self) -> str:
        """Return 80 random bits as 16 lower-case Crockford base-32 characters."""
        ...
