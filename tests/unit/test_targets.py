"""Targets: registered by name, called once with their payload and a context, never in the event loop's way."""

import asyncio
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, Field

import rubato.targets
from core.errors import ConfigurationError
from core.ports.dispatcher import HttpResult
from core.ports.targets import SYSTEM_TENANT, TargetCall
from rubato.adapters.clock import SystemClock
from rubato.adapters.targets.discovery import discover
from rubato.adapters.targets.registry import Registry, Target
from rubato.adapters.targets.runner import LocalTargets
from rubato.targets import Context, target

SLOT = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


class Greeting(BaseModel):
    """A payload."""

    name: str = Field(min_length=2)
    times: int = 1


def a_call(name: str = "tests.greet", payload: Any = None, **fields: Any) -> TargetCall:
    given = {
        "target": name,
        "payload": payload,
        "timeout": timedelta(seconds=20),
        "tenant_id": "ten_a",
        "job_id": "job_1",
        "job_key": "greet",
        "run_id": "run_1",
        "call_id": "msg_1",
        "slot": SLOT,
        "trigger": "scheduled",
        "attempt": 1,
    }
    return TargetCall(**{**given, **fields})


async def called(handler: Callable[..., Any], payload: Any = None, *, model: Any = None, **fields: Any) -> HttpResult:
    made = target("tests.greet", payload=model)(handler)
    return await LocalTargets(Registry([made]), SystemClock()).call(a_call(payload=payload, **fields))


async def test_a_handler_is_called_once_with_its_payload_and_a_context() -> None:
    seen: list[tuple[Greeting, Context]] = []

    async def greet(greeting: Greeting, context: Context) -> dict[str, int]:
        seen.append((greeting, context))
        return {"greeted": greeting.times}

    result = await called(greet, {"name": "Ada"}, model=Greeting)
    ((greeting, context),) = seen
    assert greeting == Greeting(name="Ada", times=1)
    assert (context.run_id, context.slot, context.attempt, context.job_key) == ("run_1", SLOT, 1, "greet")
    assert context.deadline > datetime.now(UTC)
    assert not context.cancel.is_set()
    assert (result.error, result.body) == (None, '{"greeted":1}')


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_a_handler_that_blocks_does_not_hold_up_the_event_loop(kind: str) -> None:
    let_go = threading.Event()

    def block(payload: Any, context: Context) -> str:
        assert let_go.wait(20)
        return "ended"

    async def block_in_a_coroutine(payload: Any, context: Context) -> str:
        return block(payload, context)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(called(block if kind == "plain" else block_in_a_coroutine))
        await asyncio.sleep(0.02)  # the loop turns while the handler blocks
        assert not task.done()
        let_go.set()
    assert task.result().body == '"ended"'


async def test_what_a_handler_raises_is_the_runs_error() -> None:
    def fail(payload: Any, context: Context) -> None:
        raise ValueError("no such region")

    assert (await called(fail)).error == "ValueError: no such region"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_a_handler_that_would_end_the_process_ends_its_call_only(kind: str, error: BaseException) -> None:
    def leave(payload: Any, context: Context) -> None:
        raise error

    async def leave_in_a_coroutine(payload: Any, context: Context) -> None:
        raise error

    said = (await called(leave if kind == "plain" else leave_in_a_coroutine)).error
    assert said == f"The target tried to end the process ({type(error).__name__})"


async def test_a_coroutine_is_cancelled_at_its_deadline() -> None:
    ended = threading.Event()

    async def slow(payload: Any, context: Context) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    result = await called(slow, timeout=timedelta(seconds=1))
    assert result.error == "Target timed out after 1000ms"
    assert await asyncio.to_thread(ended.wait, 10)


async def test_a_plain_function_is_told_of_its_deadline_and_its_job_waits_for_its_end() -> None:
    let_go, told = threading.Event(), threading.Event()

    def stubborn(payload: Any, context: Context) -> None:
        if context.cancel.wait(20):
            told.set()
        assert let_go.wait(20)

    targets = LocalTargets(Registry([target("tests.greet")(stubborn)]), SystemClock())
    assert (await targets.call(a_call(timeout=timedelta(seconds=1)))).error == "Target timed out after 1000ms"
    assert await asyncio.to_thread(told.wait, 10)
    refused = await targets.call(a_call())
    assert refused.error == "The call before, which timed out, has not stopped yet"
    let_go.set()
    (thread,) = targets._threads
    await asyncio.to_thread(thread.join, 10)
    await asyncio.sleep(0)
    assert (await targets.call(a_call(timeout=timedelta(seconds=1)))).error_code == "target_failed"


async def test_handlers_that_hang_have_a_limit_of_their_number() -> None:
    let_go = threading.Event()

    def hang(payload: Any, context: Context) -> None:
        assert let_go.wait(20)

    targets = LocalTargets(Registry([target("tests.greet")(hang)]), SystemClock(), most_threads=2)
    out = [asyncio.ensure_future(targets.call(a_call(job_id=f"job_{number}"))) for number in range(2)]
    await asyncio.sleep(0)
    assert (await targets.call(a_call(job_id="job_3"))).error_code == "too_many_calls"
    let_go.set()
    assert [result.error for result in await asyncio.gather(*out)] == [None, None]


async def test_a_call_that_is_given_up_stops_its_handler() -> None:
    begun, stopped = threading.Event(), threading.Event()

    async def wait(payload: Any, context: Context) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    task = asyncio.ensure_future(called(wait))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(stopped.wait, 10)


async def test_a_target_this_worker_does_not_have_fails_the_run_and_names_the_known() -> None:
    result = await LocalTargets(Registry([target("tests.greet")(print)]), SystemClock()).call(a_call("tests.gone"))
    assert result.error == "This worker has no target tests.gone; known: tests.greet"


async def test_a_payload_that_does_not_fit_any_more_fails_the_run_uncalled() -> None:
    def never(payload: Any, context: Context) -> None:
        raise AssertionError

    result = await called(never, {"name": "x"}, model=Greeting)
    assert result.error_code == "invalid_payload"
    assert "name: String should have at least 2 characters" in (result.error or "")


@pytest.mark.parametrize(
    ("value", "body"),
    [
        (None, None),
        ({"at": SLOT}, '{"at":"2026-01-05T12:00:00+00:00"}'),
        (Greeting(name="Ada"), '{"name":"Ada","times":1}'),
        ({1: {2}}, '{"1":"{2}"}'),
    ],
)
async def test_what_a_handler_returns_is_kept_as_json(value: Any, body: str | None) -> None:
    assert (await called(lambda payload, context: value)).body == body


async def test_what_a_handler_returns_is_capped() -> None:
    result = await called(lambda payload, context: "x" * 300_000)
    assert (len(result.body or ""), result.body_bytes, result.truncated) == (262_144, 300_002, True)


def test_an_unknown_target_is_an_issue_that_lists_the_known() -> None:
    registry = Registry([target("reports.daily")(print), target("reports.weekly")(print)])
    (issue,) = registry.check("ten_a", "reports.dayly", None)
    assert (issue.pointer, issue.code) == ("/target", "unknown_target")
    assert issue.detail == '"reports.dayly" is not a registered target; known: reports.daily, reports.weekly.'


def test_a_payload_is_checked_field_by_field() -> None:
    registry = Registry([target("reports.daily", payload=Greeting)(print)])
    assert registry.check("ten_a", "reports.daily", {"name": "Ada"}) == []
    (issue,) = registry.check("ten_a", "reports.daily", {"name": "Ada", "times": "often"})
    assert issue.pointer == "/payload/times"
    (missing,) = registry.check("ten_a", "reports.daily", None)
    assert (missing.pointer, missing.code) == ("/payload/name", "missing")


def test_maintenance_targets_are_there_for_the_system_tenant_only() -> None:
    purge: Target[..., Any] = Target("system.purge_runs", print, is_maintenance=True)
    registry = Registry([purge])
    assert registry.listed("ten_a") == []
    assert [each.code for each in registry.check("ten_a", "system.purge_runs", None)] == ["unknown_target"]
    assert registry.check(SYSTEM_TENANT, "system.purge_runs", None) == []


@pytest.mark.parametrize(
    "name", ["daily", "Reports.daily", "reports.", "reports..daily", "a." + "b" * 100, "re ports.x"]
)
def test_a_name_that_is_none_is_refused_where_it_is_written(name: str) -> None:
    with pytest.raises(ConfigurationError, match="no name of a target"):
        target(name)


def a_module(monkeypatch: pytest.MonkeyPatch, name: str, **names: object) -> None:
    module = ModuleType(name)
    vars(module).update(names)
    monkeypatch.setitem(sys.modules, name, module)


def test_the_targets_of_named_modules_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    daily = target("reports.daily")(print)
    a_module(monkeypatch, "ours", daily=daily, the_same=daily, weekly=target("reports.weekly")(print), other=3)
    assert discover(["ours"]).names() == ["reports.daily", "reports.weekly"]


def test_a_module_without_targets_or_with_ours_or_that_is_not_there_stops_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_module(monkeypatch, "bare")
    a_module(monkeypatch, "bold", own=target("system.purge_everything")(print))
    a_module(monkeypatch, "twin_a", daily=target("reports.daily")(print))
    a_module(monkeypatch, "twin_b", daily=target("reports.daily")(print))
    for modules, words in (
        (["bare"], "no target in bare"),
        (["bold"], "Rubato's own"),
        (["twin_a", "twin_b"], "Two targets are called reports.daily"),
        (["not_there_at_all"], "RUBATO_TARGETS names cannot be loaded: ModuleNotFoundError"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            discover(modules)


def test_a_target_can_still_be_called_as_the_function_it_is() -> None:
    @target("maths.add")
    def add(payload: int, context: int) -> int:
        """Add. And more."""
        return payload + context

    assert add(1, 2) == 3
    assert add.description == "Add. And more."


def test_the_public_face_is_four_names() -> None:
    assert rubato.targets.__all__ == ["CancelSignal", "Context", "Target", "target"]
