"""The application factory."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from api import problems
from api.dashboard import installing as dashboard
from api.document import complete
from api.guards import ADMIN_PREFIX, AUTH_PREFIX, PREFIX, RequestGate, check_request
from api.idempotency import KeepReplies, Replay, on_replay
from api.limiting import LIMITED
from api.reference import pages
from api.request_log import RequestLog
from api.routes import (
    bulk,
    channels,
    cron,
    decisions,
    events,
    flags,
    health,
    hints,
    jobs,
    keys,
    members,
    quota,
    rules,
    runs,
    sessions,
    sign_in,
    signing,
    usage,
)
from api.services import Services

_WITHOUT_CREDENTIALS = (
    f"{PREFIX}/health",
    *(f"{AUTH_PREFIX}/{name}" for name in ("sign-in/", "callback/", "sign-out")),
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(services: Services, *, lifespan: Lifespan | None = None) -> FastAPI:
    """Return the API over these services, and its dashboard."""
    app = FastAPI(
        title="Rubato",
        version=_version(),
        summary="An adaptive scheduler for HTTP jobs.",
        description="A planner proposes, a governor disposes; every decision is explained.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        dependencies=[Depends(check_request)],
        lifespan=lifespan or _nothing,
        responses={},
        separate_input_output_schemas=False,
    )
    app.state.services = services
    problems.install(app)
    app.add_exception_handler(Replay, on_replay)
    of_tenants = (
        bulk,
        jobs,
        runs,
        hints,
        rules,
        decisions,
        sessions,
        quota,
        usage,
        signing,
        flags,
        channels,
        members,
        events,
    )
    for routes in of_tenants:
        app.include_router(routes.router, prefix=PREFIX, dependencies=LIMITED)
    app.include_router(cron.router, prefix=ADMIN_PREFIX, dependencies=LIMITED)
    app.include_router(health.router, prefix=PREFIX)
    app.include_router(keys.router, prefix=AUTH_PREFIX, dependencies=LIMITED)
    app.include_router(sign_in.router, prefix=AUTH_PREFIX)
    app.include_router(health.root)
    pages.install(app)
    dashboard.install(app)
    if services.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(services.cors_origins),
            allow_credentials=True,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["content-type", "x-api-key", "authorization", "idempotency-key", "if-match"],
            expose_headers=["etag", "location", "retry-after", "ratelimit", "ratelimit-policy", "x-request-id"],
        )
    app.add_middleware(KeepReplies)
    app.add_middleware(RequestLog)
    app.add_middleware(RequestGate, observe=services.observe)
    complete(app, protected=(PREFIX, AUTH_PREFIX, ADMIN_PREFIX), public=_WITHOUT_CREDENTIALS)
    return app


@asynccontextmanager
async def _nothing(app: FastAPI) -> AsyncIterator[None]:
    yield


def _version() -> str:
    try:
        return version("rubato-scheduler")
    except PackageNotFoundError:
        return "0.0.0"
