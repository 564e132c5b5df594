"""The application factory."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from api import problems
from api.dashboard import page
from api.guards import AUTH_PREFIX, PREFIX, RequestGate, check_request
from api.routes import decisions, flags, health, hints, jobs, keys, members, quota, rules, runs, sessions, sign_in
from api.services import Services

_WITHOUT_CREDENTIALS = (
    f"{PREFIX}/health",
    *(f"{AUTH_PREFIX}/{name}" for name in ("sign-in/", "callback/", "sign-out")),
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(services: Services, *, lifespan: Lifespan | None = None) -> FastAPI:
    """Return the API over these services; with `anonymous_tenant` set, the page too."""
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
    for routes in (jobs, runs, hints, rules, decisions, sessions, quota, flags, members, health):
        app.include_router(routes.router, prefix=PREFIX)
    for routes in (keys, sign_in):
        app.include_router(routes.router, prefix=AUTH_PREFIX)
    app.include_router(health.root)
    if services.anonymous_tenant is not None:
        page.install(app)
    if services.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(services.cors_origins),
            allow_credentials=True,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["content-type", "x-api-key", "authorization", "idempotency-key", "if-match"],
        )
    app.add_middleware(RequestGate, observe=services.observe)
    _describe_security(app)
    return app


@asynccontextmanager
async def _nothing(app: FastAPI) -> AsyncIterator[None]:
    yield


def _describe_security(app: FastAPI) -> None:
    """Name the credentials in the OpenAPI document; `api.auth` is what checks them."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["apiKey"] = {"type": "apiKey", "in": "header", "name": "x-api-key"}
        schemes["bearer"] = {"type": "http", "scheme": "bearer"}
        schemes["signIn"] = {"type": "apiKey", "in": "cookie", "name": "__Host-rubato_session"}
        for path, operations in document["paths"].items():
            public = not path.startswith((PREFIX, AUTH_PREFIX)) or path.startswith(_WITHOUT_CREDENTIALS)
            for operation in operations.values():
                operation["security"] = [] if public else [{"apiKey": []}, {"bearer": []}, {"signIn": []}]
                operation.get("responses", {}).pop("422", None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _version() -> str:
    try:
        return version("rubato-scheduler")
    except PackageNotFoundError:
        return "0.0.0"
