"""Who is asking, and whether they may. One dependency resolves both credentials; each change leaves a record."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, Request, Response

from api.problems import Problem, status_of
from api.services import Services
from core.identity import Scope
from core.ports.accounts import Principal

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
SIGN_IN_SECONDS = 30 * 24 * 3600  # of the cookie; the sign-in itself may end sooner


def services(request: Request) -> Services:
    """Return what the wiring handed in."""
    found: Services = request.app.state.services
    return found


Given = Annotated[Services, Depends(services)]


def presented_key(request: Request) -> str | None:
    """Return the API key of a request: `x-api-key`, `Authorization: Bearer KEY` or `Authorization: x-api-key KEY`."""
    key = request.headers.get("x-api-key")
    if key is not None:
        return key.strip()
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() in ("bearer", "x-api-key") else None


def cookie_name(given: Services, name: str) -> str:
    """Return a cookie's name. `__Host-` binds it to this host and to TLS; on plain HTTP browsers refuse that."""
    return f"__Host-rubato_{name}" if given.identity.is_secure else f"rubato_{name}"


def set_cookie(response: Response, given: Services, name: str, value: str, *, seconds: int) -> None:
    """Set a cookie that scripts cannot read and other sites' requests do not carry, but for links to us."""
    response.set_cookie(
        cookie_name(given, name),
        value,
        max_age=seconds,
        path="/",
        secure=given.identity.is_secure,
        httponly=True,
        samesite="lax",
    )


def session_token(request: Request, given: Services) -> str | None:
    """Return the token of the sign-in's cookie."""
    return request.cookies.get(cookie_name(given, "session"))


async def caller(request: Request, given: Given) -> Principal:
    """Return who is asking, or answer 401 without saying what was wrong.

    An explicit key goes first, and a bad one is never made good by a cookie. From here on the request sees the rows of
    its own tenant only.
    """
    key = presented_key(request)
    if key is not None:
        who = await given.accounts.authenticate(key) if key else None
    else:
        token = session_token(request, given)
        who = await given.identity.sign_ins.resolve(token) if token else None
        if who is not None:
            check_origin(request, given)
    if who is None:
        detail = "Send a valid API key in the x-api-key header, or as Authorization: Bearer KEY; or sign in."
        raise Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="rubato"'})
    given.identity.act_for(who.tenant_id)
    return who


def check_origin(request: Request, given: Services) -> None:
    """Answer 403 to a change that a browser was led to by another site: cookies travel by themselves, keys do not.

    Origins that the operator lets in by RUBATO_CORS_ORIGINS are ours too.
    """
    if request.method in SAFE:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin", "")
    is_ours = site == "same-origin" if site is not None else origin == given.identity.origin
    if not is_ours and origin not in given.cors_origins:
        raise Problem(403, "cross_site", "Changes with a sign-in must come from this site's own pages.")


Caller = Annotated[Principal, Depends(caller)]


async def principal(request: Request, given: Given, who: Caller) -> AsyncIterator[Principal]:
    """Let whoever may read or write jobs through."""
    require(who, Scope.JOBS_READ if request.method in SAFE else Scope.JOBS_WRITE)
    async with recorded(request, given, who):
        yield who


async def key_holder(request: Request, given: Given, who: Caller) -> AsyncIterator[Principal]:
    """Let persons through, and keys that may make keys."""
    require(who, Scope.KEYS_WRITE)
    async with recorded(request, given, who):
        yield who


async def administrator(request: Request, given: Given, who: Caller) -> AsyncIterator[Principal]:
    """Let admins through, and their keys with the scope `admin`."""
    if not who.is_admin:
        raise Problem(403, "admins_only", "This is for the tenant's admins, and for their keys with the scope admin.")
    async with recorded(request, given, who):
        yield who


def require(who: Principal, scope: Scope) -> None:
    """Answer 403 to a key without this scope."""
    if scope not in who.scopes:
        raise Problem(403, "scope_missing", f"This key lacks the scope {scope}.")


@asynccontextmanager
async def recorded(request: Request, given: Services, who: Principal) -> AsyncIterator[None]:
    """Record a change before it is carried out, and then how it was answered: nothing is changed without a trace."""
    if request.method in SAFE:
        yield
        return
    audit, request.state.audit_detail = given.identity.audit, {}
    action = getattr(request.scope.get("route"), "operation_id", None) or request.method
    subject = {name: str(value)[:100] for name, value in request.path_params.items()}
    entry = await audit.open(who, given.clock.now(), action, subject, request.state.request_id)
    try:
        yield
    except Exception as error:
        await audit.close(who, entry, status=status_of(error), detail=request.state.audit_detail)
        raise
    status = getattr(request.state, "refused_with", 200)  # a page's error is told before it comes here
    await audit.close(who, entry, status=status, detail=request.state.audit_detail)


Who = Annotated[Principal, Depends(principal, scope="function")]
KeyHolder = Annotated[Principal, Depends(key_holder, scope="function")]
Admin = Annotated[Principal, Depends(administrator, scope="function")]
