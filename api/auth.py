"""Who is asking. One dependency for every protected route; an explicit key is the only credential for now."""

from typing import Annotated

from fastapi import Depends, Request

from api.problems import Problem
from api.services import Services
from core.ports.accounts import Principal


def services(request: Request) -> Services:
    """Return what the wiring handed in."""
    found: Services = request.app.state.services
    return found


def presented_key(request: Request) -> str | None:
    """Return the API key of a request: `x-api-key`, `Authorization: Bearer KEY` or `Authorization: x-api-key KEY`."""
    key = request.headers.get("x-api-key")
    if key is not None:
        return key.strip()
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() in ("bearer", "x-api-key") else None


async def principal(request: Request, given: Annotated[Services, Depends(services)]) -> Principal:
    """Return who is asking, or answer 401 without saying what was wrong."""
    key = presented_key(request)
    who = await given.accounts.authenticate(key) if key else None
    if who is None:
        detail = "Send a valid API key in the x-api-key header, or as Authorization: Bearer KEY."
        raise Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="rubato"'})
    return who


Given = Annotated[Services, Depends(services)]
Who = Annotated[Principal, Depends(principal)]


def require_admin(who: Principal) -> None:
    """Answer 403 unless the one who asks is an admin of its tenant."""
    if who.role != "admin":
        raise Problem(403, "forbidden", "Only an admin of the tenant may do this; ask one.")


async def admin(who: Who) -> Principal:
    """Return who is asking, or answer 403 unless it is an admin."""
    require_admin(who)
    return who


Admin = Annotated[Principal, Depends(admin)]
