"""Bare HTTP clients: `python -m benchmarks.client URL SECONDS aiohttp|dispatcher` sends as much as it can.

`aiohttp` is what the programs beside us use, so that they differ in what they do around a request and in nothing else;
`dispatcher` is ours, guard and all, without a scheduler around it.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

import aiohttp
import uvloop

from benchmarks.windows import Tally, measure
from core.ports.dispatcher import HttpRequest
from rubato.adapters.http.dispatcher import HttpDispatcher
from rubato.adapters.http.guard import AddressPolicy

IN_FLIGHT = 200
WEBHOOK_ID = "msg_" + "0" * 32
HEADERS = {"User-Agent": "Rubato/bench", "Accept": "*/*", "Accept-Encoding": "identity", "webhook-id": WEBHOOK_ID}


class Client:
    """One aiohttp session; `get` sends a request and reads the answer."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def get(self, url: str) -> tuple[int, bytes]:
        """Return status and body."""
        async with self._session.get(url, headers=HEADERS) as response:
            return response.status, await response.read()


def sender(kind: str, url: str) -> Callable[[], Awaitable[object]]:
    """Return what sends one request."""
    if kind == "aiohttp":
        client = Client()
        return lambda: client.get(url)
    dispatcher = HttpDispatcher(AddressPolicy(["loopback"]))
    request = HttpRequest(url=url, webhook_id=WEBHOOK_ID)
    return lambda: dispatcher.send(request)


async def main(url: str, seconds: float, kind: str) -> None:
    """Keep `IN_FLIGHT` requests out."""
    tally, send = Tally(), sender(kind, url)

    async def loop() -> None:
        while True:
            await send()
            tally.runs += 1

    loops = [asyncio.ensure_future(loop()) for _ in range(IN_FLIGHT)]
    await measure(tally, seconds)
    for each in loops:
        if each.done():
            each.result()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], float(sys.argv[2]), sys.argv[3]))
