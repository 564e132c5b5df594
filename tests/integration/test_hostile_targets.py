"""Answers of every wrong shape: each ends its run with a reason, within its caps, and nothing else suffers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from core.ports.dispatcher import HttpRequest, HttpResult
from rubato.adapters.http.connection import HEAD_CAP, MOST_PIECES
from rubato.adapters.http.dispatcher import HttpDispatcher
from rubato.adapters.http.guard import AddressPolicy
from tests.integration.targets import OK, Handler, says, serving
from tests.integration.test_connections import reset

CAP = 64 * 1024
SECOND = timedelta(seconds=1)


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[Callable[..., "asyncio.Task[HttpResult]"]]:
    """Yield a function that sends to such a target; afterwards its next answer must still be possible."""
    async with serving(handler) as served:
        dispatcher = HttpDispatcher(AddressPolicy(["loopback"]), body_cap=CAP)

        def send(**fields: object) -> "asyncio.Task[HttpResult]":
            request = HttpRequest(served.url, tenant_id="ten_a", **fields)  # type: ignore[arg-type]  # by name
            return asyncio.create_task(dispatcher.send(request))

        yield send
        await dispatcher.close()
        await served.until(lambda seen: seen.connections == seen.ended)


async def told(answer: bytes, *, end: bool = False, **fields: object) -> HttpResult:
    """Return what comes of this answer; `end`: the server closes behind it."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        if end:
            await writer.drain()
            writer.write_eof()

    async with answering(handler) as send:
        return await send(timeout=SECOND, **fields)


def endless(start: bytes, piece: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(piece)
            await writer.drain()

    return handler


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x-a: b\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\nx-a: ", b"y" * 1000),
        (b"HTTP/1.1 200 ", b"y" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
        (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 50),
        (CHUNKED + b"2\r\nok\r\n0\r\n", b"x-a: b\r\n" * 100),
        (CHUNKED + b"2\r\nok\r\n0\r\nx-a: ", b"y" * 1000),
        (CHUNKED + b"2;a=", b"y" * 1000),
        (CHUNKED, b"0" * 1000),
        (b"", b"\r\n" * 500),
    ],
    ids=["headers", "header", "reason", "interim", "hints", "trailers", "trailer", "extension", "size", "lines"],
)
async def test_what_has_no_end_is_ended_long_before_the_deadline(start: bytes, piece: bytes) -> None:
    async with answering(endless(start, piece)) as send:
        result = await send(timeout=timedelta(seconds=60))
    assert (result.status_code, result.error_code) == (None, "protocol")
    assert result.error


async def test_a_body_that_drips_for_ever_is_ended_by_the_deadline() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        while True:
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with answering(drip) as send:
        result = await send(timeout=SECOND)
    assert (result.error, result.error_code) == ("Request timed out after 1000ms", "timeout")


async def test_chunks_of_one_byte_are_no_offence() -> None:
    result = await told(CHUNKED + b"1\r\nx\r\n" * MOST_PIECES + b"0\r\n\r\n")
    assert (result.error, result.body_bytes, result.truncated) == (None, MOST_PIECES, False)


async def test_a_body_in_more_pieces_than_are_worth_reading_is_cut_there() -> None:
    result = await told(CHUNKED + b"1\r\nx\r\n" * (CAP - 1) + b"0\r\n\r\n")
    assert (result.status_code, result.error, result.body_bytes, result.truncated) == (200, None, MOST_PIECES + 1, True)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 000 OK\r\n\r\n",
        b"HTTP/3.0 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx\0y: z\r\n\r\n",
        CHUNKED + b"-5\r\nhello\r\n",
        CHUNKED + b"5\r\nhello!!\r\n",
        CHUNKED + b"fffffffffffffffffff\r\n",
        b"\0\0\0\0\0\0",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
async def test_what_is_no_http_ends_the_run_with_a_reason(answer: bytes) -> None:
    result = await told(answer)
    assert (result.status_code, result.error_code) == (None, "protocol"), result
    assert "no HTTP that can be read" in (result.error or "")


@pytest.mark.parametrize("with_reset", [False, True])
@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", CHUNKED + b"9\r\nhalf"]
)
async def test_an_answer_that_breaks_off_is_no_answer(sent: bytes, with_reset: bool) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        await asyncio.sleep(0.05)
        if with_reset:
            reset(writer)
        writer.close()
        raise ConnectionError

    async with answering(handler) as send:
        result = await send()
    assert (result.status_code, result.error_code) == (None, "protocol")
    assert "closed before" in (result.error or "")


@pytest.mark.parametrize(
    "interim",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\ncontent-type: text/forged\r\nretry-after: 9\r\n\r\n",
    ],
)
async def test_interim_answers_are_passed_over(interim: bytes) -> None:
    result = await told(interim + OK)
    assert (result.status_code, result.body, result.content_type, result.retry_after) == (200, "ok", None, None)


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n"],
)
async def test_a_body_may_end_with_its_connection(head: bytes) -> None:
    result = await told(head + b"all of it", end=True)
    assert (result.status_code, result.body, result.error) == (200, "all of it", None)


async def test_trailers_are_read_and_dropped() -> None:
    answer = CHUNKED + b"2\r\nok\r\n0\r\nx-sum: 1\r\ncontent-type: text/forged\r\n\r\n"
    async with answering(says(answer)) as send:
        results = [await send(), await send()]
    assert [(result.body, result.content_type) for result in results] == [("ok", None)] * 2


async def test_an_early_refusal_is_heard_while_the_body_is_still_being_sent() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n"
    async with answering(says(refusal)) as send:
        result = await send(method="POST", body_json={"x": "y" * 3_000_000})
    assert (result.status_code, result.error) == (413, None)


@pytest.mark.parametrize(
    "charset", ["punycode", "idna", "unicode_escape", "utf-7", "undefined", "rot13", "hex", "zlib"]
)
async def test_a_charset_that_is_none_for_text_is_not_used(charset: str) -> None:
    """Decoding punycode takes quadratic time, utf-7 makes what no database stores: such bodies are read as UTF-8."""
    body = b"+2AA-" + b"a" * (CAP - 6)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=%s\r\ncontent-length: %d\r\n\r\n"
    result = await told(head % (charset.encode(), len(body)) + body)
    assert result.body == body.decode()


async def test_two_hundred_bad_targets_leave_a_good_one_alone() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await reader.read():
            raise ConnectionError

    async with answering(silent) as send, answering(says(OK)) as good:
        waiting = [send(timeout=SECOND) for _ in range(200)]
        await asyncio.sleep(0)
        assert [(await good()).body for _ in range(20)] == ["ok"] * 20
        assert {(await task).error_code for task in waiting} == {"timeout"}


async def test_a_long_head_within_the_cap_is_fine() -> None:
    fill = b"x-a: " + b"y" * (HEAD_CAP - 200) + b"\r\n"
    result = await told(b"HTTP/1.1 200 OK\r\n" + fill + b"content-length: 2\r\n\r\nok")
    assert (result.body, result.error) == ("ok", None)
