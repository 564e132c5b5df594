"""Members, the audit, and the tenant as a whole: for admins."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic.alias_generators import to_camel

from api.acting import NO_STORE, ValidateOnly
from api.auth import Admin, Given, Who
from api.idempotency import ONCE_FOR_ADMINS, SHOWN_ONCE
from api.paging import DEFAULT_LIMIT, Cursor, Limit, Listed, page_size
from api.problems import invalid
from api.routes.documented import CHANGING, previewed, problems
from api.schemas.identity import (
    AuditEntryOut,
    DoneOut,
    InvitationOut,
    InviteIn,
    MemberOut,
    MembersOut,
    NewInvitationOut,
    RoleIn,
    TenantOut,
    audit_entry_out,
    invitation_fields,
    member_out,
)
from api.services import Services
from api.wire import Wire
from core.identity import Role
from core.ports.accounts import Principal

INVITED_FOR_S = 7 * 86_400

router = APIRouter(tags=["members"])


class AuditOut(Listed[AuditEntryOut]):
    """A page of the audit."""


Action = Annotated[str | None, Query(max_length=100, description="Only this operation, such as `createJob`.")]
Confirm = Annotated[str, Query(max_length=255, description="The tenant's name, so that nobody deletes it by mistake.")]


@router.get(
    "/members",
    operation_id="listMembers",
    response_model=MembersOut,
    responses=problems(403),
    summary="List members and invitations",
)
async def index(given: Given, who: Admin) -> MembersOut:
    """Return everybody, and open invitations."""
    members, invitations = await given.identity.members.list(who)
    asked = [InvitationOut.model_validate(invitation_fields(each)) for each in invitations]
    return MembersOut(data=[member_out(each) for each in members], invitations=asked, next_cursor=None)


@router.post(
    "/members",
    status_code=201,
    operation_id="inviteMember",
    response_model=NewInvitationOut,
    responses={**problems(403, *CHANGING), **previewed(InvitationOut)},
    summary="Invite somebody",
    dependencies=[*ONCE_FOR_ADMINS, SHOWN_ONCE],
)
async def invite(
    body: InviteIn,
    request: Request,
    response: Response,
    given: Given,
    who: Admin,
    *,
    validate_only: ValidateOnly = False,
) -> NewInvitationOut | Response:
    """Open an invitation. Whoever signs in through its address joins; it works once."""
    lifetime_s = body.expires_in_ms // 1000 if body.expires_in_ms else INVITED_FOR_S
    role, note = Role(body.role), body.note
    invitation, token = await given.identity.members.invite(
        who, role, note=note, lifetime_s=lifetime_s, rehearse=validate_only
    )
    if validate_only:
        return _written(InvitationOut.model_validate(invitation_fields(invitation)))
    request.state.audit_detail = {"invitationId": invitation.id, "role": body.role}
    response.headers["Location"] = "/api/v1/members"
    response.headers["Cache-Control"] = "no-store"
    url = f"{given.identity.origin}/api/auth/sign-in/social/github?invitation={token}"
    return NewInvitationOut.model_validate({**invitation_fields(invitation), "url": url})


@router.patch(
    "/members/{member_id}",
    operation_id="changeRole",
    response_model=MemberOut,
    responses=problems(403, 404, 409),
    summary="Change a member's role",
)
async def change_role(
    member_id: str, body: RoleIn, request: Request, given: Given, who: Admin, *, validate_only: ValidateOnly = False
) -> MemberOut:
    """Make somebody an admin or a member; the last admin stays one."""
    request.state.audit_detail = {"role": body.role}
    return member_out(await given.identity.members.set_role(who, member_id, Role(body.role), rehearse=validate_only))


@router.delete(
    "/members/{member_id}",
    status_code=204,
    operation_id="removeMember",
    responses={**problems(403, 404, 409), **previewed(DoneOut)},
    summary="Remove a member, or withdraw an invitation",
)
async def remove(member_id: str, given: Given, who: Admin, *, validate_only: ValidateOnly = False) -> Response:
    """Remove somebody, and end all their keys and sign-ins here."""
    await given.identity.members.remove(who, member_id, rehearse=validate_only)
    return _written(DoneOut(success=True)) if validate_only else Response(status_code=204)


@router.get(
    "/audit",
    operation_id="listAudit",
    response_model=AuditOut,
    responses=problems(403),
    summary="Read the audit",
)
async def audit(
    given: Given, who: Admin, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None, action: Action = None
) -> dict[str, Any]:
    """Return every change that was asked for, newest first."""
    bound_to = ("audit", who.tenant_id, action)
    after = given.cursors.read(cursor, bound_to=bound_to)
    page = await given.identity.audit.entries(who, action=action, limit=page_size(limit), after=after)
    return given.cursors.page(page, audit_entry_out, bound_to=bound_to)


@router.get(
    "/tenant", operation_id="getTenant", response_model=TenantOut, responses=problems(), summary="Read the tenant"
)
async def show(given: Given, who: Who) -> TenantOut:
    """Return which tenant this is, and as what one asks."""
    return TenantOut(id=who.tenant_id, name=await given.identity.tenant.name(who), role=who.role)


@router.get(
    "/tenant/export",
    operation_id="exportTenant",
    response_class=StreamingResponse,
    responses={**problems(403), 200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
    summary="Export everything of the tenant",
)
async def export(given: Given, who: Admin) -> StreamingResponse:
    """Stream every row as one line of JSON. Secrets are null; values of keys are not there at all."""
    name = f'attachment; filename="{who.tenant_id}.ndjson"'
    headers = {"Content-Disposition": name, "Cache-Control": "no-store"}
    return StreamingResponse(_lines(given, who), media_type="application/x-ndjson", headers=headers)


@router.delete(
    "/tenant",
    status_code=202,
    operation_id="deleteTenant",
    response_model=dict[str, str],
    responses={**problems(403), **previewed(TenantOut)},
    summary="Delete the tenant",
)
async def delete(
    given: Given, who: Admin, confirm: Confirm, *, validate_only: ValidateOnly = False
) -> dict[str, str] | Response:
    """End every key, sign-in and job of the tenant at once; its rows are removed within the hour."""
    if confirm != await given.identity.tenant.name(who):
        raise invalid("?confirm", "not_confirmed", "confirm must be the tenant's name, as GET /api/v1/tenant has it.")
    if validate_only:
        return _written(await show(given, who))
    await given.identity.tenant.delete(who)
    return {"status": "deleting"}


def _written(out: Wire) -> Response:
    """Return what a rehearsal answers."""
    return Response(out.model_dump_json(by_alias=True), media_type="application/json", headers=NO_STORE)


async def _lines(given: Services, who: Principal) -> AsyncIterator[bytes]:
    async for row in given.identity.tenant.export(who):
        named = {name if name == "type" else to_camel(name): value for name, value in row.items()}
        yield json.dumps(named, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
