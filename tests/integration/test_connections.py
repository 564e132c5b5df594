"""Connections: kept for one tenant, never shared, few, soon closed; and no request is ever sent twice."""

import asyncio
import os
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from core.ports.dispatcher import HttpRequest, HttpResult
from rubato.adapters.http.connection import IDLE_S
from rubato.adapters.http.dispatcher import HttpDispatcher
from rubato.adapters.http.guard import AddressPolicy
from tests.integration.targets import OK, says, serving

SECOND = timedelta(seconds=1)


@asynccontextmanager
async def dispatching(**options: object) -> AsyncIterator[HttpDispatcher]:
    dispatcher = HttpDispatcher(AddressPolicy(["loopback"]), **options)  # type: ignore[arg-type]  # options by name
    try:
        yield dispatcher
    finally:
        await dispatcher.close()


async def send(dispatcher: HttpDispatcher, url: str, tenant_id: str = "ten_a", **fields: object) -> HttpResult:
    request = HttpRequest(url, tenant_id=tenant_id, **fields)  # type: ignore[arg-type]  # fields by name
    return await dispatcher.send(request)


async def test_a_tenant_reuses_its_connection() -> None:
    async with serving(says(OK)) as served, dispatching() as dispatcher:
        for _ in range(5):
            assert (await send(dispatcher, served.url)).body == "ok"
    assert (served.connections, len(served.heads)) == (1, 5)


async def test_a_connection_is_never_shared_between_tenants() -> None:
    async with serving(says(OK)) as served, dispatching() as dispatcher:
        for tenant_id in ("ten_a", "ten_b", "", "ten_a", "ten_b", ""):
            assert (await send(dispatcher, served.url, tenant_id)).body == "ok"
    assert (served.connections, len(served.heads)) == (3, 6)


async def test_requests_at_once_have_a_connection_each() -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.until(lambda seen: len(seen.heads) >= 10)
        writer.write(OK)

    async with serving(slowly) as served, dispatching() as dispatcher:
        results = await asyncio.gather(*(send(dispatcher, served.url) for _ in range(10)))
    assert {result.body for result in results} == {"ok"}
    assert served.connections == 10


async def test_a_connection_that_idles_is_closed() -> None:
    async with serving(says(OK)) as served, dispatching() as dispatcher:
        begun = time.monotonic()
        await send(dispatcher, served.url)
        await served.until(lambda seen: seen.ended == 1)
        assert time.monotonic() - begun >= IDLE_S


@pytest.mark.parametrize(
    ("header", "connections"),
    [(b"keep-alive: timeout=1", 2), (b"keep-alive: max=3, timeout=5", 1), (b"connection: close", 2), (b"x: y", 1)],
)
async def test_a_server_says_whether_it_keeps_a_connection(header: bytes, connections: int) -> None:
    answer = b"HTTP/1.1 200 OK\r\n%s\r\ncontent-length: 2\r\n\r\nok" % header
    async with serving(says(answer)) as served, dispatching() as dispatcher:
        for _ in range(2):
            assert (await send(dispatcher, served.url)).body == "ok"
        assert served.connections == connections


async def test_only_so_many_connections_idle_whoever_they_belong_to() -> None:
    async with serving(says(OK)) as served, dispatching(most_idle=3) as dispatcher:
        for tenant in range(10):
            await send(dispatcher, served.url, f"ten_{tenant}")
        await served.until(lambda seen: seen.ended == 7)
        await send(dispatcher, served.url, "ten_9")
        assert served.connections == 10


async def test_closing_ends_what_idles_and_what_comes_back() -> None:
    async with serving(says(OK)) as served, dispatching() as dispatcher:
        await send(dispatcher, served.url)
        await dispatcher.close()
        await served.until(lambda seen: seen.ended == 1)
        await send(dispatcher, served.url)
        await served.until(lambda seen: seen.ended == 2)


async def test_a_kept_connection_that_the_server_closed_is_not_used() -> None:
    """The server closes without having said so, and the next request follows before the loop has noticed."""
    gone: list[socket.socket] = []

    async def answer_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        gone.append(writer.get_extra_info("socket"))

    async with serving(answer_and_close) as served, dispatching() as dispatcher:
        assert (await send(dispatcher, served.url)).body == "ok"
        with socket.socket(fileno=os.dup(gone[0].fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)  # at once, behind the loop's back
        result = await send(dispatcher, served.url)
    assert (result.body, result.error) == ("ok", None)
    assert (served.connections, len(served.heads)) == (2, 2)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST"])
@pytest.mark.parametrize("with_reset", [False, True])
async def test_a_request_that_was_written_is_never_written_again(method: str, with_reset: bool) -> None:
    """A kept connection that ends after the request left: the server may have acted on it, so that is the result."""

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(served.heads) == 1:
            writer.write(OK)
            return
        if with_reset:
            reset(writer)
        writer.close()

    async with serving(answer_once) as served, dispatching() as dispatcher:
        assert (await send(dispatcher, served.url)).body == "ok"
        result = await send(dispatcher, served.url, method=method)
        assert (result.status_code, result.error_code) == (None, "protocol")
        assert "closed before an answer came" in (result.error or "")
        assert (served.connections, len(served.heads)) == (1, 2)


async def test_bytes_that_nobody_asked_for_end_a_connection() -> None:
    async def chatty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")

    async with serving(chatty) as served, dispatching() as dispatcher:
        assert (await send(dispatcher, served.url)).body == "ok"
        await served.until(lambda seen: seen.ended == 1)
        assert (await send(dispatcher, served.url)).body == "ok"
    assert served.connections == 2


@pytest.mark.parametrize("extra", [b"x", OK, b"\r\n\r\n\0"], ids=["a byte", "an answer", "noise"])
async def test_bytes_behind_an_answer_are_not_the_next_one(extra: bytes) -> None:
    async with serving(says(OK + extra, OK)) as served, dispatching() as dispatcher:
        first = await send(dispatcher, served.url)
        second = await send(dispatcher, served.url)
    assert [first.status_code, second.status_code] in ([200, 200], [None, 200])
    assert (second.body, served.connections) == ("ok", 2)


async def test_a_body_over_the_cap_closes_its_connection_and_the_next_request_works() -> None:
    big = b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n" + b"x" * 3_000_000
    async with serving(says(big, OK)) as served, dispatching(body_cap=1000) as dispatcher:
        first = await send(dispatcher, served.url)
        second = await send(dispatcher, served.url)
        await served.until(lambda seen: seen.ended == 1)
    assert (first.truncated, first.body_bytes, second.body, served.connections) == (True, 1000, "ok", 2)


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n"],
    ids=["head", "not modified"],
)
async def test_an_answer_that_only_describes_its_body_does_not_wait_for_it(answer: bytes) -> None:
    async with serving(says(answer, OK)) as served, dispatching() as dispatcher:
        first = await send(dispatcher, served.url, method="HEAD" if b"200" in answer else "GET", timeout=SECOND)
        second = await send(dispatcher, served.url)
    assert (first.error, first.body, first.body_bytes) == (None, "", 0)
    assert (second.body, served.connections) == ("ok", 1)


async def test_a_body_under_a_head_request_is_not_the_next_answer() -> None:
    forged = b"HTTP/1.1 200 OK\r\ncontent-length: 44\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"
    async with serving(says(forged, OK)) as served, dispatching() as dispatcher:
        await send(dispatcher, served.url, method="HEAD")
        assert (await send(dispatcher, served.url)).body == "ok"
    assert served.connections == 2


async def test_the_deadline_closes_the_socket() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await reader.read():
            raise ConnectionError

    async with serving(silent) as served, dispatching() as dispatcher:
        result = await send(dispatcher, served.url, timeout=SECOND)
        assert (result.error, result.error_code) == ("Request timed out after 1000ms", "timeout")
        await served.until(lambda seen: seen.ended == 1)


@pytest.mark.parametrize(("before_s", "takes_s", "within_s"), [(1, 1.5, 20), (20, 5, 1)])
async def test_an_exchange_on_a_kept_connection_has_its_own_deadline(
    before_s: int, takes_s: float, within_s: int
) -> None:
    """Not the one of the exchange before it, be that sooner or later."""

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(served.heads) == 2:
            await asyncio.sleep(takes_s)
        writer.write(OK)

    async with serving(twice) as served, dispatching() as dispatcher:
        assert (await send(dispatcher, served.url, timeout=before_s * SECOND)).body == "ok"
        result = await send(dispatcher, served.url, timeout=within_s * SECOND)
        assert served.connections == 1
    assert result.error_code == (None if takes_s < within_s else "timeout")


async def test_a_tls_handshake_that_never_ends_ends_at_the_deadline() -> None:
    ended = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        ended.set()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server, dispatching() as dispatcher:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert (await send(dispatcher, url, timeout=SECOND)).error_code == "timeout"
        async with asyncio.timeout(5):
            await ended.wait()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a self-signed certificate for 127.0.0.1, its key in the same file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    named = ["-subj", "/CN=loopback", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", *options, *named, "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


async def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    async with serving(says(OK), tls=server_tls(certificate)) as served, dispatching() as dispatcher:
        result = await send(dispatcher, served.url)
    assert (result.status_code, result.error_code) == (None, "connect")
    assert "certificate" in (result.error or "")
    assert served.heads == []


async def test_tls_connections_are_kept_too(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with serving(says(OK), tls=server_tls(certificate)) as served, dispatching() as dispatcher:
        for _ in range(3):
            result = await send(dispatcher, served.url)
            assert (result.error, result.body) == (None, "ok")
        wrong = await send(dispatcher, served.url.replace("127.0.0.1", "localhost"))
    assert served.connections == 1
    assert (wrong.error_code, len(served.heads)) == ("connect", 3)


async def test_a_name_that_answers_differently_later_leads_nowhere_new() -> None:
    """DNS rebinding: the second connection is judged again, and no socket is opened to what is not allowed."""
    answers = [["127.0.0.2"], ["127.0.0.1"], ["127.0.0.2", "127.0.0.1"]]

    async def rebinding(host: str, port: int) -> list[str]:
        return answers.pop(0)

    once = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
    async with (
        serving(says(once), host="127.0.0.2") as allowed,
        serving(says(OK), host="127.0.0.1", port=allowed.port) as forbidden,
    ):
        dispatcher = HttpDispatcher(AddressPolicy(["127.0.0.2"]), resolver=rebinding)
        url = f"http://rebinding.example:{allowed.port}/"
        results = [await send(dispatcher, url) for _ in range(3)]
        await dispatcher.close()
        assert [result.error_code for result in results] == [None, "blocked_address", "blocked_address"]
        assert b"Host: rebinding.example:" in allowed.heads[0]
        assert (allowed.connections, forbidden.connections) == (1, 0)


async def test_no_socket_is_opened_however_a_forbidden_address_is_written() -> None:
    async with serving(says(OK)) as v4, serving(says(OK), host="::1", port=v4.port) as v6:
        answers = {"mapped.example": "::ffff:127.0.0.1", "six.example": "::1", "scoped.example": "fe80::1%lo"}

        async def resolver(host: str, port: int) -> list[str]:
            return [answers[host]]

        dispatcher = HttpDispatcher(AddressPolicy(), resolver=resolver)
        hosts = ["127.0.0.1", "127.0.0.1.", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]"]
        hosts += ["127.1", "0", "0x7f000001", "2130706433", "017700000001", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"]
        for host in [*hosts, *answers, "localhost", "localhost."]:
            result = await send(dispatcher, f"http://{host}:{v4.port}/")
            assert result.error_code in ("blocked_address", "invalid_url"), host
        await asyncio.sleep(0.05)
        assert (v4.connections, v6.connections) == (0, 0)


async def test_the_next_address_is_tried_where_one_refuses() -> None:
    async def two(host: str, port: int) -> list[str]:
        return ["127.0.0.3", "127.0.0.1"]

    async with serving(says(OK)) as served:
        dispatcher = HttpDispatcher(AddressPolicy(["loopback"]), resolver=two)
        result = await send(dispatcher, f"http://two.example:{served.port}/")
        await dispatcher.close()
    assert (result.body, served.connections) == ("ok", 1)


async def test_a_url_is_sent_as_it_was_written() -> None:
    async with serving(says(OK)) as served, dispatching() as dispatcher:
        paths = {"a/../b//c;d?x=1&y=%2F#part": b"/a/../b//c;d?x=1&y=%2F", "caf\u00e9?q=100%": b"/caf%C3%A9?q=100%25"}
        for path, sent in paths.items():
            await send(dispatcher, served.url + path)
            assert served.heads[-1].split(b" ")[1] == sent
        await send(dispatcher, served.url[:-1] + "?only=query")
        assert served.heads[-1].startswith(b"GET /?only=query HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize(
    "fields",
    [
        {"headers": {"x": "a\r\nevil: b"}},
        {"headers": {"x\r\nevil": "b"}},
        {"method": "GET / HTTP/1.1\r\nevil: b\r\n\r\nGET"},
        {"webhook_id": "msg\r\nevil: b"},
        {"headers": {"x": "\u2028"}},
    ],
)
async def test_nothing_smuggles_a_line_into_a_request(fields: dict[str, object]) -> None:
    async with serving(says(OK)) as served, dispatching() as dispatcher:
        result = await send(dispatcher, served.url, **fields)
    assert (result.status_code, served.connections) == (None, 0)
    assert result.error


def reset(writer: asyncio.StreamWriter) -> None:
    """Let the connection end with a reset instead of a farewell."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
