"""A process that sends to hostile targets and reports what that cost it: `python -m ... COUNT NAME=URL ...`.

Prints, as JSON, for each target: by how many bytes the peak of its memory rose over what it was before, the longest
time beyond the deadline, and how the requests ended.
"""

import asyncio
import gc
import json
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from core.ports.dispatcher import HttpRequest
from rubato.adapters.http.dispatcher import HttpDispatcher
from rubato.adapters.http.guard import AddressPolicy

DEADLINE = timedelta(seconds=2)


def resident(field: str) -> int:
    """Return VmRSS or VmHWM, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def forget_peak() -> None:
    """Let VmHWM count from here."""
    Path("/proc/self/clear_refs").write_text("5")


async def measure(url: str, count: int) -> dict[str, Any]:
    """Send `count` requests at once."""
    dispatcher = HttpDispatcher(AddressPolicy(["loopback"]))
    gc.collect()
    forget_peak()
    before, begun = resident("VmRSS"), time.monotonic()
    results = await asyncio.gather(*(dispatcher.send(HttpRequest(url, timeout=DEADLINE)) for _ in range(count)))
    late_s = time.monotonic() - begun - DEADLINE.total_seconds()
    rise = resident("VmHWM") - before
    await dispatcher.close()
    ended = sorted({result.error_code or str(result.status_code) for result in results})
    longest = max(len(result.body or "") for result in results)
    return {"rise": rise, "late_s": round(late_s, 3), "ended": ended, "body": longest}


async def main(count: int, targets: list[str]) -> None:
    """Measure one after the other, after one that is kind: first uses load code."""
    named = dict(target.split("=", 1) for target in targets)
    await measure(named["kind"], count)
    print(json.dumps({name: await measure(url, count) for name, url in named.items()}))  # noqa: T201 - the report


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
