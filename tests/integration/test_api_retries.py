"""Requests that are sent again: an Idempotency-Key makes the second one the first one's echo."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from api.idempotency import REPLAYED
from core.errors import Unavailable
from core.ports.replies import KEPT_FOR, UNDER_WAY, Claim, Earlier, Replies, Reply
from rubato.adapters.ids import SystemIds
from rubato.adapters.memory.replies import MemoryReplies
from rubato.adapters.postgres.engine import connect
from rubato.adapters.postgres.replies import PostgresReplies
from tests.integration.apis import JOB, Face, face
from tests.unit.fakes import FakeClock

KEY = {"idempotency-key": "order-1"}


@pytest.fixture
async def api() -> AsyncIterator[Face]:
    async with face() as made:
        yield made


async def test_a_request_sent_twice_is_carried_out_once(api: Face) -> None:
    first = await api.call("POST", "/api/v1/jobs", JOB, headers=KEY)
    again = await api.call("POST", "/api/v1/jobs", JOB, headers=KEY)
    assert (again.status_code, again.json()) == (201, first.json())
    assert [again.headers[name] for name in ("location", "etag", "cache-control")] == [
        first.headers[name] for name in ("location", "etag", "cache-control")
    ]
    assert (first.headers.get(REPLAYED), again.headers[REPLAYED]) == (None, "true")
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert await api.count_jobs() == 1


async def test_keys_of_two_tenants_never_meet(api: Face) -> None:
    mine = await api.call("POST", "/api/v1/jobs", JOB, headers=KEY)
    theirs = await api.call("POST", "/api/v1/jobs", JOB, key="cron_b", headers=KEY)
    assert theirs.status_code == 201
    assert theirs.json()["id"] != mine.json()["id"]


@pytest.mark.parametrize("other", [{**JOB, "name": "other"}, {**JOB, "description": "d"}])
async def test_a_key_with_another_body_is_refused(api: Face, other: Any) -> None:
    await api.call("POST", "/api/v1/jobs", JOB, headers=KEY)
    refused = await api.call("POST", "/api/v1/jobs", other, headers=KEY)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_key_with_another_address_is_refused(api: Face) -> None:
    job = await api.job()
    await api.call("POST", f"/api/v1/jobs/{job['id']}/pause", headers=KEY)
    assert (await api.call("POST", f"/api/v1/jobs/{job['id']}/resume", headers=KEY)).status_code == 422


async def test_what_was_not_valid_may_be_corrected_under_the_same_key(api: Face) -> None:
    assert (await api.call("POST", "/api/v1/jobs", {**JOB, "name": ""}, headers=KEY)).status_code == 400
    assert (await api.call("POST", "/api/v1/jobs/job_none/run", headers=KEY)).status_code == 404
    assert (await api.call("POST", "/api/v1/jobs", JOB, key=None, headers=KEY)).status_code == 401
    assert (await api.call("POST", "/api/v1/jobs", JOB, headers=KEY)).status_code == 201


async def test_a_refusal_by_the_state_is_kept(api: Face) -> None:
    job = await api.job()
    await api.call("POST", f"/api/v1/jobs/{job['id']}/pause")
    refused = await api.call("POST", f"/api/v1/jobs/{job['id']}/run", headers=KEY)
    await api.call("POST", f"/api/v1/jobs/{job['id']}/resume")
    again = await api.call("POST", f"/api/v1/jobs/{job['id']}/run", headers=KEY)
    assert (refused.status_code, again.status_code, again.json()) == (409, 409, refused.json())


@pytest.mark.parametrize(("error", "status"), [(RuntimeError("boom"), 500), (Unavailable("away"), 503)])
async def test_a_fault_is_replayed(api: Face, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int) -> None:
    async def breaks(*args: object, **options: object) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(type(api.store), "add_job", breaks)
        first = await api.call("POST", "/api/v1/jobs", JOB, headers=KEY)
    again = await api.call("POST", "/api/v1/jobs", JOB, headers=KEY)
    assert (first.status_code, again.status_code, again.json()) == (status, status, first.json())
    assert await api.count_jobs() == 0


async def test_of_two_at_once_the_second_is_told_to_wait(api: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go_on, add = asyncio.Event(), asyncio.Event(), api.store.add_job

    async def slow(*args: Any) -> None:
        entered.set()
        await go_on.wait()
        await add(*args)

    monkeypatch.setattr(api.store.__class__, "add_job", lambda self, *args: slow(*args))
    first = asyncio.ensure_future(api.call("POST", "/api/v1/jobs", JOB, headers=KEY))
    await entered.wait()
    second = await api.call("POST", "/api/v1/jobs", JOB, headers=KEY)
    go_on.set()
    assert (second.status_code, second.json()["code"], second.headers["retry-after"]) == (
        409,
        "idempotency_key_in_use",
        "1",
    )
    assert (await first).status_code == 201


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "ä"])
async def test_a_key_that_is_none_is_refused(api: Face, key: str) -> None:
    headers = {"idempotency-key": key.encode()}
    answer = await api.call("POST", "/api/v1/jobs", JOB, headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "Idempotency-Key")


async def test_a_rehearsal_takes_no_key(api: Face) -> None:
    assert (await api.call("POST", "/api/v1/jobs?validateOnly=true", JOB, headers=KEY)).status_code == 200
    assert (await api.call("POST", "/api/v1/jobs", JOB, headers=KEY)).status_code == 201


async def test_every_post_takes_a_key(api: Face) -> None:
    document = (await api.call("GET", "/openapi.json")).json()
    posts = {path: operations["post"] for path, operations in document["paths"].items() if "post" in operations}
    without = {
        path
        for path, operation in posts.items()
        if path.startswith(("/api/v1/", "/api/v2/", "/api/auth/api-key/"))
        and "Idempotency-Key" not in {each["name"] for each in operation.get("parameters", [])}
    }
    assert without == {"/api/v1/jobs/{job_id}/simulate-hint"}  # which changes nothing


@pytest.fixture(params=["memory", "postgres"])
def place(request: pytest.FixtureRequest) -> str | None:
    """Return the address of a fresh database, or None for a store in memory."""
    return None if request.param == "memory" else str(request.getfixturevalue("database_url"))


@pytest.fixture
async def replies(place: str | None) -> AsyncIterator[tuple[Replies, Any]]:
    """Return each store of replies, with what makes time pass for it."""
    if place is None:
        clock = FakeClock()

        async def advance(time: timedelta) -> None:
            clock.advance(time.total_seconds())

        yield MemoryReplies(clock, SystemIds()), advance
        return
    engine = connect(place, application="tests")
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO tenants (id, name) VALUES ('t', 't')"))

    async def pass_by(time: timedelta) -> None:
        shift = text(
            "UPDATE idempotency_keys SET lost_at = lost_at - CAST(:time AS interval), "
            "expires_at = expires_at - CAST(:time AS interval)"
        )
        async with engine.begin() as connection:
            await connection.execute(shift, {"time": time})

    yield PostgresReplies(engine, SystemIds()), pass_by
    await engine.dispose()


async def test_of_many_claims_of_one_key_one_wins(replies: tuple[Replies, Any]) -> None:
    store, _ = replies
    found = await asyncio.gather(*(store.claim("t", "k", b"f") for _ in range(8)))
    assert sum(isinstance(each, Claim) for each in found) == 1


async def test_an_answer_is_kept_for_a_day(replies: tuple[Replies, Any]) -> None:
    store, advance = replies
    claim = await store.claim("t", "k", b"f")
    assert isinstance(claim, Claim)
    reply = Reply(201, {"etag": '"1"'}, b"\x00body")
    await store.keep(claim, reply)
    await advance(KEPT_FOR - timedelta(seconds=2))
    earlier = await store.claim("t", "k", b"other")
    assert isinstance(earlier, Earlier)
    assert (earlier.fingerprint, earlier.reply) == (b"f", reply)
    await advance(timedelta(seconds=3))
    assert isinstance(await store.claim("t", "k", b"other"), Claim)


async def test_a_request_whose_process_died_is_lost_and_never_carried_out_again(replies: tuple[Replies, Any]) -> None:
    store, advance = replies
    await store.claim("t", "k", b"f")
    await advance(UNDER_WAY + timedelta(seconds=1))
    earlier = await store.claim("t", "k", b"f")
    assert isinstance(earlier, Earlier)
    assert (earlier.reply, earlier.is_lost) == (None, True)


async def test_a_claim_that_was_given_back_is_free_and_a_late_answer_changes_nothing(
    replies: tuple[Replies, Any],
) -> None:
    store, _ = replies
    first = await store.claim("t", "k", b"f")
    assert isinstance(first, Claim)
    await store.drop(first)
    second = await store.claim("t", "k", b"g")
    assert isinstance(second, Claim)
    await store.keep(first, Reply(500, {}, b""))
    earlier = await store.claim("t", "k", b"g")
    assert isinstance(earlier, Earlier)
    assert (earlier.fingerprint, earlier.reply) == (b"g", None)
