"""Who looks at a page: whoever signed in; on `rubato dev`, also whoever sits at this machine (docs/adr/0040)."""

from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends, Request

from api.auth import SAFE, Given, check_origin, recorded, require, session_token
from api.problems import Problem
from api.services import Services
from core.identity import Scope
from core.ports.accounts import Principal

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


async def visitor(request: Request, given: Given) -> Principal:
    """Return who looks, or answer 401, which the page's route turns into the way to the sign-in.

    From here on the request sees the rows of the visitor's own tenant only. Changes must come from our own pages.
    """
    token = session_token(request, given)
    who = await given.identity.sign_ins.resolve(token) if token else None
    who = who or neighbour(request, given)
    if who is None:
        raise Problem(401, "unauthenticated", "Sign in to see this page.")
    check_origin(request, given)
    given.identity.act_for(who.tenant_id)
    return who


Visitor = Annotated[Principal, Depends(visitor)]


def neighbour(request: Request, given: Services) -> Principal | None:
    """Return the owner of this installation for somebody on this machine, on `rubato dev`.

    A foreign Host is a page of another site whose name was rebound to this machine: it is nobody.
    """
    host = request.headers.get("host", "")
    name = "[::1]" if "]" in host else host.rsplit(":", 1)[0]
    try:
        is_local = request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        is_local = False
    return given.local_owner if is_local and name in _LOCAL_NAMES else None


async def member(request: Request, given: Given, who: Visitor) -> AsyncIterator[Principal]:
    """Let whoever may read or write jobs through; changes are recorded."""
    require(who, Scope.JOBS_READ if request.method in SAFE else Scope.JOBS_WRITE)
    async with recorded(request, given, who):
        yield who


async def administrator(request: Request, given: Given, who: Visitor) -> AsyncIterator[Principal]:
    """Let the tenant's admins through; changes are recorded."""
    if not who.is_admin:
        raise Problem(403, "admins_only", "This page is for the tenant's admins.")
    async with recorded(request, given, who):
        yield who


Member = Annotated[Principal, Depends(member, scope="function")]
Administrator = Annotated[Principal, Depends(administrator, scope="function")]
