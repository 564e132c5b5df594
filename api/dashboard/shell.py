"""What every screen stands on: templates, headers, forms, and errors as people read them.

A screen is a router of `page_router()` whose routes take a `View` (see `Viewing`, `Administering`) and return
`view.page(...)`, or after a form `view.go(...)`.
"""

import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.exceptions import HTTPException

from api.auth import SAFE, Given, session_token
from api.dashboard.access import Administrator, Member
from api.dashboard.drawing import words
from api.problems import Problem, answered
from api.services import Services
from core.errors import Issue, RubatoError
from core.ports.accounts import Principal

HERE = Path(__file__).parent
FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 200
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
NAVIGATION = (  # name, address, symbol
    ("Overview", "/", "overview"),
    ("Runs", "/runs", "runs"),
    ("Failures", "/failures", "failures"),
    ("Quota", "/quota", "quota"),
    ("Evals", "/evals", "evals"),
    ("Cron", "/cron", "cron"),
    ("Keys", "/keys", "keys"),
    ("Settings", "/settings", "settings"),
)

_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=select_autoescape(),
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
_templates.globals.update(navigation=NAVIGATION)
_templates.filters.update(words.FILTERS)


class PageRoute(APIRoute):
    """A route whose errors are pages, and whose 401 leads to the sign-in."""

    media_types = (FORM,)  # of bodies; `api.guards` reads it

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler with errors told to a person."""
        handle = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handle(request)
            except (Problem, RubatoError, RequestValidationError, HTTPException) as error:
                return await _error_page(request, error)

        return told


def page_router() -> APIRouter:
    """Return a router for a screen."""
    return APIRouter(include_in_schema=False, route_class=PageRoute)


@dataclass(frozen=True, slots=True)
class View:
    """One look at a screen: who looks, at which instant of the store's clock, and what answers."""

    request: Request
    given: Services
    who: Principal
    now: datetime
    done: str = ""  # what the form before this page did: a name in `drawing.words.DONE`

    def page(self, template: str, *, active: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a screen. `active`: its name in the navigation, or the one it belongs to."""
        if status >= 400:
            self.request.state.refused_with = status
        is_signed_in = session_token(self.request, self.given) is not None
        frame = {"view": self, "now": self.now, "active": active, "is_signed_in": is_signed_in}
        return render(template, status=status, **frame, **values)

    def here(self, **changes: str | None) -> str:
        """Return this page's address with other query parameters; None takes one away."""
        kept = [
            (name, value) for name, value in self.request.query_params.multi_items() if name not in (*changes, "done")
        ]
        query = urlencode([*kept, *((name, value) for name, value in changes.items() if value is not None)])
        return f"{self.request.url.path}?{query}" if query else self.request.url.path

    def go(self, path: str, *, done: str | None = None) -> RedirectResponse:
        """Answer a form: see `path`, which says `done` (a name in `drawing.words.DONE`)."""
        joined = f"{path}{'&' if '?' in path else '?'}done={done}" if done else path
        return RedirectResponse(joined, status_code=303, headers={"Cache-Control": "no-store"})


Done = Annotated[str, Query(max_length=20)]


async def viewing(request: Request, given: Given, who: Member, done: Done = "") -> View:
    """Return the look of somebody who may read jobs (or, with a form, write them)."""
    return View(request, given, who, await given.store.now(), done)


async def administering(request: Request, given: Given, who: Administrator, done: Done = "") -> View:
    """Return the look of an admin."""
    return View(request, given, who, await given.store.now(), done)


Viewing = Annotated[View, Depends(viewing)]
Administering = Annotated[View, Depends(administering)]


async def form(request: Request) -> Mapping[str, str]:
    """Return a form's fields, the last of each name. Empty ones stay, as ''."""
    try:
        text = (await request.body()).decode("utf-8")
        fields = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"))
    except ValueError:
        raise Problem(400, "invalid_input", "The form could not be read; go back and send it again.") from None
    if any("\0" in name or "\0" in value for name, value in fields.items()):
        raise Problem(400, "invalid_input", "A form must not contain NUL characters.")
    return fields


Form = Annotated[Mapping[str, str], Depends(form)]


def render(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a template as a page with the headers of pages."""
    return HTMLResponse(_templates.get_template(template).render(**values), status, headers=HEADERS)


@dataclass(frozen=True, slots=True)
class Told:
    """An error as a page and a form show it."""

    status: int
    title: str
    detail: str
    request_id: str
    issues: tuple[Issue, ...] = ()

    def of(self, *pointers: str) -> str:
        """Return what is wrong with a field, named by its pointers, such as `/url`."""
        return " ".join(issue.detail for issue in self.issues if issue.pointer in pointers)


async def told(request: Request, error: Exception) -> Told:
    """Say an error in the words that the API has for it."""
    body = json.loads(bytes((await answered(request, error)).body))
    issues = (Issue(each.get("pointer", ""), each["code"], each["detail"]) for each in body.get("errors", ()))
    return Told(body["status"], body["title"], body["detail"], body["requestId"], tuple(issues))


async def _error_page(request: Request, error: Exception) -> Response:
    seen = await told(request, error)
    request.state.refused_with = seen.status
    if seen.status == 401 and request.method in SAFE:
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(
            f"/sign-in?next={quote(wanted)}", status_code=303, headers={"Cache-Control": "no-store"}
        )
    return render("error.html", status=seen.status, told=seen)
