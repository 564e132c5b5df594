"""Is it alive, is it ready, how is it doing."""

from ipaddress import ip_address

from fastapi import APIRouter, Request, Response

from api.auth import Given, presented_key, require
from api.problems import Problem
from api.routes.documented import problem
from api.wire import Instant, Wire
from core.errors import Unavailable
from core.identity import Scope

router = APIRouter(tags=["health"])
root = APIRouter(tags=["health"])


class HealthOut(Wire):
    """The service answers."""

    status: str
    timestamp: Instant


@router.get("/health", operation_id="getHealth", response_model=HealthOut, summary="Is the service up?")
async def health(given: Given) -> HealthOut:
    """Answer without authentication and without the database."""
    return HealthOut(status="ok", timestamp=given.clock.now())


@root.get("/livez", operation_id="livez", summary="Is the process alive?", response_model=dict[str, str])
async def livez() -> dict[str, str]:
    """Answer as long as the process can."""
    return {"status": "ok"}


@root.get(
    "/readyz",
    operation_id="readyz",
    summary="Can it serve?",
    response_model=dict[str, str],
    responses={503: problem(503)},
)
async def readyz(given: Given) -> dict[str, str]:
    """Ask the database."""
    try:
        await given.store.now()
    except Unavailable:
        raise Problem(503, "not_ready", "The database does not answer.", headers={"Retry-After": "2"}) from None
    return {"status": "ok"}


@root.get(
    "/metrics",
    operation_id="metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={401: problem(401), 403: problem(403)},
)
async def metrics(request: Request, given: Given) -> Response:
    """Answer whoever asks from loopback; elsewhere a key is needed, unless RUBATO_METRICS_PUBLIC is on."""
    if not given.metrics_public and not _from_loopback(request):
        key = presented_key(request)
        who = await given.accounts.authenticate(key) if key else None
        if who is None:
            detail = "Metrics are open on loopback only; send an API key with the scope metrics:read."
            raise Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="rubato"'})
        require(who, Scope.METRICS_READ)
    body, media_type = await given.metrics()
    return Response(body, media_type=media_type)


def _from_loopback(request: Request) -> bool:
    try:
        return request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False
