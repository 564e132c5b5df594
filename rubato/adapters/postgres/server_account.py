"""Which account the embedded server runs as. PostgreSQL refuses to run as root."""

import os
import pwd
import sys
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigurationError

# An account made for PostgreSQL is shared with nothing but PostgreSQL. `nobody` is the fallback every system
# has; other daemons may share it and could signal our server or read its files, so it comes second.
UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """The numeric user and group a server process runs as."""

    uid: int
    gid: int

    @property
    def differs(self) -> bool:
        """True where the server must become another user than ours."""
        return self.uid != os.geteuid()


def choose_account(data: Path) -> ServerAccount:
    """Choose the account for the server on this data folder, which need not exist yet.

    An ordinary user's server runs as that user. For root the owner of existing data decides, because PostgreSQL
    demands that its data be its own; new data goes to the first account of `UNPRIVILEGED` there is. Raises
    ConfigurationError where the data is another's, or where root finds no account to step down to.
    """
    owner = data.stat() if data.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner.st_uid != os.geteuid():
            raise ConfigurationError(
                f"The data folder {data} belongs to user id {owner.st_uid}, and this process runs as user id "
                f"{os.geteuid()}. Start it as that user or as root, or choose another data folder."
            )
        return ServerAccount(os.geteuid(), os.getegid())
    if sys.platform != "linux":
        raise ConfigurationError(
            "On this system the embedded PostgreSQL cannot run for root. Start it as an ordinary user, or set a "
            "database URL of your own."
        )
    if owner is not None and owner.st_uid != 0:
        return ServerAccount(owner.st_uid, owner.st_gid)
    return _unprivileged()


def _unprivileged() -> ServerAccount:
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return ServerAccount(entry.pw_uid, entry.pw_gid)
    raise ConfigurationError(
        f"PostgreSQL refuses to run as root, and there is no account {' or '.join(UNPRIVILEGED)} to run it as. "
        "Create one, start as an ordinary user, or set a database URL of your own."
    )
