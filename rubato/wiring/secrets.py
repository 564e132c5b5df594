"""What a process keeps secret: keys, peppers, and files that nobody else reads."""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from core.errors import ConfigurationError
from rubato.adapters.vault import Vault, new_encryption_key
from rubato.settings import Settings


def kept_secret(path: Path, make: Callable[[], str]) -> str:
    """Return the secret kept in a file, made at the first call, readable by its owner only.

    The file appears whole or not at all: a process killed while it writes must not leave an empty secret behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="ascii").strip()
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(make())
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):  # another process was first; its secret is the one
        os.link(draft, path)
    draft.unlink()
    return path.read_text(encoding="ascii").strip()


def pepper_of(settings: Settings) -> bytes:
    """Return what credentials are hashed with. Development keeps one of its own. Raises ConfigurationError."""
    if settings.secret is not None:
        return settings.secret.get_secret_value().encode()
    if settings.environment != "development":
        raise ConfigurationError(
            f"RUBATO_SECRET is not set, and RUBATO_ENV is {settings.environment}. "
            "Set 32 characters or more; make them with: openssl rand -hex 32"
        )
    return kept_secret(settings.data_dir / "secret", lambda: secrets.token_hex(32)).encode()


def vault_of(settings: Settings) -> Vault:
    """Return what seals and opens jobs' secrets. Development makes a key of its own, beside its other secrets."""
    if settings.encryption_keys is not None:
        keys = settings.encryption_keys.get_secret_value().split(",")
        return Vault([key.strip() for key in keys if key.strip()])
    if settings.environment != "development":
        raise ConfigurationError(
            f"RUBATO_ENCRYPTION_KEYS is not set, and RUBATO_ENV is {settings.environment}: API and worker need it for "
            "jobs' secrets. Make a key with: rubato admin new-encryption-key"
        )
    return Vault([kept_secret(settings.data_dir / "encryption_key", new_encryption_key)])


def encryption_key() -> str:
    """Return a fresh key for RUBATO_ENCRYPTION_KEYS."""
    return new_encryption_key()


def require_keys(settings: Settings) -> None:
    """Refuse a start that could not seal or open secrets; development makes its key when a secret first needs one."""
    if settings.environment != "development":
        vault_of(settings)
