"""A call in a process of its own: what it returns, and what happens when it takes its process along."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from core.entities import RunStatus, TargetAction
from core.errors import IsolatedRunError
from core.ports.dispatcher import HttpResult
from core.ports.targets import TargetCall
from core.usecases.begin import PLAIN_ATTEMPTS
from core.usecases.sending import Sender
from rubato.adapters.targets.isolated import IsolatedTargets
from tests.unit.contexts import context, run
from tests.unit.fakes import FakeDispatcher
from tests.unit.loop import definition
from tests.unit.test_targets import a_call

HANDLERS = """
import os, signal, time
from rubato.targets import target


@target("apart.greets")
async def greets(payload, context):
    print("a handler may print")
    return {"hello": payload, "pid": os.getpid(), "attempt": context.attempt, "slot": context.slot.isoformat()}


@target("apart.dies")
def dies(payload, context):
    os.kill(os.getpid(), signal.SIGKILL)


@target("apart.fails")
def fails(payload, context):
    raise ValueError("no")


@target("apart.hangs")
def hangs(payload, context):
    time.sleep(600)
"""


class Here:
    """Takes what is called in this process."""

    async def call(self, call: TargetCall) -> HttpResult:
        return HttpResult(status_code=None, duration_ms=0, body=f'"{call.target} here"')


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IsolatedTargets:
    (tmp_path / "apart_handlers.py").write_text(HANDLERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return IsolatedTargets(["apart_handlers"], Here())


async def test_it_is_called_in_another_process_and_its_answer_comes_back(apart: IsolatedTargets) -> None:
    result = await apart.call(a_call("apart.greets", "you", attempt=3))
    assert result.error is None
    assert f'"pid":{os.getpid()},' not in (result.body or "")
    assert (result.body or "").startswith('{"hello":"you",')
    assert '"attempt":3,"slot":"2026-01-05T12:00:00+00:00"}' in (result.body or "")


async def test_what_it_raises_is_a_result_and_its_death_is_not(apart: IsolatedTargets) -> None:
    assert (await apart.call(a_call("apart.fails"))).error == "ValueError: no"
    with pytest.raises(IsolatedRunError, match="ended by SIGKILL"):
        await apart.call(a_call("apart.dies"))


async def test_one_that_hangs_ends_with_its_deadline(apart: IsolatedTargets) -> None:
    result = await apart.call(a_call("apart.hangs", timeout=timedelta(seconds=1)))
    assert result.error == "Target timed out after 1000ms"


async def test_rubatos_own_targets_are_called_here(apart: IsolatedTargets) -> None:
    assert (await apart.call(a_call("system.purge_runs"))).body == '"system.purge_runs here"'


async def test_a_target_that_killed_two_workers_is_called_apart_and_then_its_job_is_set_aside(
    apart: IsolatedTargets,
) -> None:
    job = context([run(1)], made=definition(action=TargetAction("apart.dies"))).job
    sender = Sender(FakeDispatcher(), targets=Here(), isolated_targets=apart)
    lost = run(1)
    plain, why = await sender.exchange(job, lost)
    assert (plain.status, why) == (RunStatus.SUCCEEDED, None)
    finished, why = await sender.exchange(job, replace(lost, attempt=PLAIN_ATTEMPTS + 1))
    assert finished.status is RunStatus.FAILED
    assert why == "its run failed in a process of its own: its process was ended by SIGKILL"
