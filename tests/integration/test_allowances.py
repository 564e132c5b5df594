"""What an operator allows a tenant, as rows that every process reads."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import NotFound
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres.allowances import PostgresAllowances
from rubato.adapters.postgres.store import PostgresStore
from tests.integration.test_api_limits import tenant


async def test_a_tenants_rules_wait_for_a_person_unless_the_operator_says_otherwise(engine: AsyncEngine) -> None:
    await tenant(engine)
    store, allowances = PostgresStore(engine, SystemIds()), PostgresAllowances(engine)
    assert not (await store.limits("t")).auto_accept_rules
    await allowances.accept_rules(unseen=True, tenant="t")
    assert (await store.limits("t")).auto_accept_rules
    await allowances.accept_rules(unseen=False, tenant="t")
    assert not (await store.limits("t")).auto_accept_rules
    with pytest.raises(NotFound, match="no tenant nobody"):
        await allowances.accept_rules(unseen=True, tenant="nobody")
