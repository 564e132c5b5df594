"""Entropy from the operating system."""

import secrets

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no i, l, o or u, so that an id read aloud or retyped stays itself."""


class SystemIds:
    """`core.ports.ids.Ids` on the operating system's generator, which is safe across processes and forks."""

    def entropy(self) -> str:
        """Return 80 random bits as 16 lower-case Crockford base-32 characters."""
        bits = secrets.randbits(80)
        return "".join(CROCKFORD[(bits >> shift) & 31] for shift in range(75, -1, -5))
