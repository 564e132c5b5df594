"""Keys: made, with the value shown this once; replaced; ended. One's own, and an admin's are the tenant's."""

from collections.abc import Mapping
from typing import Any

from fastapi import Response

from api.dashboard.fields import DAY_MS, DAY_S, number, read, text, ticked
from api.dashboard.shell import Form, View, Viewing, page_router
from api.schemas.identity import KeyIn, KeyRotateIn
from core.identity import DEFAULT_SCOPES, Scope
from core.ports.accounts import Made

SCOPES: Mapping[Scope, str] = {
    Scope.JOBS_READ: "read jobs and runs",
    Scope.JOBS_WRITE: "change and run jobs",
    Scope.KEYS_WRITE: "make and end keys",
    Scope.METRICS_READ: "read /metrics",
    Scope.ADMIN: "an admin's routes",
}
OVERLAPS = [("0", "at once"), ("3600000", "in an hour"), (str(DAY_MS), "in a day"), (str(7 * DAY_MS), "in a week")]

router = page_router()


@router.get("/keys")
async def index(view: Viewing) -> Response:
    """Show the keys."""
    return await _page(view)


@router.post("/keys", operation_id="createApiKey")
async def create(view: Viewing, fields: Form) -> Response:
    """Make a key. Its value stands on the page that answers, and nowhere else."""
    days = number(fields, "days", "The lifetime in days")
    wanted = {"name": text(fields, "name"), "scopes": ticked(fields, "scope-"), "expiresIn": days and days * DAY_S}
    made = await view.given.identity.keys.create(view.who, read(KeyIn, wanted).draft())
    view.request.state.audit_detail = {"keyId": made.key.id, "scopes": sorted(made.key.scopes)}
    return await _page(view, made, status=201)


@router.post("/keys/{key_id}/rotate", operation_id="rotateApiKey")
async def rotate(key_id: str, view: Viewing, fields: Form) -> Response:
    """Make a key like this one, which ends when its holder has had time to change over."""
    body = read(KeyRotateIn, {"keyId": key_id, "overlapMs": number(fields, "overlap", "The overlap")})
    made = await view.given.identity.keys.rotate(view.who, key_id, overlap_s=(body.overlap_ms or 0) // 1000)
    view.request.state.audit_detail = {"keyId": key_id, "newKeyId": made.key.id}
    return await _page(view, made, status=201)


@router.post("/keys/{key_id}/revoke", operation_id="deleteApiKey")
async def revoke(key_id: str, view: Viewing) -> Response:
    """End a key at once."""
    view.request.state.audit_detail = {"keyId": key_id}
    await view.given.identity.keys.revoke(view.who, key_id)
    return view.go("/keys", done="revoked")


async def _page(view: View, made: Made | None = None, *, status: int = 200) -> Response:
    given, who = view.given, view.who
    values: dict[str, Any] = {
        "keys": await given.identity.keys.list(who),
        "made": made,
        "scopes": [(scope, SCOPES[scope], scope in DEFAULT_SCOPES) for scope in Scope if scope in who.scopes],
        "overlaps": OVERLAPS,
        "owners": {each.id: each.name for each in (await given.identity.members.list(who))[0]} if who.is_admin else {},
    }
    return view.page("keys.html", active="Keys", status=status, **values)
