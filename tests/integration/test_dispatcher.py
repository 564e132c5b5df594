"""The dispatcher against loopback servers that behave, misbehave, and never answer."""

import asyncio
import gzip
import time
from datetime import timedelta

import pytest

from core.ports.dispatcher import HttpRequest, HttpResult
from rubato.adapters.http.dispatcher import HttpDispatcher
from rubato.adapters.http.guard import AddressPolicy
from tests.integration.targets import raw, serving, writes
from tests.processes import Target, target

CAP = 64 * 1024


def dispatcher() -> HttpDispatcher:
    return HttpDispatcher(AddressPolicy(["loopback"]), body_cap=CAP)


async def send(url: str, **fields: object) -> HttpResult:
    sender = dispatcher()
    try:
        return await sender.send(HttpRequest(url, **fields))  # type: ignore[arg-type]  # fields by name
    finally:
        await sender.close()


@pytest.mark.parametrize("status", [200, 201, 204, 301, 404, 500, 503])
async def test_the_status_is_reported_and_exactly_one_request_sent(status: int) -> None:
    with target() as served:
        served.reply = (status, {"location": "/elsewhere", "retry-after": "7"}, b"")
        result = await send(served.url)
    assert (result.status_code, result.error, result.retry_after) == (status, None, "7")
    assert len(served.seen) == 1


async def test_without_a_url_nothing_is_sent() -> None:
    result = await dispatcher().send(HttpRequest(None))
    assert (result.error, result.duration_ms, result.status_code) == ("No URL configured", 0, None)


async def test_a_refused_connection_is_a_result() -> None:
    result = await send("http://127.0.0.1:1/")
    assert (result.status_code, result.error_code) == (None, "connect")
    assert (result.error or "").startswith("Connection failed")


@pytest.mark.parametrize("given_ms", [1, 10, 1000])
async def test_a_time_out_below_a_second_acts_as_one_and_names_itself(given_ms: int) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with raw(silent) as url:
        result = await send(url, timeout=timedelta(milliseconds=given_ms))
    assert (result.error, result.error_code) == ("Request timed out after 1000ms", "timeout")
    assert result.duration_ms >= 1000


async def seen_by(served: Target, **fields: object) -> tuple[str, dict[str, str], bytes]:
    await send(served.url, **fields)
    method, _, headers, body = served.seen[-1]
    return method, headers, body


async def test_get_is_the_default_and_gets_and_heads_send_no_body() -> None:
    with target() as served:
        for method, fields in (("GET", {}), ("HEAD", {"method": "HEAD"})):
            sent, headers, body = await seen_by(served, body_json={"a": 1}, **fields)
            assert (sent, body) == (method, b"")
            assert "content-type" not in headers


async def test_a_body_is_json_with_its_type_unless_the_user_said_another() -> None:
    with target() as served:
        method, headers, body = await seen_by(served, method="POST", body_json={"a": [1, None]})
        assert (method, headers["content-type"], body) == ("POST", "application/json", b'{"a":[1,null]}')
        _, headers, _ = await seen_by(served, method="PUT", body_json=[], headers={"Content-TYPE": "text/x"})
        assert headers["content-type"] == "text/x"


async def test_our_headers_are_ours_and_the_users_are_kept() -> None:
    with target() as served:
        given = {"x-a": "b", "Host": "evil", "Transfer-Encoding": "chunked", "Proxy-Auth": "x", "webhook-id": "forged"}
        _, headers, _ = await seen_by(served, headers=given, webhook_id="msg_1")
    assert headers["x-a"] == "b"
    assert headers["host"].startswith("127.0.0.1:")
    assert headers["webhook-id"] == "msg_1"
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"].startswith("Rubato/")
    assert not {"transfer-encoding", "proxy-auth", "cookie"} & set(headers)


async def test_cookies_are_not_kept_and_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with target() as served:
        served.reply = (200, {"set-cookie": "a=b"}, b"x")
        sender = dispatcher()
        for _ in range(2):
            assert (await sender.send(HttpRequest(served.url))).status_code == 200
        await sender.close()
    assert all("cookie" not in headers for _, _, headers, _ in served.seen)


async def test_a_slow_server_is_measured_to_its_headers_and_to_its_end() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write(b"cd")

    async with raw(slow) as url:
        result = await send(url)
    assert result.body == "abcd"
    assert result.headers_ms is not None
    assert 200 <= result.headers_ms <= result.duration_ms - 90


@pytest.mark.parametrize(
    "head",
    [b"content-length: 10000000", b"transfer-encoding: chunked", b"x: y"],
    ids=["declared", "chunked", "until the end"],
)
async def test_a_body_without_end_is_cut_at_the_cap(head: bytes) -> None:
    chunk = b"x" * 8192
    framed = b"2000\r\n" + chunk + b"\r\n" if b"chunked" in head else chunk

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        for _ in range(1000):
            writer.write(framed)
            await writer.drain()

    async with raw(endless) as url:
        result = await send(url)
    assert (result.truncated, result.body_bytes, len(result.body or "")) == (True, CAP, CAP)


async def test_a_compressed_bomb_grows_no_further_than_its_cap() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)
    async with raw(writes(head + bomb)) as url:
        result = await send(url)
    assert result.truncated
    assert len(result.body or "") <= 256 * 1024


async def test_a_dripping_server_ends_at_the_total_deadline() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(200):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with raw(drip) as url:
        begun = time.monotonic()
        result = await send(url, timeout=timedelta(seconds=1))
    assert result.error_code == "timeout"
    assert time.monotonic() - begun >= 1


@pytest.mark.parametrize(
    "answer",
    [
        b"this is no HTTP\r\n\r\n",
        b"HTTP/1.1 999999 ?\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x-a: " + b"y" * 500_000 + b"\r\n\r\n",
        b"",
    ],
    ids=["prose", "status", "header", "negative", "short", "chunk", "endless header", "nothing"],
)
async def test_a_broken_answer_is_a_result(answer: bytes) -> None:
    async with raw(writes(answer)) as url:
        result = await send(url)
    assert (result.status_code, result.error_code) == (None, "protocol")
    assert result.error


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        (b"text/plain; charset=latin-1", b"caf\xe9", "café"),
        (b"text/plain; charset=nonsense", b"abc", "abc"),
        (b"application/json", b"\xff\xfe", "\ufffd\ufffd"),
        (b"text/plain", b"a\0b", "a\ufffdb"),
    ],
)
async def test_any_encoding_is_read_leniently(content_type: bytes, body: bytes, text: str) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n" % (content_type, len(body))
    async with raw(writes(head + body)) as url:
        assert (await send(url)).body == text


async def test_a_body_that_is_not_to_be_kept_is_counted_only() -> None:
    with target() as served:
        result = await send(served.url, keep_body=False)
    assert (result.body, result.body_bytes) == (None, 15)


async def test_cancelling_closes_the_connection() -> None:
    async def wait_for_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await reader.read():
            raise ConnectionError

    async with serving(wait_for_close) as served:
        task = asyncio.create_task(send(served.url))
        await served.until(lambda seen: len(seen.heads) == 1)
        assert served.ended == 0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await served.until(lambda seen: seen.ended == 1)


async def test_nothing_is_opened_to_an_address_that_is_not_allowed() -> None:
    with target() as served:
        port = served.url.rsplit(":", 1)[1]
        closed = AddressPolicy()

        async def rebinding(host: str, given: int) -> list[str]:
            return ["127.0.0.1"]

        for url, resolver in (
            (served.url, None),
            (f"http://[::ffff:127.0.0.1]:{port}/", None),
            (f"http://localhost:{port}/", None),
            (f"http://public.example:{port}/", rebinding),
        ):
            options = {"resolver": resolver} if resolver else {}
            sender = HttpDispatcher(closed, **options)  # type: ignore[arg-type]  # one option
            result = await sender.send(HttpRequest(url))
            assert (result.error_code, result.status_code) == ("blocked_address", None), url
            assert "RUBATO_EGRESS_ALLOW" in (result.error or "")
        assert served.seen == []


async def test_every_answer_of_a_name_must_be_allowed() -> None:
    async def mixed(host: str, port: int) -> list[str]:
        return ["93.184.215.14", "10.0.0.1"]

    result = await HttpDispatcher(AddressPolicy(), resolver=mixed).send(HttpRequest("http://mixed.example/"))
    assert result.error_code == "blocked_address"
    assert "10.0.0.1" not in (result.error or "")
