"""What an operator does and is done with: keys, secrets, exports, and planning. Only the command line imports this."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

from core.modes import EVERYBODY, PLANNER, RULES
from core.usecases.turn_switches import TurnSwitches
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres import access
from rubato.adapters.postgres.accounts import PostgresAccounts
from rubato.adapters.postgres.allowances import PostgresAllowances
from rubato.adapters.postgres.keys import new_key
from rubato.adapters.postgres.migrate import require_schema
from rubato.adapters.postgres.operations import PostgresOperations
from rubato.adapters.postgres.secret_rotation import Rotated, rotate_secrets
from rubato.exports import exported_runs
from rubato.settings import Settings
from rubato.wiring.secrets import pepper_of, vault_of
from rubato.wiring.shared import core, database_url, reached


@asynccontextmanager
async def operations(settings: Settings) -> AsyncIterator[PostgresOperations]:
    """Give the verbs of the runbook."""
    async with core(settings, database_url(settings), application="rubato operations") as shared:
        await require_schema(shared.login, access.ENGINE)
        yield PostgresOperations(shared.login)


async def switch_planning(settings: Settings, mode: str, *, tenant: str | None, reason: str | None) -> str:
    """Turn the switch of planning for everybody or one tenant; return what was done, in a sentence."""
    return await turn_switch(settings, PLANNER, mode, tenant=tenant, reason=reason)


async def turn_switch(settings: Settings, name: str, value: str, *, tenant: str | None, reason: str | None) -> str:
    """Turn a switch for everybody or one tenant; return what was done, in a sentence."""
    async with core(settings, database_url(settings), application="rubato planning") as shared:
        await require_schema(shared.login, access.ENGINE)
        switches = TurnSwitches(shared.store, shared.flags, shared.cron)
        flag, count = await switches.turn(tenant or EVERYBODY, value, by="operator", reason=reason, name=name)
    whom = f"tenant {tenant}" if tenant else "everybody"
    what = "Planning" if name == PLANNER else f"The switch {name}"
    again = f"; {count} job(s) that a hint steered were decided again" if name in (PLANNER, RULES) else ""
    return f"{what} is {flag.value} for {whom}{again}."


async def planning_status(settings: Settings, *, tenant: str | None) -> list[str]:
    """Return the switches that are set for everybody and a tenant, and their latest turns, a line each."""
    async with core(settings, database_url(settings), application="rubato planning") as shared:
        await require_schema(shared.login, access.ENGINE)
        scopes = [EVERYBODY, tenant] if tenant else [EVERYBODY]
        flags = await shared.flags.read(scopes)
        turns = [change for scope in scopes for change in await shared.flags.changes(scope, limit=10)]
    lines = [f"{each.scope or 'everybody'}: {each.name} is {each.value}" for each in flags] or ["Nothing was switched."]
    for each in turns:
        why = f" ({each.reason})" if each.reason else ""
        was = each.old_value or "unset"
        lines.append(
            f"  {each.changed_at:%Y-%m-%d %H:%M:%S} {each.scope or 'everybody'}: {was} -> {each.new_value} "
            f"by {each.changed_by}{why}"
        )
    return lines


async def set_allowances(settings: Settings, values: Mapping[str, int | None], *, tenant: str | None) -> None:
    """Set a tenant's allowances, or (without one) the ceilings over all tenants; None lifts a ceiling."""
    async with core(settings, database_url(settings), application="rubato quota") as shared:
        await require_schema(shared.login, access.ENGINE)
        await PostgresAllowances(shared.login).set(values, tenant=tenant)


async def accept_rules(settings: Settings, *, unseen: bool, tenant: str) -> None:
    """Let a planner's rules take effect without a person's word in a tenant, or not any more. Raises NotFound."""
    async with core(settings, database_url(settings), application="rubato rules") as shared:
        await require_schema(shared.login, access.ENGINE)
        await PostgresAllowances(shared.login).accept_rules(unseen=unseen, tenant=tenant)


async def create_key(settings: Settings, *, tenant: str, name: str) -> str:
    """Make a key of all scopes for an admin of a tenant, both made if they are not there; return its value."""
    value = new_key(settings.api_key_prefix)
    async with reached(settings, access.IDENTITY) as engine:
        accounts = PostgresAccounts(engine, SystemIds(), pepper=pepper_of(settings))
        if await accounts.create_key(value, tenant=tenant, name=name) is None:
            await accounts.bootstrap(value, tenant=tenant, user="operator")
    return value


async def rotate_all_secrets(settings: Settings) -> Rotated:
    """Seal every job's secrets under the first of the encryption keys."""
    vault = vault_of(settings)
    async with reached(settings, access.ENGINE) as engine:
        return await rotate_secrets(engine, vault.renew)


async def run_export(
    settings: Settings, tenant_id: str, job_id: str | None, *, days: float, write: Callable[[str], object]
) -> None:
    """Write a tenant's stored runs of the last `days`, a line each. Raises NotFound."""
    async with core(settings, database_url(settings), application="rubato export") as shared:
        await shared.store.limits(tenant_id)
        since = await shared.store.now() - timedelta(days=days)
        async for line in exported_runs(shared.store, tenant_id, job_id=job_id, since=since):
            write(line)
