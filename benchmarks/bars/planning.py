"""Lateness while 200 planner sessions wait for a model that never answers, against lateness without them."""

import json
import time
import urllib.request
from contextlib import ExitStack
from datetime import timedelta

from benchmarks.arrivals import arrivals, ledger
from benchmarks.figures import Figure, reference
from benchmarks.jobs import Load
from benchmarks.measuring import Bench, saturated
from benchmarks.planners import SESSIONS
from benchmarks.process import module, running, wait_for
from benchmarks.worker import Setup, workers

GROUP, EVERY_S, WINDOW_S = "planning", 10, 10
SHARE = 0.25  # of the most that one worker can do


def measure(bench: Bench) -> list[Figure]:
    """Return p99 without and with the sessions; the noise is what the rounds without them span."""
    rate = saturated(bench, Setup()).per_s * SHARE
    quiet, waiting = [], []
    for _ in range(bench.rounds):
        quiet.append(_p99_ms(bench, rate, with_sessions=False))
        waiting.append(_p99_ms(bench, rate, with_sessions=True))
    with_them = reference(GROUP, f"p99 with {SESSIONS} sessions waiting", waiting, "ms")
    return [
        reference(GROUP, f"at the target - slot, p99, at {rate:,.0f} runs/s", quiet, "ms"),
        Figure(**{**vars(with_them), "bar": "within the rounds without", "is_met": with_them.median <= max(quiet)}),
    ]


def _p99_ms(bench: Bench, rate: float, *, with_sessions: bool) -> float:
    every = timedelta(seconds=EVERY_S)
    load = Load(bench.target_url, int(rate * EVERY_S), every, timedelta(seconds=4), every)
    with ExitStack() as stack:
        url = stack.enter_context(bench.loaded(load))
        made = stack.enter_context(workers(bench.machine, url, Setup()))
        if with_sessions:
            asked = _asked(bench)
            model = {"RUBATO_PLANNER": "llm", "OPENAI_BASE_URL": f"{bench.target_url}v1"}
            planners = running(*module("benchmarks.planners"), env={**Setup().env(url), **model})
            process = stack.enter_context(planners)
            wait_for(lambda: _asked(bench) >= asked + SESSIONS, within_s=60, what=process)
        else:
            time.sleep(EVERY_S)
        ledger(bench)
        since = bench.machine.now() + timedelta(seconds=1)
        until = since + timedelta(seconds=WINDOW_S)
        bench.sleep_until(until + timedelta(seconds=1))
        seen = ledger(bench)
        made[0].stop()
        return arrivals(bench, url, seen, since, until).at(0.99)


def _asked(bench: Bench) -> int:
    with urllib.request.urlopen(f"{bench.target_url}asked", timeout=30) as answer:  # noqa: S310 - loopback
        return int(json.loads(answer.read())["asked"])
