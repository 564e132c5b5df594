"""API keys: made, listed, changed, rotated and ended by whoever they belong to, and by admins."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Request, Response

from api.acting import NO_STORE, ValidateOnly
from api.auth import Given, KeyHolder
from api.idempotency import ONCE_FOR_KEY_HOLDERS, SHOWN_ONCE
from api.routes.documented import CHANGING, previewed, problems
from api.schemas.identity import (
    DoneOut,
    KeyIn,
    KeyOut,
    KeyRefIn,
    KeyRotateIn,
    KeyUpdateIn,
    NewKeyOut,
    key_out,
    new_key_out,
)
from core.identity import ApiKey

router = APIRouter(tags=["keys"])

KeyBody = Annotated[KeyIn | None, Body(openapi_examples={"ci": {"value": {"name": "ci", "scopes": ["jobs:write"]}}})]
KeyId = Annotated[str, Query(alias="id", min_length=1, max_length=100, description="The key's id.")]


@router.post(
    "/api-key/create",
    status_code=201,
    operation_id="createApiKey",
    response_model=NewKeyOut,
    responses={**problems(403, *CHANGING), **previewed(KeyOut)},
    summary="Make a key",
    dependencies=[*ONCE_FOR_KEY_HOLDERS, SHOWN_ONCE],
)
async def create(
    request: Request,
    response: Response,
    given: Given,
    who: KeyHolder,
    body: KeyBody = None,
    *,
    validate_only: ValidateOnly = False,
) -> NewKeyOut | Response:
    """Make a key for whoever asks; its value is in this answer and nowhere else."""
    draft = (body or KeyIn()).draft()
    made = await given.identity.keys.create(who, draft, rehearse=validate_only)
    if validate_only:
        return _rehearsed(made.key)
    request.state.audit_detail = {"keyId": made.key.id, "scopes": sorted(made.key.scopes)}
    response.headers["Location"] = f"/api/auth/api-key/get?id={made.key.id}"
    response.headers["Cache-Control"] = "no-store"
    return new_key_out(made.key, made.value)


@router.get(
    "/api-key/list",
    operation_id="listApiKeys",
    response_model=list[KeyOut],
    responses=problems(403),
    summary="List keys",
)
async def index(given: Given, who: KeyHolder) -> list[KeyOut]:
    """Return one's own keys, an admin the tenant's, newest first."""
    return [key_out(key) for key in await given.identity.keys.list(who)]


@router.get(
    "/api-key/get", operation_id="getApiKey", response_model=KeyOut, responses=problems(403, 404), summary="Read a key"
)
async def show(key_id: KeyId, given: Given, who: KeyHolder) -> KeyOut:
    """Return one key without its value."""
    return key_out(await given.identity.keys.get(who, key_id))


@router.post(
    "/api-key/update",
    operation_id="updateApiKey",
    response_model=KeyOut,
    responses=problems(403, 404, *CHANGING),
    summary="Change a key",
    dependencies=ONCE_FOR_KEY_HOLDERS,
)
async def update(
    body: KeyUpdateIn, request: Request, given: Given, who: KeyHolder, *, validate_only: ValidateOnly = False
) -> KeyOut:
    """Change what is named; `expiresIn` counts from now, and null takes it away."""
    request.state.audit_detail = {"keyId": body.key_id, "changed": sorted(body.changes())}
    return key_out(await given.identity.keys.update(who, body.key_id, body.changes(), rehearse=validate_only))


@router.post(
    "/api-key/rotate",
    status_code=201,
    operation_id="rotateApiKey",
    response_model=NewKeyOut,
    responses={**problems(403, 404, *CHANGING), **previewed(KeyOut)},
    summary="Replace a key",
    dependencies=[*ONCE_FOR_KEY_HOLDERS, SHOWN_ONCE],
)
async def rotate(
    body: KeyRotateIn,
    request: Request,
    response: Response,
    given: Given,
    who: KeyHolder,
    *,
    validate_only: ValidateOnly = False,
) -> NewKeyOut | Response:
    """Make a key like this one, which goes on working for `overlapMs` more."""
    overlap_s = (body.overlap_ms or 0) // 1000
    made = await given.identity.keys.rotate(who, body.key_id, overlap_s=overlap_s, rehearse=validate_only)
    if validate_only:
        return _rehearsed(made.key)
    request.state.audit_detail = {"keyId": body.key_id, "newKeyId": made.key.id}
    response.headers["Location"] = f"/api/auth/api-key/get?id={made.key.id}"
    response.headers["Cache-Control"] = "no-store"
    return new_key_out(made.key, made.value)


@router.post(
    "/api-key/delete",
    operation_id="deleteApiKey",
    response_model=DoneOut,
    responses=problems(403, 404, *CHANGING),
    summary="End a key",
    dependencies=ONCE_FOR_KEY_HOLDERS,
)
async def delete(
    body: KeyRefIn, request: Request, given: Given, who: KeyHolder, *, validate_only: ValidateOnly = False
) -> DoneOut:
    """End a key at once."""
    request.state.audit_detail = {"keyId": body.key_id}
    await given.identity.keys.revoke(who, body.key_id, rehearse=validate_only)
    return DoneOut(success=True)


def _rehearsed(key: ApiKey) -> Response:
    """Return a key as it would be; there is no value, since there is no key."""
    return Response(key_out(key).model_dump_json(by_alias=True), media_type="application/json", headers=NO_STORE)
