"""Giving back a claim on a run that another worker had sent and never recorded."""

from datetime import timedelta

import pytest

from core.entities import RunStatus
from core.errors import LeaseLostError
from core.ports.store import Claimed
from tests.contract.conftest import House


async def left_running(house: House) -> Claimed:
    """Return w2's claim on a run that w1 began and left."""
    await house.job()
    (first,) = await house.claim()
    assert await house.store.start("w1", [first])
    await house.expire_leases()
    (second,) = await house.claim("w2")
    return second


async def test_a_run_taken_over_and_given_back_is_free_at_once(house: House) -> None:
    second = await left_running(house)
    await house.store.release("w2", [(second.ref, second.token)])
    with pytest.raises(LeaseLostError):
        await house.store.change(second.ref, house.beginning(second.token, "w2", second.lapsed_at))
    (third,) = await house.claim("w3")
    assert third.run_id == second.run_id
    assert (await house.store.run(house.tenant, third.run_id)).status is RunStatus.RUNNING


async def test_a_run_taken_over_and_held_back_is_left_alone_for_that_long(house: House) -> None:
    second = await left_running(house)
    await house.store.release("w2", [(second.ref, second.token)], hold_back=timedelta(minutes=1))
    assert await house.claim("w3") == ()
