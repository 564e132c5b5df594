"""The workers of a run: started through the nursery, each under a launch number that its requests carry."""

import asyncio
import contextlib
import json
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.chaos.evidence import instant_of
from tests.processes import ROOT, clean_environment

LEASE_S = 10.0  # the shortest that is accepted
POLL_S = 0.5
UP = "worker is up"
ANSWER_S = 30.0
_PORTS = range(10_000, 30_000)  # below those that the kernel gives to outgoing connections


@dataclass(slots=True)
class Launch:
    """One start of a worker. `state`: up, stopped, ending or ended."""

    number: int
    pid: int
    args: tuple[str, ...]
    env: dict[str, str]
    log: Path
    state: str = "up"
    is_expected_to_end: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    status: int | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def age_s(self) -> float:
        """How long ago it was started."""
        return time.monotonic() - self.began


@dataclass
class Workers:
    """All launches, by number. `surprises`: workers that ended by themselves, or not as they should."""

    database_url: str
    folder: Path
    chance: random.Random
    launches: dict[int, Launch] = field(default_factory=dict)
    surprises: list[str] = field(default_factory=list)
    _process: asyncio.subprocess.Process | None = None
    _waiting: dict[tuple[str, int], "asyncio.Future[dict[str, Any]]"] = field(default_factory=dict)
    _ended_early: dict[int, int] = field(default_factory=dict)
    _count: int = 0

    @property
    def pids(self) -> dict[int, int]:
        """Return the process id of every launch."""
        return {launch.number: launch.pid for launch in self.launches.values()}

    def up(self) -> list[Launch]:
        """Return those that run, oldest first."""
        return [launch for launch in self.launches.values() if launch.state == "up"]

    async def start(self, *args: str, env: Mapping[str, str] | None = None) -> Launch:
        """Start a worker."""
        self._count += 1
        number = self._count
        settings = {
            "DATABASE_URL": self.database_url,
            "RUBATO_EGRESS_ALLOW": "loopback",
            "RUBATO_PLANNER": "off",
            "RUBATO_LOG_FORMAT": "json",
            "RUBATO_LOG_LEVEL": "warning",
            "LOCK_TTL_MS": str(int(LEASE_S * 1000)),
            "POLL_INTERVAL_MS": str(int(POLL_S * 1000)),
            **(env or {}),
        }
        log = self.folder / f"worker-{number}.log"
        command = {
            "start": number,
            "env": {**settings, "RUBATO_WORKER_PORT": str(self._free_port())},
            "log": str(log),
            "path": str(self._version(number)),
            "args": ["worker", *args],
        }
        answer = await self._ask("started", number, command)
        launch = self.launches[number] = Launch(number, answer["pid"], args, settings, log)
        if number in self._ended_early:
            self._take_end(number, self._ended_early.pop(number))
        return launch

    async def again(self, launch: Launch) -> Launch:
        """Start another like this one."""
        return await self.start(*launch.args, env=launch.env)

    async def signal(self, launch: Launch, number: signal.Signals) -> datetime:
        """Signal a worker; return when. One that has ended is reported as a surprise."""
        launch.is_expected_to_end = launch.is_expected_to_end or number in (signal.SIGKILL, signal.SIGTERM)
        answer = await self._ask("signalled", launch.number, {"signal": launch.number, "number": int(number)})
        if answer["at"] is None:
            raise ProcessLookupError(f"launch {launch.number} has ended already")
        return instant_of(answer["at"])

    async def end(self, launch: Launch, *, within_s: float = 40.0) -> None:
        """Ask a worker to end, and see that it does so well."""
        launch.state = "ending"
        await self._is_up(launch, within_s)
        await self.signal(launch, signal.SIGTERM)
        try:
            async with asyncio.timeout(within_s):
                await launch.ended.wait()
        except TimeoutError:
            self.surprises.append(f"launch {launch.number} did not end within {within_s:g} s of SIGTERM")
            await self.signal(launch, signal.SIGKILL)
            await launch.ended.wait()
        if launch.status != 0:
            self.surprises.append(f"launch {launch.number} ended with {launch.status} after SIGTERM")

    async def _is_up(self, launch: Launch, within_s: float) -> None:
        """Wait until a worker can hear: before it listens for signals, one ends it as it would any process."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not launch.ended.is_set() and UP not in self._log(launch):  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.1)

    @staticmethod
    def _log(launch: Launch) -> str:
        return launch.log.read_text(errors="replace") if launch.log.exists() else ""

    async def end_all(self) -> None:
        """End whatever runs."""
        await asyncio.gather(*(self.end(launch) for launch in self.up()))

    def logged(self, launches: Iterable[Launch] | None = None) -> Counter[str]:
        """Count what workers warned of."""
        counted: Counter[str] = Counter()
        for launch in self.launches.values() if launches is None else launches:
            for line in self._log(launch).splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    counted[f"no JSON: {line[:80]}"] += 1
                    continue
                detail = entry.get("what") or f"{entry.get('role', '')} {str(entry.get('error', ''))[:90]}".strip()
                counted[f"{entry.get('event')}: {detail}" if detail else str(entry.get("event"))] += 1
        return counted

    def _version(self, number: int) -> Path:
        """Make the metadata of a version that names the launch: the User-Agent carries it."""
        place = self.folder / f"version-{number}"
        made = place / "rubato_scheduler-0.1.0.dist-info"
        made.mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: rubato-scheduler\nVersion: 0.1.0+launch{number}\n"
        (made / "METADATA").write_text(text, encoding="ascii")
        return place

    def _free_port(self) -> int:
        while True:
            port = self.chance.choice(_PORTS)
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port

    async def _ask(self, kind: str, number: int, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        answer = asyncio.get_running_loop().create_future()
        self._waiting[kind, number] = answer
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        async with asyncio.timeout(ANSWER_S):
            await self._process.stdin.drain()
            return await answer

    async def _listen(self, ready: asyncio.Event) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            answer = json.loads(line)
            if "ready" in answer:
                ready.set()
            elif "ended" in answer:
                self._take_end(answer["ended"], answer["status"])
            else:
                kind = "started" if "started" in answer else "signalled"
                waiting = self._waiting.pop((kind, answer[kind]), None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)

    def _take_end(self, number: int, status: int) -> None:
        launch = self.launches.get(number)
        if launch is None:
            self._ended_early[number] = status
            return
        launch.state, launch.status = "ended", status
        launch.ended.set()
        if not launch.is_expected_to_end:
            self.surprises.append(f"launch {number} ended by itself with {status}")


@asynccontextmanager
async def workers(database_url: str, folder: Path, chance: random.Random) -> AsyncIterator[Workers]:
    """Keep a nursery for the length of the block; every worker ends with it."""
    made = Workers(database_url, folder, chance)
    made._process = process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.chaos.nursery",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**clean_environment(), "PYTHONPATH": str(ROOT)},
    )
    ready = asyncio.Event()
    listening = asyncio.get_running_loop().create_task(made._listen(ready))
    try:
        async with asyncio.timeout(60):
            await ready.wait()
        yield made
    finally:
        for launch in made.launches.values():
            launch.is_expected_to_end = True
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(45):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await listening


@asynccontextmanager
async def ledger_target(ledger: Path, chance: random.Random, *, fast: bool = False) -> AsyncIterator[int]:
    """Serve the target for the length of the block; yields its port. `fast`: it answers within milliseconds."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.chaos.target",
        str(ledger),
        str(chance.randrange(2**32)),
        *(["fast"] if fast else []),
        stdout=asyncio.subprocess.PIPE,
        cwd=ledger.parent,
        env={**clean_environment(), "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            port = int(await process.stdout.readline())
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
