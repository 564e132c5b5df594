"""A real pgbouncer for tests: Debian's package, in transaction mode, on loopback."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.debian import tool
from tests.processes import free_port, running, wait_for

ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")  # as many hosts as clients come from


@contextmanager
def pgbouncer(folder: Path, url: str, *, connections: int) -> Iterator[int]:
    """Pool a server's connections, so many of them for everybody together; yields the port."""
    program = tool("pgbouncer", "pgbouncer")
    parts, port = urlsplit(url), free_port()
    home = folder / "pgbouncer"
    home.mkdir()
    (home / "users.txt").write_text(f'"{parts.username}" "{parts.password}"\n')
    (home / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={parts.port}\n"
        f"[pgbouncer]\nlisten_addr = {','.join(ADDRESSES)}\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {home / 'users.txt'}\n"
        f"pool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 500\n"
    )
    command = [program, str(home / "pgbouncer.ini")]
    if os.geteuid() == 0:  # it refuses to run as root
        folder.chmod(0o755)
        account = pwd.getpwnam("nobody")
        for each in (home, *home.iterdir()):
            os.chown(each, account.pw_uid, account.pw_gid)
        command[1:1] = ["-u", "nobody"]
    with running(command, home.parent / "pgbouncer.log") as process:
        wait_for("pgbouncer to serve", lambda: "process up" in process.output())
        yield port
