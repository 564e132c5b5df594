"""The API at 200 requests a second beside a busy worker, and the first page of 10,000 jobs."""

import asyncio
import time
from datetime import timedelta
from functools import partial

import aiohttp

from benchmarks.figures import Figure, at_most, reference
from benchmarks.jobs import Load
from benchmarks.measuring import Bench
from benchmarks.process import running, wait_for
from benchmarks.worker import Setup, workers
from tests.processes import free_port, serves

GROUP, A_SECOND, SECONDS = "API", 200, 10
KEY = "cron_" + "b" * 40
BUSY = Load("", 4_000, timedelta(seconds=10), after=timedelta(seconds=4), spread=timedelta(seconds=10))
BODY = {"name": "measured", "url": "http://127.0.0.1/", "baselineIntervalMs": 3_600_000}


def measure(bench: Bench) -> list[Figure]:
    """Return percentiles over all requests of a round; half of them POST, half GET."""
    rounds = [_round(bench) for _ in range(max(1, bench.rounds - 1))]
    beside = f"beside a worker with {BUSY.count / BUSY.every.total_seconds():.0f} runs/s"
    return [
        at_most(GROUP, "POST a job, 100/s, p99", [each["post"] for each in rounds], 25, "ms", beside),
        at_most(GROUP, "GET a job, 100/s, p99", [each["get"] for each in rounds], 25, "ms", beside),
        reference(GROUP, "answers that were not 2xx", [each["failed"] for each in rounds], ""),
        at_most(GROUP, "first page of 10,000 jobs", [each["page"] for each in rounds], 50, "ms", "median of 20"),
    ]


def _round(bench: Bench) -> dict[str, float]:
    busy = Load(bench.target_url, BUSY.count, BUSY.every, BUSY.after, BUSY.spread)
    listed = Load(bench.target_url, 10_000, timedelta(days=1), timedelta(days=1), timedelta(days=1), tenant="default")
    port = free_port()
    with bench.loaded(busy, listed) as url, workers(bench.machine, url, Setup()):
        env = {**Setup().env(url), "PORT": str(port), "RUBATO_BOOTSTRAP_API_KEY": KEY, "RUBATO_SECRET": "s" * 40}
        with running("-m", "rubato", "api", env=env) as api:
            base = f"http://127.0.0.1:{port}"
            wait_for(serves(f"{base}/readyz"), within_s=30, what=api)
            return asyncio.run(_drive(f"{base}/api/v1/jobs"))


async def _drive(jobs: str) -> dict[str, float]:
    took: dict[str, list[float]] = {"post": [], "get": []}
    failed, made = 0, [""]
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)  # below the server's own
    async with aiohttp.ClientSession(headers={"x-api-key": KEY}, connector=connector) as session:

        async def send(kind: str, due: float) -> None:
            nonlocal failed
            call = (
                partial(session.post, jobs, json=BODY) if kind == "post" else partial(session.get, f"{jobs}/{made[-1]}")
            )
            try:
                async with call() as response:
                    answer = await response.json()
            except aiohttp.ClientError:
                failed += 1
                return
            took[kind].append((time.perf_counter() - due) * 1000)
            if response.status >= 300:
                failed += 1
            elif kind == "post":
                made.append(answer["id"])

        await send("post", time.perf_counter())
        began, tasks = time.perf_counter() + 0.2, []
        for number in range(A_SECOND * SECONDS):
            due = began + number / A_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.ensure_future(send("get" if number % 2 else "post", due)))
        await asyncio.gather(*tasks)
        pages = []
        for _ in range(20):
            begun = time.perf_counter()
            async with session.get(f"{jobs}?limit=100") as response:
                await response.read()
            pages.append((time.perf_counter() - begun) * 1000)
            failed += response.status >= 300
    answer = {kind: sorted(each)[int(len(each) * 0.99)] for kind, each in took.items()}
    return {**answer, "failed": float(failed), "page": sorted(pages)[10]}
