"""Switches: what is on for a tenant, and who turned it."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from api.acting import ValidateOnly
from api.auth import Admin, Given, Who
from api.problems import Problem
from api.routes.documented import problems
from api.wire import Instant, Wire
from core.modes import EVERYBODY, POSITIONS
from core.ports.flags import Flag

router = APIRouter(tags=["flags"])

_HISTORY = 50


class FlagOut(Wire):
    """A switch. `scope`: `everybody` (turned by the operator) or `tenant`. One that nobody has turned has no
    `changedAt`."""

    name: str
    value: str
    scope: Literal["everybody", "tenant"]
    changed_at: Instant | None
    changed_by: str | None
    reason: str | None


class FlagsOut(Wire):
    """The switches that bear on the tenant. The lowest of a name is in force: off, then shadow, then on."""

    data: list[FlagOut]
    next_cursor: None = None


class FlagChangeOut(Wire):
    """One turn of the tenant's switch."""

    name: str
    old_value: str | None
    new_value: str
    changed_at: Instant
    changed_by: str
    reason: str | None


class FlagChangesOut(Wire):
    """The newest turns, newest first."""

    data: list[FlagChangeOut]
    next_cursor: None = None


class FlagIn(Wire):
    """A new position."""

    value: Annotated[str, Field(max_length=40)]
    reason: Annotated[str | None, Field(max_length=300)] = None


@router.get("/flags", operation_id="listFlags", response_model=FlagsOut, responses=problems(), summary="Read switches")
async def index(given: Given, who: Who) -> FlagsOut:
    """Return the switches for everybody and for the tenant. The first can be turned by the operator only."""
    found = {(each.scope, each.name): each for each in await given.flags.read([EVERYBODY, who.tenant_id])}
    scopes = [EVERYBODY, who.tenant_id]
    return FlagsOut(data=[_flag(found.get((scope, name)), scope, name) for name in POSITIONS for scope in scopes])


@router.get(
    "/flags/{name}/changes",
    operation_id="listFlagChanges",
    response_model=FlagChangesOut,
    responses=problems(403, 404),
    summary="Who turned a switch",
)
async def changes(name: str, given: Given, who: Admin) -> FlagChangesOut:
    """Return the tenant's own turns of a switch."""
    _known(name)
    found = await given.flags.changes(who.tenant_id, limit=_HISTORY)
    return FlagChangesOut(
        data=[
            FlagChangeOut(
                name=each.name,
                old_value=each.old_value,
                new_value=each.new_value,
                changed_at=each.changed_at,
                changed_by=each.changed_by,
                reason=each.reason,
            )
            for each in found
            if each.name == name
        ]
    )


@router.put(
    "/flags/{name}",
    operation_id="turnFlag",
    response_model=FlagOut,
    responses=problems(403, 404, 415),
    summary="Turn a switch",
)
async def turn(name: str, body: FlagIn, given: Given, who: Admin, *, validate_only: ValidateOnly = False) -> FlagOut:
    """Turn a switch of the tenant: `planner` takes `on`, `shadow` and `off`; `rules`, and `cron` and `interval`
    (whether jobs of such a baseline run), take `on` and `off`. It acts within seconds, in every process; jobs that a
    hint steers at this moment are decided again before the answer."""
    _known(name)
    flag, _ = await given.switches.turn(
        who.tenant_id, body.value, by=who.user_id, reason=body.reason, name=name, rehearse=validate_only
    )
    return _flag(flag, who.tenant_id, name)


def _flag(flag: Flag | None, scope: str, name: str) -> FlagOut:
    return FlagOut(
        name=name,
        value=flag.value if flag else POSITIONS[name][0],
        scope="tenant" if scope else "everybody",
        changed_at=flag.changed_at if flag else None,
        changed_by=flag.changed_by if flag and scope else None,
        reason=flag.reason if flag else None,
    )


def _known(name: str) -> None:
    if name not in POSITIONS:
        raise Problem(404, "not_found", f"There is no switch of that name; there are: {', '.join(POSITIONS)}.")
