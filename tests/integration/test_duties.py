"""One process at a time has a duty, and the installation's figures stand in one process's metrics."""

from datetime import timedelta

from core.ports.store import Backlog
from rubato.adapters.clock import SystemClock
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres.duties import Duties
from rubato.adapters.postgres.engine import Engine
from rubato.adapters.postgres.store import PostgresStore
from rubato.adapters.telemetry import Telemetry

MINUTE = timedelta(minutes=1)


async def test_a_duty_has_one_holder_until_it_ends_or_is_dropped(engine: Engine) -> None:
    first, second = Duties(engine, "first"), Duties(engine, "second")
    assert [await first.take("gauges", lasting=MINUTE), await second.take("gauges", lasting=MINUTE)] == [True, False]
    assert await first.take("gauges", lasting=MINUTE)
    assert await second.take("another", lasting=MINUTE)
    await first.drop()
    assert [await second.take("gauges", lasting=MINUTE), await first.take("gauges", lasting=MINUTE)] == [True, False]


async def test_a_holder_that_died_is_followed_by_whoever_asks_next(engine: Engine) -> None:
    dead, next_ = Duties(engine, "dead"), Duties(engine, "next")
    assert await dead.take("gauges", lasting=timedelta(0))
    assert await next_.take("gauges", lasting=MINUTE)
    await dead.drop()
    assert not await dead.take("gauges", lasting=MINUTE)


async def test_of_three_replicas_one_shows_the_installations_figures(engine: Engine) -> None:
    store = PostgresStore(engine, SystemIds())
    bodies = []
    for number in range(3):
        duties = Duties(engine, f"replica {number}")

        async def backlog(duties: Duties = duties) -> Backlog | None:
            return await store.backlog() if await duties.take("gauges", lasting=MINUTE) else None

        body, _ = await Telemetry(SystemClock()).exposition(backlog)()
        bodies.append(body.decode())
    assert ["\nrubato_due_jobs 0.0" in body for body in bodies] == [True, False, False]
    assert all("\nrubato_jobs_claimed_total 0.0" in body for body in bodies)
