"""`python -m benchmarks.client URL`: the bare client loop, the same HTTP client as the dispatcher's and nothing else."""

import asyncio
import json
import resource
import sys
import time

import aiohttp
import uvloop

IN_FLIGHT = 200
WARM_S = 1.5
HEADERS = {"User-Agent": "Rubato/bench", "Accept": "*/*", "Accept-Encoding": "identity", "webhook-id": "msg_" + "0" * 32}


async def main(url: str, seconds: float) -> None:
    """Send as many requests as go, `IN_FLIGHT` at a time; print how many, in which time, at which cost."""
    done = 0

    async def loop(session: aiohttp.ClientSession) -> None:
        nonlocal done
        while True:
            async with session.get(url, headers=HEADERS) as response:
                await response.read()
            done += 1

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        tasks = [asyncio.create_task(loop(session)) for _ in range(IN_FLIGHT)]
        await asyncio.sleep(WARM_S)
        before, begun, used = done, time.monotonic(), _cpu_s()
        await asyncio.sleep(seconds)
        answer = {"runs": done - before, "seconds": time.monotonic() - begun, "python_s": _cpu_s() - used}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(answer), flush=True)  # noqa: T201 - the answer


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], float(sys.argv[2])))
