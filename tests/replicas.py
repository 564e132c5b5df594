"""A PostgreSQL with a streaming replica, for tests: PostgreSQL's own programs, as an operator would use them.

The servers trust whoever comes from loopback and sync nothing to disk; what they do to each other is real.
"""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rubato.adapters.postgres.server_account import ServerAccount, choose_account
from rubato.adapters.postgres.server_binaries import find_binaries
from rubato.adapters.postgres.server_process import ENVIRONMENT

USER = "operator"
QUICK = {"fsync": "off", "unix_socket_directories": "", "max_connections": "80", "createrole_self_grant": "set"}
STEP_S = 60.0


@dataclass
class Server:
    """One server on a folder of its own."""

    data: Path
    port: int

    @property
    def account(self) -> ServerAccount:
        return choose_account(self.data.parent)

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *args: str) -> str:
        """Run one of PostgreSQL's programs as the servers' account; its failure is the test's."""
        account = self.account
        as_whom = {"user": account.uid, "group": account.gid, "extra_groups": []} if account.differs else {}
        ended = subprocess.run(
            [str(find_binaries(account) / program), *args],
            cwd=self.data.parent,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEP_S,
            check=False,
            **as_whom,  # type: ignore[call-overload]  # of one call there are many kinds
        )
        said: str = ended.stdout
        assert ended.returncode == 0, f"{program}: {said}"
        return said

    def create(self) -> None:
        """Make an empty cluster."""
        self.run(
            "initdb", "-D", str(self.data), "-U", USER, "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"
        )

    def copy_of(self, port: int, name: str) -> None:
        """Make a standby of the server at `port`; it calls itself `name`."""
        source = f"host=127.0.0.1 port={port} user={USER} application_name={name}"
        self.run("pg_basebackup", "-D", str(self.data), "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync")

    def start(self, **settings: str) -> None:
        """Serve, once it accepts connections."""
        options = " ".join(f"-c {key}='{value}'" for key, value in {**QUICK, **settings}.items())
        log = self.data.parent / f"{self.data.name}.log"
        where = f"-p {self.port} -h 127.0.0.1"
        # Its output goes to the log: a server that kept our pipe open would keep us waiting for it.
        self.run("pg_ctl", "-D", str(self.data), "-w", "-l", str(log), "-o", f"{where} {options}", "start")

    def promote(self) -> None:
        """Make a standby a server of its own."""
        self.run("pg_ctl", "-D", str(self.data), "-w", "promote")

    def kill(self) -> None:
        """End it as a power cut would: its postmaster is killed, and its other processes follow."""
        os.kill(int((self.data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)

    def stop(self) -> None:
        """End it, if it runs."""
        if (self.data / "postmaster.pid").exists():
            self.run("pg_ctl", "-D", str(self.data), "-w", "-m", "immediate", "stop")


@contextmanager
def servers(folder: Path, *names: str) -> Iterator[list[Server]]:
    """Give each a place and a port; nothing is made or started yet. Whatever runs at the end is stopped."""
    folder.chmod(0o755)
    home = folder / "servers"
    home.mkdir(mode=0o700)
    account = choose_account(home / "none")
    if account.differs:
        os.chown(home, account.uid, account.gid)
    made = [Server(home / name, _free_port()) for name in names]
    try:
        yield made
    finally:
        for server in made:
            try:
                server.stop()
            except AssertionError:  # killed in the test; its file names a process that is gone
                (server.data / "postmaster.pid").unlink(missing_ok=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
