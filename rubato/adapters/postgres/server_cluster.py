"""The database cluster on disk: made whole or not at all, and cleared of what a crash left behind."""

import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil

from core.errors import ConfigurationError
from rubato.adapters.postgres.server_account import ServerAccount
from rubato.adapters.postgres.server_log import ServerLog
from rubato.adapters.postgres.server_process import Program

USER = DATABASE = "rubato"
STEP_TIMEOUT_S = 120.0  # initdb took 0.4 s on two cores; a slow disk syncs for long
READY_LINE = 7  # of postmaster.pid, counted from 0; PostgreSQL's pidfile.h, LOCK_FILE_LINE_PM_STATUS

# The superuser has no password and may not log in at all: whatever reaches a connection of ours, server files and
# programs stay out of reach, and row-level security is not silently skipped, as it is for a superuser.
# Whoever else is let in was made by the user that migrates, with a password, and is less than that user.
LOGINS = "host all postgres 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 scram-sha-256\n"
CREATE = (
    "CREATE ROLE {user} LOGIN CREATEDB CREATEROLE PASSWORD '{password}';\n\n"
    "GRANT pg_monitor TO {user};\n\n"
    "CREATE DATABASE {database} OWNER {user};\n\n"
)


class ServerCluster:
    """The folder `cluster`: PostgreSQL's `data` and the `password` file (mode 0600) beside it.

    The folder appears by one rename after every step of its making has succeeded. All methods but `exists` and
    `password` require the server's lock: no server runs on the data.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / "cluster"
        self.data = self.folder / "data"

    def exists(self) -> bool:
        """True once the cluster is whole."""
        return self.folder.exists()

    def password(self) -> str:
        """Return the generated password of the user `rubato`. ConfigurationError where its file is gone."""
        try:
            return (self.folder / "password").read_text().strip()
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"{error.filename} is gone, and without it nobody can log in. Put it back, or move {self.folder} "
                "away to start with an empty database."
            ) from error

    def create(self, binaries: Path, account: ServerAccount, log: ServerLog, *, lock: int, durable: bool) -> None:
        """Make the cluster with its user and database, or leave nothing.

        `lock` is the server's lock, which each step holds for as long as it lives. Raises ConfigurationError with
        the log's tail where a step fails, Unavailable where it takes too long.
        """
        unfinished = self.folder.with_name("cluster.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            self._fill(unfinished, binaries, account, log, lock=lock, durable=durable)
            unfinished.rename(self.folder)
            _sync_folder(self.folder.parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _fill(
        self, folder: Path, binaries: Path, account: ServerAccount, log: ServerLog, *, lock: int, durable: bool
    ) -> None:
        folder.mkdir(mode=0o700)
        data = folder / "data"
        data.mkdir(mode=0o700)
        if account.differs:
            os.chown(data, account.uid, account.gid)
        password = secrets.token_urlsafe(24)
        for name, arguments, text in _steps(data, password, durable=durable):
            argv = (str(binaries / name), *arguments)
            # Killed outright with us: nothing of an unfinished cluster is worth an orderly end.
            program = Program(argv, data, account, log.descriptor, keep=(lock,), death_signal=signal.SIGKILL)
            if status := program.run(text, timeout_s=STEP_TIMEOUT_S):
                raise ConfigurationError(
                    f"The database in {folder.parent} could not be created: {name} ended with status {status}. "
                    f"Its log, {log.path}, ends:\n{log.tail()}"
                )
        _write(data / "pg_hba.conf", LOGINS, os.O_TRUNC)
        _write(folder / "password", password, os.O_CREAT | os.O_EXCL)
        _sync_folder(folder)

    def forget_dead_server(self) -> None:
        """Remove a stale `postmaster.pid`, whose pid may since belong to any process.

        PostgreSQL itself refuses to start when that pid lives. We know better: the server's lock is ours, so no
        process of that server is left.
        """
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def is_ready(self, pid: int | None) -> bool:
        """True when the server with this process id says, in its `postmaster.pid`, that it accepts connections."""
        lines = self._pid_lines()
        return len(lines) > READY_LINE and lines[0] == str(pid) and lines[READY_LINE].strip() == "ready"

    def orphan(self) -> psutil.Process | None:
        """Return the running postmaster that `postmaster.pid` names, if that pid is truly one on this data."""
        lines = self._pid_lines()
        return next((p for p in self.processes() if lines and lines[0] == str(p.pid)), None)

    def processes(self) -> Iterator[psutil.Process]:
        """Yield every PostgreSQL process on this data: they all stand in its folder."""
        for process in psutil.process_iter():
            try:
                if process.name().startswith("postgres") and Path(process.cwd()) == self.data:
                    yield process
            except psutil.Error:  # gone meanwhile, or another user's: not a server of ours
                continue

    def _pid_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []


def _steps(data: Path, password: str, *, durable: bool) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield each program of the making with its arguments and its input; the password travels by input alone."""
    here = data_argument(data)
    # The builtin provider sorts alike on every machine; a C library's locale may change under an index.
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    initdb = ("-D", here, "-U", "postgres", "--auth=reject", "--no-instructions", *locale)
    yield "initdb", (*initdb, *(() if durable else ("--no-sync",))), ""
    # A failed statement must stop the making, and must not reach the log: it may hold the password.
    careful = ("-c", "exit_on_error=on", "-c", "log_min_error_statement=panic")
    single = ("--single", "-j", "-D", here, *careful, *(() if durable else ("-F",)), "postgres")
    yield "postgres", single, CREATE.format(user=USER, database=DATABASE, password=password)


def data_argument(data: Path) -> str:
    """Return what `-D` must say for a program that was started inside the data folder.

    On Linux `/proc/self/cwd` leads each process of the server to its own folder without passing through the
    folders above, which may be closed to its account (a project below /root). Elsewhere the plain path.
    """
    link = Path("/proc/self/cwd")
    return str(link) if link.exists() else str(data)


def _write(path: Path, text: str, flags: int) -> None:
    """Write and sync a private file, never through a link: the server's account owns part of these folders."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
