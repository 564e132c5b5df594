"""Secrets at rest: sealed with Fernet (AES-128-CBC and HMAC-SHA256) under keys that the database does not hold."""

import hmac
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from core.errors import ConfigurationError, SecretLostError


class Vault:
    """Seals under the first key and opens under any, so that keys can be replaced while everything runs."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Raises ConfigurationError for no key, or one that is none. No message quotes a key."""
        if not keys:
            raise ConfigurationError(f"RUBATO_ENCRYPTION_KEYS holds no key. {_HOW}")
        try:
            self._first = Fernet(keys[0])
            self._all = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise ConfigurationError(f"RUBATO_ENCRYPTION_KEYS holds something that is no Fernet key. {_HOW}") from error

    def seal(self, plain: str, stored: str | None = None) -> str:
        """Return what may be stored: `stored` again if it holds the same, so that nothing seems to have changed."""
        if stored is not None and self._holds(stored, plain):
            return stored
        return self._first.encrypt(plain.encode()).decode("ascii")

    def open(self, sealed: str) -> str:
        """Return what was sealed. Raises SecretLostError when no key opens it."""
        try:
            return self._all.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise SecretLostError from error

    def _holds(self, sealed: str, plain: str) -> bool:
        try:
            return hmac.compare_digest(self.open(sealed).encode(), plain.encode())
        except SecretLostError:
            return False

    def renew(self, sealed: str) -> str | None:
        """Return it sealed under the first key, or None when it is already. Raises SecretLostError."""
        try:
            self._first.decrypt(sealed.encode())
        except InvalidToken:
            return self.seal(self.open(sealed))
        return None


def new_encryption_key() -> str:
    """Return a fresh key."""
    return Fernet.generate_key().decode("ascii")


_HOW = "Make one with: rubato admin new-encryption-key"
