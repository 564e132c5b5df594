"""What a job does about slots that passed while nobody was there: outages and pauses of up to two weeks, in zones whose
clocks change, counted by going through the fires one by one."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.entities import Baseline, Bounds, Catchup, CronBaseline, IntervalBaseline, Job, Run, RunStatus, Trigger
from core.grid import COUNT_LIMIT
from rubato.adapters.cron import CroniterCron
from tests.unit.fakes import FakeClock
from tests.unit.loop import Loop, definition

GRACE = timedelta(seconds=60)  # the run loop's
ZONES = ("UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo")
EXPRESSIONS = ("*/15 * * * *", "7 * * * *", "30 2 * * *", "0 */6 * * *", "15 1-3 * * sun", "0 9 * * mon-fri")
# Around the changes of clocks in spring and autumn, north and south.
STARTS = [
    datetime(2026, month, day, 12, tzinfo=UTC) for month, day in ((3, 6), (3, 27), (4, 3), (10, 2), (10, 24), (11, 1))
]

baselines = st.one_of(
    st.builds(CronBaseline, st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES)),
    st.builds(IntervalBaseline, st.integers(60, 90_000).map(lambda seconds: timedelta(seconds=seconds))),
)
outages = st.integers(2 * 60, 14 * 86_400).map(lambda seconds: timedelta(seconds=seconds))
CRON = CroniterCron()


def fires(baseline: Baseline, epoch: datetime, after: datetime, until: datetime) -> Iterator[datetime]:
    """Go through the fires after one instant, up to and including another."""
    at = after
    while True:
        if isinstance(baseline, CronBaseline):
            found = CRON.next_after(baseline.expression, baseline.timezone, at)
            assert found is not None
            at = found
        elif isinstance(baseline, IntervalBaseline):
            at = at + baseline.every if (at - epoch) % baseline.every == timedelta(0) else epoch
        if at > until:
            return
        yield at


class House(Loop):
    """A house whose clock begins where a test says, with real cron."""

    def __init__(self, at: datetime) -> None:
        super().__init__(clock=FakeClock(at), cron=CRON)  # type: ignore[arg-type]  # it stands for any cron

    async def begun(self, baseline: Baseline, catchup: Catchup) -> tuple[Job, datetime]:
        """Register a job and run its first slot; return it and that slot."""
        job = await self.register(definition(baseline=baseline, catchup=catchup, bounds=Bounds()))
        await self.until_slot(job)
        await self.run_turn()
        (run,) = await self.runs(job)
        return job, run.scheduled_for


def row(run: Run) -> tuple[RunStatus, Trigger, datetime, int | None]:
    return run.status, run.trigger, run.scheduled_for, run.skipped_count


@given(baselines, outages, st.sampled_from(STARTS), st.sampled_from(list(Catchup)))
@settings(max_examples=60, deadline=None)
def test_after_an_outage_what_was_missed_is_counted_once_and_at_most_its_newest_is_run(
    baseline: Baseline, outage: timedelta, start: datetime, catchup: Catchup
) -> None:
    async def story() -> None:
        house = House(start)
        job, first = await house.begun(baseline, catchup)
        now = house.clock.at = first + outage
        gap = list(fires(baseline, job.schedule.grid_epoch, first, now))
        await house.run_turn()
        rows = [row(run) for run in (await house.runs(job))[1:]]
        if not gap:
            assert rows == []
        elif now - gap[0] <= GRACE:  # late, and not missed
            assert rows[0][:3] == (RunStatus.SUCCEEDED, Trigger.SCHEDULED, gap[0])
        elif len(gap) <= COUNT_LIMIT:
            missed = gap if catchup is Catchup.SKIP else gap[:-1]
            expected = [(RunStatus.SKIPPED, Trigger.SCHEDULED, missed[0], len(missed))] if missed else []
            if catchup is Catchup.LATEST:
                expected.append((RunStatus.SUCCEEDED, Trigger.CATCHUP, gap[-1], None))
            assert rows == expected
        else:
            assert rows[0][:3] == (RunStatus.SKIPPED, Trigger.SCHEDULED, gap[0])
            assert (rows[0][3] or 0) >= COUNT_LIMIT  # fires of a cron expression are counted no further
        await nothing_more_until_the_next_fire(house, job, baseline)

    asyncio.run(story())


@given(baselines, outages, st.sampled_from(STARTS), st.sampled_from(list(Catchup)))
@settings(max_examples=40, deadline=None)
def test_resuming_runs_nothing_of_what_passed_while_paused(
    baseline: Baseline, outage: timedelta, start: datetime, catchup: Catchup
) -> None:
    async def story() -> None:
        house = House(start)
        job, first = await house.begun(baseline, catchup)
        await house.jobs.pause(job.tenant_id, job.id)
        house.clock.at = first + outage
        await house.run_turn()
        await house.jobs.resume(job.tenant_id, job.id)
        await house.run_turn()
        assert [row(run) for run in (await house.runs(job))[1:]] == []
        await nothing_more_until_the_next_fire(house, job, baseline)

    asyncio.run(story())


async def nothing_more_until_the_next_fire(house: House, job: Job, baseline: Baseline) -> None:
    """The next slot is the grid's next fire, and it alone is run then."""
    now, before = house.clock.at, len(await house.runs(job))
    following = next(
        fires(baseline, job.schedule.grid_epoch, _last_before(baseline, job, now), datetime.max.replace(tzinfo=UTC))
    )
    slot = (await house.job(job)).schedule.slot
    assert slot is not None
    assert slot.at == following > now
    await house.run_turn()
    assert len(await house.runs(job)) == before
    house.clock.at = following
    await house.run_turn()
    newest = (await house.runs(job))[-1]
    assert (len(await house.runs(job)), newest.scheduled_for, newest.status) == (
        before + 1,
        following,
        RunStatus.SUCCEEDED,
    )


def _last_before(baseline: Baseline, job: Job, now: datetime) -> datetime:
    """Return the interval's fire at or before now; for cron, now itself does."""
    if not isinstance(baseline, IntervalBaseline):
        return now
    epoch = job.schedule.grid_epoch
    return epoch + (now - epoch) // baseline.every * baseline.every


@pytest.mark.parametrize("catchup", list(Catchup))
async def test_three_missed_slots_are_no_extra_runs(catchup: Catchup) -> None:
    house = House(datetime(2026, 1, 5, 12, tzinfo=UTC))
    job, first = await house.begun(CronBaseline("*/5 * * * *", "UTC"), catchup)
    house.clock.at = first + timedelta(minutes=17)
    await house.run_turn()
    counts = [run.skipped_count for run in await house.runs(job)]
    assert counts == ([None, 3] if catchup is Catchup.SKIP else [None, 2, None])
