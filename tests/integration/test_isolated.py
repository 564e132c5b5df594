"""Requests sent by a process of their own: as the ordinary dispatcher sends them, and no death of theirs is ours."""

import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from core.errors import IsolatedRunError
from core.ports.dispatcher import HttpRequest
from rubato.adapters.http.dispatcher import HttpDispatcher
from rubato.adapters.http.guard import AddressPolicy
from rubato.adapters.http.isolated import CHILD, IsolatedDispatcher
from tests.integration.targets import OK, Served, says, serving

SECOND = timedelta(seconds=1)
BIG = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + b"\xff\0" * 500_000
SAID = b"HTTP/1.1 418 No\r\nretry-after: 7\r\ncontent-type: text/plain; charset=latin-1\r\ncontent-length: 4\r\n\r\ncaf\xe9"


def dispatcher(*code: str, start_s: float = 20.0) -> IsolatedDispatcher:
    """Return one whose process runs this code instead."""
    command = (sys.executable, "-c", *code) if code else (sys.executable, *CHILD)
    return IsolatedDispatcher(AddressPolicy(["loopback"]), command=command, start_s=start_s)


def children() -> Sequence[int]:
    """Return the processes of runs; a database of other tests may be a child of this process too."""
    found = psutil.Process().children(recursive=True)
    return [child.pid for child in found if "postgres" not in child.name() and child.name() not in ("su", "setpriv")]


async def until_none_is_left() -> None:
    async with asyncio.timeout(10):
        while children():  # noqa: ASYNC110 - what ends is a process
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("answer", [OK, SAID, BIG, b"nonsense\r\n"], ids=["ok", "told", "big", "nonsense"])
async def test_an_ordinary_answer_is_the_ordinary_dispatchers(answer: bytes) -> None:
    request = {"method": "PUT", "headers": {"x": "1"}, "body_json": {"a": ["\u00e9", None]}, "webhook_id": "msg_1"}
    plain = HttpDispatcher(AddressPolicy(["loopback"]))
    async with serving(says(answer)) as served:
        sent = HttpRequest(served.url, tenant_id="ten_a", **request)  # type: ignore[arg-type]  # fields by name
        expected, result = await plain.send(sent), await dispatcher().send(sent)
        await plain.close()
        assert served.heads[0] == served.heads[1]
    timeless = {"duration_ms": 0, "headers_ms": 0}
    assert result._replace(**timeless) == expected._replace(**timeless)


async def test_what_is_forbidden_stays_forbidden() -> None:
    async with serving(says(OK)) as served:
        closed = await IsolatedDispatcher(AddressPolicy()).send(HttpRequest(served.url))
    assert (closed.error_code, served.connections) == ("blocked_address", 0)


async def test_a_target_that_never_answers_is_a_result() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as served:
        result = await dispatcher().send(HttpRequest(served.url, timeout=SECOND))
    assert (result.error, result.error_code) == ("Request timed out after 1000ms", "timeout")


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import os; os.abort()", "ended by SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
        ("raise MemoryError('hunter2')", r"exited with 1 \(MemoryError\)"),
        ("raise SystemExit(3)", r"exited with 3 \(it said nothing\)"),
        ("pass", "without a result"),
        ("print('{}')", "without a result"),
        ("print('[1]')", "without a result"),
    ],
)
async def test_a_process_that_dies_raises_and_says_how(code: str, how: str) -> None:
    with pytest.raises(IsolatedRunError, match=how) as caught:
        await dispatcher(code).send(HttpRequest("http://127.0.0.1:1/"))
    assert "hunter2" not in str(caught.value)


async def test_a_process_that_hangs_is_killed_at_its_deadline() -> None:
    begun = time.monotonic()
    with pytest.raises(IsolatedRunError, match="was killed"):
        await dispatcher("import time; time.sleep(600)", start_s=0.2).send(HttpRequest("http://x/", timeout=SECOND))
    assert time.monotonic() - begun >= 1
    await until_none_is_left()


async def test_cancelling_kills_the_process_and_closes_its_socket() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await reader.read():
            raise ConnectionError

    async with serving(silent) as served:
        task = asyncio.create_task(dispatcher().send(HttpRequest(served.url)))
        await served.until(_has_a_request)
        assert len(children()) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await served.until(lambda seen: seen.ended == 1)
        await until_none_is_left()


async def test_a_process_ends_by_itself_where_its_parent_does_not_end_it() -> None:
    code = "import time, rubato.adapters.http.isolated as i; i.bound(0.5); time.sleep(600)"
    with pytest.raises(IsolatedRunError, match="SIGALRM"):
        await dispatcher(code).send(HttpRequest("http://x/"))


async def test_a_process_may_not_take_more_memory_than_it_needs() -> None:
    code = "import rubato.adapters.http.isolated as i; i.bound(60, address_space=i.ADDRESS_SPACE); bytearray(1 << 30)"
    with pytest.raises(IsolatedRunError, match="MemoryError"):
        await dispatcher(code).send(HttpRequest("http://x/"))


async def test_a_process_sees_neither_our_environment_nor_our_sockets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RUBATO_SECRET", "hunter2")
    told = tmp_path / "told"
    code = (
        "import os, sys, pathlib; sys.stdin.read();"
        "links = [os.readlink(entry.path) for entry in os.scandir('/proc/self/fd') if os.path.lexists(entry.path)];"
        "own = [os.readlink(f'/proc/self/fd/{n}') for n in range(3)];"
        "others = [link for link in links if link.startswith('socket:') and link not in own];"
        f"pathlib.Path({str(told)!r}).write_text(repr((sorted(os.environ), sys.argv, others)))"
    )
    async with serving(says(OK)) as served:
        with pytest.raises(IsolatedRunError):
            await dispatcher(code).send(HttpRequest(served.url, headers={"authorization": "hunter2"}))
    said = told.read_text()
    assert "PYTHONPATH" in said
    assert "hunter2" not in said
    assert "RUBATO" not in said
    assert "socket:" not in said


async def test_a_process_that_cannot_be_started_is_this_machines_trouble() -> None:
    missing = IsolatedDispatcher(AddressPolicy(), command=("/nowhere/python",))
    result = await missing.send(HttpRequest("http://x/"))
    assert (result.status_code, result.error_code) == (None, "protocol")
    assert "could not be started" in (result.error or "")


def _has_a_request(seen: Served) -> bool:
    return len(seen.heads) == 1
