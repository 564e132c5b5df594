"""Entropy from the operating system."""

import secrets

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class SystemIds:
    """The id port: 80 bits a call; two processes collide with a chance of one in 2**80 a pair."""

    def entropy(self) -> str:
        """Return 16 lower-case Crockford base-32 characters."""
        bits = secrets.randbits(80)
        return "".join(_ALPHABET[(bits >> shift) & 31] for shift in range(75, -1, -5))
