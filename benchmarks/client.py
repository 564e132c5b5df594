"""The HTTP client that the dispatcher uses, bare: `python -m benchmarks.client URL SECONDS` sends as much as it can.

The programs beside us use it too, so that they differ in what they do around a request and in nothing else.
"""

import asyncio
import os
import sys

import aiohttp
import uvloop

from benchmarks.windows import Tally, measure

IN_FLIGHT = 200
HEADERS = {
    "User-Agent": "Rubato/bench",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "webhook-id": "msg_" + "0" * 32,
}


class Client:
    """One session; `get` sends a request and reads the answer."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def get(self, url: str) -> tuple[int, bytes]:
        """Return status and body."""
        async with self._session.get(url, headers=HEADERS) as response:
            return response.status, await response.read()

    async def close(self) -> None:
        """Close its connections."""
        await self._session.close()


async def main(url: str, seconds: float) -> None:
    """Keep `IN_FLIGHT` requests out."""
    client, tally = Client(), Tally()

    async def loop() -> None:
        while True:
            await client.get(url)
            tally.runs += 1

    loops = [asyncio.ensure_future(loop()) for _ in range(IN_FLIGHT)]
    await measure(tally, seconds)
    for each in loops:
        each.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    await client.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], float(sys.argv[2])))
    os._exit(0)
