"""What hostile answers cost a worker: at most 16 MiB a request over its baseline, and no time beyond the deadline.

Measured in a process of its own, so that the target's memory is not counted. RUBATO_TEST_LONG=1 holds the time to one
second as well; on a busy machine it says more of the machine.
"""

import asyncio
import json
import os
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from rubato.adapters.http.message import BODY_CAP
from tests.integration.targets import OK, Handler, says, serving
from tests.processes import ROOT, clean_environment

COUNT = 16
ALLOWED = 16 * 1024 * 1024  # bytes a request
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"


def bomb(size_mib: int) -> bytes:
    """Return a deflate stream that inflates to so many MiB of zeros: one flushed block, repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(bytes(1024 * 1024)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff" + block * size_mib


async def flood(writer: asyncio.StreamWriter, piece: bytes, *, pause_s: float = 0.0) -> None:
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause_s)


def floods(head: bytes, piece: bytes, *, pause_s: float = 0.0) -> Handler:
    """Return a handler that never ends."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await flood(writer, piece, pause_s=pause_s)

    return handler


def stalls(answer: bytes) -> Handler:
    """Return a handler that says this and then nothing more."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        await asyncio.sleep(60)

    return handler


PACKED = bomb(1024)
CASES: dict[str, tuple[Handler, set[str]]] = {
    "kind": (says(OK), {"200"}),
    "a gzip bomb of 1 GiB": (
        says(HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(PACKED) + PACKED),
        {"200"},
    ),
    "a bomb in chunks": (
        floods(
            HEAD + b"content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n",
            b"4000\r\n" + bytes(0x4000) + b"\r\n",
        ),
        {"200"},
    ),
    "endless headers": (floods(HEAD, b"x-a: " + b"y" * 1000 + b"\r\n"), {"protocol"}),
    "one endless header": (floods(HEAD + b"x-a: ", b"y" * 1000), {"protocol"}),
    "a body without end": (floods(HEAD + b"\r\n", b"z" * 65536), {"200"}),
    "chunks without end": (floods(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nz\r\n" * 1000), {"200"}),
    "a head that drips": (floods(b"H", b"T", pause_s=0.05), {"timeout", "protocol"}),
    "headers that drip": (floods(HEAD + b"x-a: ", b"y", pause_s=0.05), {"timeout"}),
    "a body that drips": (floods(HEAD + b"content-length: 1000000\r\n\r\n", b"z", pause_s=0.05), {"timeout"}),
    "silence": (stalls(b""), {"timeout"}),
    "a length that is too long": (stalls(HEAD + b"content-length: 100\r\n\r\nshort"), {"timeout"}),
    "a length beyond all": (stalls(HEAD + b"content-length: 99999999999999999999\r\n\r\nx"), {"timeout", "protocol"}),
    "a negative length": (stalls(HEAD + b"content-length: -1\r\n\r\nx"), {"protocol"}),
    "two lengths": (stalls(HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nxy"), {"protocol"}),
    "bytes of no encoding": (says(HEAD + b"content-length: 300000\r\n\r\n" + b"\xff\xfe\x00" * 100_000), {"200"}),
    "a charset that is none": (
        says(b"HTTP/1.1 200 OK\r\ncontent-type: text/x; charset=utf-32\r\ncontent-length: 5\r\n\r\nabcde"),
        {"200"},
    ),
}


@pytest.fixture
async def targets() -> AsyncIterator[list[str]]:
    async with AsyncExitStack() as stack:
        yield [
            f"{name}={(await stack.enter_async_context(serving(handler))).url}" for name, (handler, _) in CASES.items()
        ]


async def test_a_hostile_answer_costs_little_memory_and_no_time_beyond_the_deadline(targets: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.hostile_client",
        str(COUNT),
        *targets,
        cwd=ROOT,
        env=clean_environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    found = json.loads(said)
    for name, (_, expected) in CASES.items():
        seen = found[name]
        per_request = f"{seen['rise'] / COUNT / 1024:8.0f} KiB a request"
        print(f"{name:28} {per_request}  {seen['late_s']:+7.3f} s  {seen['ended']}")  # noqa: T201 - the figures
        assert set(seen["ended"]) <= expected, (name, seen)
        assert seen["rise"] <= ALLOWED * COUNT, (name, seen)
        assert seen["body"] <= BODY_CAP, (name, seen)
        if os.environ.get("RUBATO_TEST_LONG"):
            assert seen["late_s"] <= 1.0, (name, seen)
