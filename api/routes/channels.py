"""Channels: where a tenant is told of what goes wrong; and notices: what was told."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from api.acting import ValidateOnly
from api.auth import Given, Who
from api.idempotency import ONCE
from api.paging import DEFAULT_LIMIT, Cursor, Limit, Listed, page_size
from api.routes.documented import CHANGING, previewed, problems
from api.schemas.channels import ChannelIn, ChannelOut, NoticeOut, channel_out, notice_out

router = APIRouter(tags=["notices"])


class ChannelsOut(Listed[ChannelOut]):
    """Channels."""


class NoticesOut(Listed[NoticeOut]):
    """A page of notices."""


EXAMPLE = {"name": "On call", "kind": "webhook", "address": "https://hooks.example.com/rubato", "failureStreak": 5}
ChannelBody = Annotated[ChannelIn, Body(openapi_examples={"webhook": {"value": EXAMPLE}})]


@router.get(
    "/channels", operation_id="listChannels", responses=problems(), response_model=ChannelsOut, summary="List channels"
)
async def index(given: Given, who: Who) -> dict[str, Any]:
    """Return the tenant's channels, oldest first; there are few."""
    found = await given.channels.kept.channels(who.tenant_id)
    return {"data": [channel_out(each) for each in found], "nextCursor": None}


@router.post(
    "/channels",
    dependencies=ONCE,
    operation_id="createChannel",
    status_code=201,
    response_model=ChannelOut,
    responses={**problems(404, 409, 413, 415, *CHANGING), **previewed(ChannelOut)},
    summary="Add a channel",
)
async def create(
    body: ChannelBody, given: Given, who: Who, response: Response, validate_only: ValidateOnly = False
) -> ChannelOut:
    """Be told on it of what goes wrong from now on."""
    if validate_only:
        response.status_code = 200
        return channel_out(await given.channels.rehearse(who.tenant_id, body.draft()))
    channel = await given.channels.add(who.tenant_id, body.draft())
    response.headers["Location"] = f"/api/v1/channels/{channel.id}"
    return channel_out(channel)


@router.get(
    "/channels/{channel_id}",
    operation_id="getChannel",
    response_model=ChannelOut,
    responses=problems(404),
    summary="Read a channel",
)
async def read(channel_id: str, given: Given, who: Who) -> ChannelOut:
    """Return one channel."""
    return channel_out(await given.channels.kept.channel(who.tenant_id, channel_id))


@router.delete(
    "/channels/{channel_id}",
    operation_id="deleteChannel",
    status_code=204,
    response_model=None,
    responses={**problems(404), **previewed(ChannelOut)},
    summary="Remove a channel",
)
async def remove(channel_id: str, given: Given, who: Who, validate_only: ValidateOnly = False) -> Response:
    """Remove it with its notices; what was not delivered is dropped."""
    if validate_only:
        found = await read(channel_id, given, who)
        return Response(found.model_dump_json(by_alias=True), media_type="application/json")
    await given.channels.kept.remove_channel(who.tenant_id, channel_id)
    return Response(status_code=204)


@router.post(
    "/channels/{channel_id}/test",
    dependencies=ONCE,
    operation_id="testChannel",
    status_code=202,
    response_model=NoticeOut,
    responses={**problems(404, *CHANGING), **previewed(ChannelOut)},
    summary="Send a test",
)
async def try_out(channel_id: str, given: Given, who: Who, validate_only: ValidateOnly = False) -> NoticeOut | Response:
    """Send a notice through it; a worker delivers it, and `GET /notices` says how it went."""
    if validate_only:
        found = await read(channel_id, given, who)
        return Response(found.model_dump_json(by_alias=True), media_type="application/json")
    return notice_out(await given.channels.test(who.tenant_id, channel_id))


@router.get(
    "/notices", operation_id="listNotices", responses=problems(), response_model=NoticesOut, summary="List notices"
)
async def notices(
    given: Given, who: Who, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None, channel: str | None = None
) -> dict[str, Any]:
    """Return what was told or is to be told, newest first."""
    bound_to = ("notices", who.tenant_id, channel)
    page = await given.channels.kept.notices(
        who.tenant_id,
        channel_id=channel,
        limit=page_size(limit),
        after=given.cursors.read(cursor, bound_to=bound_to),
    )
    return given.cursors.page(page, notice_out, bound_to=bound_to)
