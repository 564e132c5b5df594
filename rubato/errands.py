"""What an operator does about planning: switch it, look at who did, bound its cost. Only the command line imports
this."""

from collections.abc import Mapping

from core.modes import EVERYBODY
from core.usecases.switch_planner import SwitchPlanner
from rubato.adapters.postgres import access
from rubato.adapters.postgres.allowances import PostgresAllowances
from rubato.adapters.postgres.migrate import require_schema
from rubato.settings import Settings
from rubato.wiring import core, database_url


async def switch_planning(settings: Settings, mode: str, *, tenant: str | None, reason: str | None) -> str:
    """Turn the switch of planning for everybody or one tenant; return what was done, in a sentence."""
    async with core(settings, database_url(settings), application="rubato planning") as shared:
        await require_schema(shared.login, access.ENGINE)
        switches = SwitchPlanner(shared.store, shared.flags, shared.cron)
        flag, count = await switches.turn(tenant or EVERYBODY, mode, by="operator", reason=reason)
    whom = f"tenant {tenant}" if tenant else "everybody"
    return f"Planning is {flag.value} for {whom}; {count} job(s) that a hint steered were decided again."


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
