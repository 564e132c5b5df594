"""The targets port for what has killed workers: each call in a process of its own, which may die of it.

`python -m rubato.adapters.targets.isolated` is that process. It has this process's environment, since handlers read
theirs there, and no limit of memory: what a handler needs only its author knows.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from core.errors import IsolatedRunError, Unavailable
from core.ports.dispatcher import MAXIMUM_TIMEOUT, MINIMUM_TIMEOUT, HttpResult
from core.ports.targets import TargetCall, TargetRunner
from rubato.adapters.child import AT_ONCE, START_S, ask, bound, python_path
from rubato.adapters.clock import SystemClock
from rubato.adapters.targets.discovery import OWN, discover
from rubato.adapters.targets.runner import LocalTargets

CHILD = ("-P", "-m", "rubato.adapters.targets.isolated")


class IsolatedTargets:
    """Calls a target in a process of its own. A handler's failure is a result; the process's own raises.

    Rubato's own targets are called `here`: they need what this process has, and have killed none.
    """

    def __init__(
        self,
        modules: Sequence[str],
        here: TargetRunner,
        *,
        command: Sequence[str] | None = None,
        start_s: float = START_S,
    ) -> None:
        self._modules, self._here, self._start_s = tuple(modules), here, start_s
        self._command = tuple(command or (sys.executable, *CHILD))
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def call(self, call: TargetCall) -> HttpResult:
        """Call it within its deadline and report. Raises IsolatedRunError; cancelling it ends the process."""
        if call.target.startswith(OWN):
            return await self._here.call(call)
        timeout = min(max(call.timeout, MINIMUM_TIMEOUT), MAXIMUM_TIMEOUT)
        limit_s = timeout.total_seconds() + self._start_s
        written = {**call._asdict(), "timeout": call.timeout.total_seconds(), "slot": call.slot.isoformat()}
        question = orjson.dumps({"call": written, "modules": self._modules, "limit_s": limit_s})
        async with self._turns:
            try:
                env = {**os.environ, "PYTHONPATH": python_path()}
                answer = await ask(self._command, question, limit_s=limit_s, env=env)
            except Unavailable as error:
                detail = f"A process for the call could not be started: {error}"
                return HttpResult(status_code=None, duration_ms=0, error=detail, error_code="target_failed")
        try:
            return HttpResult(**orjson.loads(answer.splitlines()[-1]))  # a handler may print
        except (IndexError, orjson.JSONDecodeError, TypeError) as error:
            raise IsolatedRunError("its process ended without a result") from error


def main() -> None:
    """Be the process: read a call, make it, write the result."""
    asked = orjson.loads(sys.stdin.buffer.read())
    bound(asked["limit_s"])
    targets = LocalTargets(discover(asked["modules"]), SystemClock())
    result = asyncio.run(targets.call(_read(asked["call"])))
    sys.stdout.buffer.write(b"\n" + orjson.dumps(result._asdict()))
    sys.stdout.buffer.flush()
    os._exit(0)  # a thread that still hangs must not keep what is done


def _read(call: dict[str, Any]) -> TargetCall:
    timeout, slot = timedelta(seconds=call.pop("timeout")), datetime.fromisoformat(call.pop("slot"))
    return TargetCall(**call, timeout=timeout, slot=slot)


if __name__ == "__main__":
    main()
