"""The window of a program beside us: warm up, say so, measure, and print what was in it."""

import asyncio
import json
import resource
import time
from dataclasses import dataclass

WARM_S = 2.0


@dataclass
class Tally:
    """How many runs have ended."""

    runs: int = 0


async def measure(tally: Tally, seconds: float, *, warm_s: float = WARM_S) -> None:
    """Print a line when the window begins and one when it ends."""
    await asyncio.sleep(warm_s)
    print(json.dumps({"ready": True}), flush=True)
    before, begun, used = tally.runs, time.monotonic(), cpu_s()
    await asyncio.sleep(seconds)
    answer = {"runs": tally.runs - before, "seconds": time.monotonic() - begun, "python_s": cpu_s() - used}
    print(json.dumps(answer), flush=True)


def cpu_s() -> float:
    """Return the seconds of CPU that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
