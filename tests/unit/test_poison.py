"""A run that kills its workers: sent by itself, then set aside, and its batch-mates are not blamed."""

from dataclasses import dataclass, field, replace

from core.entities import Catchup, Delivery, HttpAction, Job, JobStatus, OnceBaseline, RunStatus
from core.ports.dispatcher import HttpRequest, HttpResult
from core.usecases.begin import LAST_ATTEMPT
from core.usecases.run_due import RunDue
from tests.unit.fakes import OK, START
from tests.unit.loop import TENANT, Loop, definition

LEASE_S = 61


@dataclass
class Apart:
    """A dispatcher in a process of its own: dies for what `kills` says, and keeps what it was given."""

    kills: str = "poison"
    dies: bool = True
    sent: list[HttpRequest] = field(default_factory=list)

    async def send(self, request: HttpRequest) -> HttpResult:
        self.sent.append(request)
        if self.dies and self.kills in request.url:
            raise RuntimeError("the process died by SIGSEGV")
        return OK

    async def close(self) -> None:
        return None


def worker(loop: Loop, number: int, apart: Apart | None) -> RunDue:
    """Return a worker that may send from a process apart."""
    plain = loop.new_worker(f"worker_{number}")
    return replace(plain, isolated=apart)


async def poison(loop: Loop, **fields: object) -> Job:
    """Register a job whose request kills workers."""
    return await loop.register(definition(action=HttpAction("http://poison.test/"), **fields))


async def dies_in_flight(loop: Loop, number: int, apart: Apart | None = None) -> None:
    """Let a worker begin what is due and vanish; its lease ends."""
    victim = worker(loop, number, apart)
    await loop.send(victim)
    await loop.die(victim)
    loop.clock.advance(LEASE_S)


async def test_after_two_attempts_that_nobody_recorded_a_run_is_sent_from_a_process_of_its_own() -> None:
    loop, apart = Loop(), Apart(dies=False)
    job = await poison(loop)
    for number in (1, 2):
        await dies_in_flight(loop, number)
    sent = len(loop.dispatcher.sent)
    third = worker(loop, 3, apart)
    await third.run_once()
    assert await third.drain(5) == 0
    run = (await loop.runs(job))[0]
    assert (run.attempt, run.status) == (3, RunStatus.SUCCEEDED)
    assert (len(apart.sent), len(loop.dispatcher.sent)) == (1, sent)
    assert (await loop.job(job)).schedule.status is JobStatus.ACTIVE
    assert {request.webhook_id for request in (*apart.sent, *loop.dispatcher.sent)} == {apart.sent[0].webhook_id}


async def test_a_run_that_fails_there_too_parks_its_job_with_the_reason_and_no_batch_mate() -> None:
    loop, apart = Loop(), Apart()
    killer, mate = await poison(loop), await loop.register()
    for number in (1, 2):
        await dies_in_flight(loop, number)
    third = worker(loop, 3, apart)
    await third.run_once()
    assert await third.drain(5) == 0
    parked, spared = await loop.job(killer), await loop.job(mate)
    assert (parked.schedule.status, spared.schedule.status) == (JobStatus.PARKED, JobStatus.ACTIVE)
    assert "SIGSEGV" in (parked.schedule.parked_reason or "")
    assert [(await loop.runs(job))[0].status for job in (killer, mate)] == [RunStatus.FAILED, RunStatus.SUCCEEDED]
    assert len(apart.sent) == 2


async def test_a_run_that_outlived_many_workers_is_given_up_and_its_job_parked() -> None:
    loop, numbers = Loop(), range(1, LAST_ATTEMPT + 1)
    job = await poison(loop)
    for number in numbers:
        await dies_in_flight(loop, number)
    survivor = worker(loop, 99, None)
    await survivor.run_once()
    assert await survivor.drain(5) == 0
    assert len(loop.dispatcher.sent) == LAST_ATTEMPT
    run = (await loop.runs(job))[0]
    assert (run.status, run.attempt) == (RunStatus.FAILED, LAST_ATTEMPT)
    assert f"sent {LAST_ATTEMPT} times" in (run.error_message or "")
    assert (await loop.job(job)).schedule.status is JobStatus.PARKED
    lost = await loop.store.attempts(TENANT, run.id)
    assert [(attempt.attempt, attempt.status) for attempt in lost] == [(number, "lost") for number in numbers]


async def test_a_claim_that_was_never_sent_is_no_attempt() -> None:
    loop = Loop()
    job = await poison(loop, baseline=OnceBaseline(START), catchup=Catchup.LATEST)
    for number in range(1, LAST_ATTEMPT + 2):
        assert len((await loop.store.claim(f"worker_{number}", limit=1, lease=loop.worker.lease)).jobs) == 1
        loop.clock.advance(LEASE_S)
    await loop.run_turn()
    (run,) = await loop.runs(job)
    assert (run.status, run.attempt) == (RunStatus.SUCCEEDED, 1)
    assert await loop.store.attempts(TENANT, run.id) == []


async def test_an_at_most_once_run_that_killed_its_worker_is_never_sent_again() -> None:
    loop, apart = Loop(), Apart()
    job = await poison(loop, delivery=Delivery.AT_MOST_ONCE)
    await dies_in_flight(loop, 1)
    second = worker(loop, 2, apart)
    await second.run_once()
    assert await second.drain(5) == 0
    assert (await loop.runs(job))[0].status is RunStatus.UNKNOWN
    assert (len(loop.dispatcher.sent), apart.sent) == (1, [])


async def test_the_slots_that_pass_while_a_job_is_parked_leave_one_skipped_row() -> None:
    loop, apart = Loop(), Apart()
    job = await poison(loop)
    for number in (1, 2):
        await dies_in_flight(loop, number)
    third = worker(loop, 3, apart)
    await third.run_once()
    assert await third.drain(5) == 0
    assert (await loop.job(job)).schedule.status is JobStatus.PARKED
    parked_at = loop.clock.now()
    before = len(await loop.runs(job))
    loop.clock.advance(1800)
    assert (await third.run_once()).claimed == 0
    loop.clock.advance(1801)
    await third.run_once()
    assert await third.drain(5) == 0
    (row,) = (await loop.runs(job))[before:]
    assert (row.status, row.skip_reason, row.skipped_count) == (RunStatus.SKIPPED, "parked", 60)
    assert row.skipped_until is not None
    assert parked_at < row.scheduled_for < row.skipped_until <= loop.clock.now()
    after = (await loop.job(job)).schedule
    assert after.status is JobStatus.ACTIVE
    assert after.slot is not None
    assert after.slot.at > loop.clock.now()
