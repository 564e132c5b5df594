"""The secrets that a tenant's outgoing requests are signed with; admins only."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Body, Response
from pydantic import Field

from api.acting import NO_STORE, ValidateOnly
from api.auth import Admin, Given
from api.idempotency import ONCE_FOR_ADMINS, SHOWN_ONCE
from api.routes.documented import CHANGING, previewed, problems
from api.wire import MS, Instant, Wire
from core.ports.signing import OVERLAP, SigningSecret

router = APIRouter(tags=["signing"])

LONGEST_OVERLAP = timedelta(days=30)


class RotateIn(Wire):
    """For how long the former secret goes on signing beside the new one; a day unless given, 0 for not at all."""

    overlap_ms: Annotated[int, Field(strict=True, ge=0, le=LONGEST_OVERLAP // MS)] = OVERLAP // MS


class SecretOut(Wire):
    """A secret in force, without its value. `expiresAt` null: it signs until it is replaced or ended."""

    id: str
    created_at: Instant
    expires_at: Instant | None


class NewSecretOut(SecretOut):
    """A new secret. Its value is shown this once."""

    secret: str


class SecretsOut(Wire):
    """The secrets in force, newest first, two at the most."""

    data: list[SecretOut]
    next_cursor: None = None


@router.get(
    "/signing-secrets",
    operation_id="listSigningSecrets",
    response_model=SecretsOut,
    responses=problems(403),
    summary="List the signing secrets in force",
)
async def index(given: Given, who: Admin) -> SecretsOut:
    """Return them without their values. None: requests go unsigned."""
    return SecretsOut(data=[_out(each) for each in await given.signing.listed(who.tenant_id)])


@router.post(
    "/signing-secrets",
    operation_id="rotateSigningSecret",
    status_code=201,
    response_model=NewSecretOut,
    responses={**problems(403, 413, 415, *CHANGING), **previewed(SecretsOut)},
    summary="Make a new signing secret",
    dependencies=[*ONCE_FOR_ADMINS, SHOWN_ONCE],
)
async def rotate(
    given: Given,
    who: Admin,
    response: Response,
    validate_only: ValidateOnly = False,
    body: Annotated[RotateIn | None, Body(openapi_examples={"default": {"value": {"overlapMs": 86400000}}})] = None,
) -> NewSecretOut | Response:
    """Sign with a new secret from now on, and with the former one too while targets take over the new one."""
    if validate_only:
        return Response((await index(given, who)).model_dump_json(by_alias=True), media_type="application/json")
    overlap = (body or RotateIn()).overlap_ms * MS
    made, value = await given.signing.rotate(who.tenant_id, overlap=overlap)
    response.headers.update({**NO_STORE, "Location": "/api/v1/signing-secrets"})
    return NewSecretOut(**_out(made).model_dump(), secret=value)


@router.delete(
    "/signing-secrets/{secret_id}",
    operation_id="endSigningSecret",
    status_code=204,
    responses={**problems(403, 404), **previewed(SecretsOut)},
    summary="End a signing secret",
)
async def end(secret_id: str, given: Given, who: Admin, validate_only: ValidateOnly = False) -> Response:
    """End it at once: workers stop signing with it within ten seconds."""
    if validate_only:
        return Response((await index(given, who)).model_dump_json(by_alias=True), media_type="application/json")
    await given.signing.end(who.tenant_id, secret_id)
    return Response(status_code=204)


def _out(secret: SigningSecret) -> SecretOut:
    return SecretOut(id=secret.id, created_at=secret.created_at, expires_at=secret.expires_at)
