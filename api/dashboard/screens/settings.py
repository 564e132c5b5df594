"""Settings: the tenant and its switch; its members; who is told of trouble; what was used; who changed what."""

from datetime import timedelta
from typing import Annotated

from fastapi import Query, Response

from api.dashboard.drawing.usage import days_of
from api.dashboard.fields import DAY_MS, number, read, text, ticked
from api.dashboard.shell import Administering, Form, View, Viewing, page_router
from api.paging import Cursor
from api.routes import flags as flag_routes
from api.routes import members as member_routes
from api.schemas.channels import EVENTS, ChannelIn, channel_out, notice_out
from api.schemas.identity import InviteIn, NewInvitationOut, RoleIn
from core.identity import Role
from core.modes import PLANNER

SHOWN, SHOWN_NOTICES = 50, 20
USAGE = timedelta(days=30)
MODES = [("on", "on: within each job's grants"), ("shadow", "shadow: on paper only"), ("off", "off: baselines alone")]
ROLES = [("member", "member"), ("admin", "admin")]

router = page_router()


@router.get("/settings")
async def index(view: Viewing) -> Response:
    """Show the tenant, and its switch of planning with who turned it and why."""
    given, who = view.given, view.who
    changes = await given.flags.changes(who.tenant_id, limit=SHOWN)
    return view.page(
        "settings.html",
        active="Settings",
        section="planning",
        tenant=await given.identity.tenant.name(who),
        flags=(await flag_routes.index(given, who)).data,
        changes=[each for each in changes if each.name == PLANNER],
        modes=MODES,
        people=await _people(view),
    )


@router.post("/settings/planning", operation_id="turnFlag")
async def turn(view: Administering, fields: Form) -> Response:
    """Turn the tenant's switch."""
    value = fields.get("value", "")
    view.request.state.audit_detail = {"name": PLANNER, "value": value[:40]}
    await view.given.switches.turn(view.who.tenant_id, value, by=view.who.user_id, reason=text(fields, "reason"))
    return view.go("/settings", done="saved")


@router.get("/settings/members")
async def members(view: Administering) -> Response:
    """Show members and open invitations."""
    return await _members(view)


@router.post("/settings/members", operation_id="inviteMember")
async def invite(view: Administering, fields: Form) -> Response:
    """Open an invitation. The address that accepts it stands on the page that answers, and nowhere else."""
    days = number(fields, "days", "The lifetime in days")
    wanted = {"role": fields.get("role"), "note": text(fields, "note"), "expiresInMs": days and days * DAY_MS}
    made = await member_routes.invite(read(InviteIn, wanted), view.request, Response(), view.given, view.who)
    return await _members(view, made if isinstance(made, NewInvitationOut) else None, status=201)


@router.post("/settings/members/{member_id}/role", operation_id="changeRole")
async def change_role(member_id: str, view: Administering, fields: Form) -> Response:
    """Make somebody an admin or a member."""
    body = read(RoleIn, {"role": fields.get("role")})
    await member_routes.change_role(member_id, body, view.request, view.given, view.who)
    return view.go("/settings/members", done="saved")


@router.post("/settings/members/{member_id}/remove", operation_id="removeMember")
async def remove(member_id: str, view: Administering) -> Response:
    """Remove a member with all their keys and sign-ins, or withdraw an invitation."""
    await view.given.identity.members.remove(view.who, member_id)
    return view.go("/settings/members", done="deleted")


@router.get("/settings/channels")
async def channels(view: Viewing, cursor: Cursor = None) -> Response:
    """Show the channels, and what was told on them."""
    given, tenant = view.given, view.who.tenant_id
    bound_to = ("notices page", tenant)
    after = given.cursors.read(cursor, bound_to=bound_to)
    found = await given.channels.kept.channels(tenant)
    page = await given.channels.kept.notices(tenant, channel_id=None, limit=SHOWN_NOTICES, after=after)
    return view.page(
        "settings_channels.html",
        active="Settings",
        section="channels",
        channels=[channel_out(each) for each in found],
        notices=[notice_out(each) for each in page.items],
        next_cursor=given.cursors.page(page, str, bound_to=bound_to)["nextCursor"],
        events=EVENTS,
        names={each.id: each.name for each in found},
        has_mail=given.channels.has_mail,
    )


@router.post("/settings/channels", operation_id="createChannel")
async def add_channel(view: Viewing, fields: Form) -> Response:
    """Be told on it of what goes wrong from now on."""
    wanted = {
        "name": text(fields, "name"),
        "kind": fields.get("kind"),
        "address": text(fields, "address"),
        "events": ticked(fields, "event-"),
        "failureStreak": number(fields, "streak", "The number of failures in a row"),
    }
    await view.given.channels.add(view.who.tenant_id, read(ChannelIn, wanted).draft())
    return view.go("/settings/channels", done="created")


@router.post("/settings/channels/{channel_id}/test", operation_id="testChannel")
async def test_channel(channel_id: str, view: Viewing) -> Response:
    """Send a notice through it."""
    await view.given.channels.test(view.who.tenant_id, channel_id)
    return view.go("/settings/channels", done="told")


@router.post("/settings/channels/{channel_id}/remove", operation_id="deleteChannel")
async def remove_channel(channel_id: str, view: Viewing) -> Response:
    """Remove it with its notices."""
    await view.given.channels.kept.remove_channel(view.who.tenant_id, channel_id)
    return view.go("/settings/channels", done="deleted")


@router.get("/settings/usage")
async def usage(view: Viewing) -> Response:
    """Show what was used, day by day."""
    used = await view.given.usage.days(view.who.tenant_id, view.now - USAGE, view.now)
    days = days_of(used)
    return view.page("settings_usage.html", active="Settings", section="usage", days=days)


@router.get("/settings/audit")
async def audit(
    view: Administering, action: Annotated[str | None, Query(max_length=100)] = None, cursor: Cursor = None
) -> Response:
    """Show every change that was asked for."""
    bound_to = ("audit page", view.who.tenant_id, action)
    after = view.given.cursors.read(cursor, bound_to=bound_to)
    entries = view.given.identity.audit.entries(view.who, action=action or None, limit=SHOWN, after=after)
    page = await entries
    return view.page(
        "settings_audit.html",
        active="Settings",
        section="audit",
        entries=page.items,
        next_cursor=view.given.cursors.page(page, str, bound_to=bound_to)["nextCursor"],
        people=await _people(view),
        asked={"action": action or ""},
    )


async def _members(view: View, made: NewInvitationOut | None = None, *, status: int = 200) -> Response:
    found, invitations = await view.given.identity.members.list(view.who)
    return view.page(
        "settings_members.html",
        active="Settings",
        status=status,
        section="members",
        members=found,
        invitations=invitations,
        people={each.id: each.name for each in found},
        made=made,
        roles=ROLES,
        admin=Role.ADMIN,
    )


async def _people(view: View) -> dict[str, str]:
    """Return members' names by id, to admins; others see ids."""
    if not view.who.is_admin:
        return {}
    return {each.id: each.name for each in (await view.given.identity.members.list(view.who))[0]}
