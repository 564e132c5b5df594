"""Signing in with GitHub, and out. The state is used once and only by the browser that it was given to."""

import hmac
import re
import secrets
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.auth import SIGN_IN_SECONDS, Caller, Given, check_origin, cookie_name, presented_key, session_token, set_cookie
from api.problems import Problem, invalid
from api.routes.documented import problems
from api.schemas.identity import DoneOut, RedirectOut, SignedInOut, SwitchIn, TenantOut
from api.services import Services
from core.ports.accounts import Provider

ATTEMPT_SECONDS = 600
_HERE = re.compile(r"/(?![/\\])[\w\-./?=&%+~:@]*", re.ASCII)

router = APIRouter(tags=["sign-in"])

Target = Annotated[str, Query(max_length=500, description="Where to go afterwards: a path of this site.")]
Invitation = Annotated[str | None, Query(max_length=100, description="The token of an invitation.")]


@router.get(
    "/sign-in/social/github",
    operation_id="signIn",
    status_code=302,
    response_class=RedirectResponse,
    responses=problems(404),
    summary="Sign in with GitHub",
)
async def begin(given: Given, redirect: Target = "/api/auth/session", invitation: Invitation = None) -> Response:
    """Send the browser to GitHub, with a state that only it can bring back."""
    state, url = await _begin(given, redirect, invitation)
    response = RedirectResponse(url, status_code=302)
    set_cookie(response, given, "state", state, seconds=ATTEMPT_SECONDS)
    return response


@router.post(
    "/sign-in/social/github",
    operation_id="signInByScript",
    response_model=RedirectOut,
    responses=problems(404),
    summary="Sign in with GitHub, from a script",
)
async def begin_by_script(
    response: Response, given: Given, redirect: Target = "/api/auth/session", invitation: Invitation = None
) -> RedirectOut:
    """Return where the script should send the browser."""
    state, url = await _begin(given, redirect, invitation)
    set_cookie(response, given, "state", state, seconds=ATTEMPT_SECONDS)
    return RedirectOut(url=url, redirect=True)


@router.get(
    "/callback/github",
    operation_id="finishSignIn",
    status_code=302,
    response_class=RedirectResponse,
    responses=problems(403, 404, 409),
    summary="Where GitHub sends the browser back to",
)
async def finish(
    request: Request,
    given: Given,
    code: Annotated[str | None, Query(max_length=500)] = None,
    state: Annotated[str | None, Query(max_length=500)] = None,
    error: Annotated[str | None, Query(max_length=500)] = None,
    error_description: Annotated[str | None, Query(max_length=1000)] = None,
    error_uri: Annotated[str | None, Query(max_length=1000)] = None,
) -> Response:
    """Check the state, ask GitHub who it is, and sign them in under a new token."""
    provider = _provider(given)
    held = request.cookies.get(cookie_name(given, "state"))
    if not state or not held or not hmac.compare_digest(held.encode(), state.encode()):
        raise Problem(403, "state_mismatch", "This sign-in was not begun in this browser; begin again.")
    attempt = await given.identity.sign_ins.take(state)
    if attempt is None:
        raise Problem(403, "state_used", "This sign-in was used already or took too long; begin again.")
    verifier, redirect, invitation = attempt
    if error is not None or not code:
        raise Problem(403, "sign_in_refused", "GitHub did not let you sign in; begin again.")
    profile = await provider.profile(code, verifier)
    signed_in = await given.identity.sign_ins.sign_in(
        profile,
        invitation=invitation,
        previous=session_token(request, given),
        request_id=request.state.request_id,
    )
    response = RedirectResponse(redirect, status_code=302, headers={"Cache-Control": "no-store"})
    set_cookie(response, given, "session", signed_in.token, seconds=SIGN_IN_SECONDS)
    set_cookie(response, given, "state", "", seconds=0)
    return response


@router.post("/sign-out", operation_id="signOut", response_model=DoneOut, responses=problems(403), summary="Sign out")
async def sign_out(request: Request, response: Response, given: Given) -> DoneOut:
    """End the sign-in of this browser; without one there is nothing to do."""
    token = session_token(request, given)
    if token is not None:
        check_origin(request, given)
        await given.identity.sign_ins.sign_out(token)
    set_cookie(response, given, "session", "", seconds=0)
    return DoneOut(success=True)


@router.get("/session", operation_id="whoAmI", response_model=SignedInOut, responses=problems(), summary="Who am I?")
async def session(request: Request, response: Response, given: Given, who: Caller) -> SignedInOut:
    """Return who is asking, by key or sign-in."""
    response.headers["Cache-Control"] = "no-store"
    tenants = await given.identity.sign_ins.tenants(who)
    return SignedInOut(
        user_id=who.user_id,
        tenant_id=who.tenant_id,
        role=who.role,
        scopes=sorted(who.scopes),
        via="sign_in" if who.key_id is None else "api_key",
        tenants=[TenantOut(id=tenant_id, name=name, role=role.value) for tenant_id, name, role in tenants],
    )


@router.post(
    "/switch-tenant",
    operation_id="switchTenant",
    response_model=DoneOut,
    responses=problems(403, 404),
    summary="Go on in another tenant",
)
async def switch(body: SwitchIn, request: Request, given: Given, who: Caller) -> DoneOut:
    """Move this browser's sign-in to another tenant of the same person."""
    token = session_token(request, given)
    if presented_key(request) is not None or token is None:
        raise Problem(403, "sign_in_only", "A key belongs to one tenant; sign in to go to another.")
    if not await given.identity.sign_ins.switch(token, body.tenant_id):
        raise Problem(404, "not_found", f"You belong to no tenant {body.tenant_id}.")
    return DoneOut(success=True)


def is_ours(path: str) -> bool:
    """Tell whether a path leads to this site and to no other."""
    return _HERE.fullmatch(path) is not None


async def _begin(given: Services, redirect: str, invitation: str | None) -> tuple[str, str]:
    provider = _provider(given)
    if not is_ours(redirect):
        raise invalid(
            "?redirect", "invalid_redirect", "redirect must be a path of this site, such as /api/auth/session."
        )
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    await given.identity.sign_ins.open(state, verifier=verifier, redirect=redirect, invitation=invitation)
    return state, provider.authorisation_url(state, verifier)


def _provider(given: Services) -> Provider:
    if given.identity.provider is None:
        raise Problem(404, "sign_in_off", "Sign-in is off here: the operator has set no GITHUB_CLIENT_ID.")
    return given.identity.provider
