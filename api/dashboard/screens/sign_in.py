"""The way in and the way out."""

from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.responses import RedirectResponse

from api.auth import Given, check_origin, session_token, set_cookie
from api.dashboard.access import neighbour
from api.dashboard.shell import page_router, render
from api.routes.sign_in import is_ours

router = page_router()

Next = Annotated[str, Query(alias="next", max_length=500)]


@router.get("/sign-in")
async def sign_in(request: Request, given: Given, wanted: Next = "/") -> Response:
    """Show how to sign in; whoever is, goes where they wanted."""
    wanted = wanted if is_ours(wanted) else "/"
    token = session_token(request, given)
    who = await given.identity.sign_ins.resolve(token) if token else None
    if who or neighbour(request, given):
        return RedirectResponse(wanted, status_code=303, headers={"Cache-Control": "no-store"})
    return render("sign_in.html", wanted=wanted, has_github=given.identity.provider is not None)


@router.post("/sign-out")
async def sign_out(request: Request, given: Given) -> Response:
    """End the sign-in of this browser."""
    token = session_token(request, given)
    if token is not None:
        check_origin(request, given)
        await given.identity.sign_ins.sign_out(token)
    response = RedirectResponse("/sign-in", status_code=303, headers={"Cache-Control": "no-store"})
    set_cookie(response, given, "session", "", seconds=0)
    return response
