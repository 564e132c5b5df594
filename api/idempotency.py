"""Requests that may be sent again: with an Idempotency-Key the second one gets the first one's answer.

What began to be carried out is kept, faults included: whether they left something behind is not known. What was refused
before that (no credentials, not valid, too many requests) is not, and may be corrected and sent again under the same
key. docs/adr/0020.
"""

import hashlib
import logging
import re
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth import Admin, Given, KeyHolder, Who, is_rehearsal
from api.problems import Problem, answer, internal_error
from api.services import Services
from core.errors import Issue, Unavailable
from core.ports.accounts import Principal
from core.ports.replies import Claim, Reply

REFUSALS = frozenset({400, 401, 403, 404, 405, 412, 413, 415, 422, 429})
REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS = ("content-type", "location", "etag", "cache-control", "retry-after")
log = logging.getLogger("rubato.api")

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="A value of yours, new for each request: sent again within 24 hours, the request is not carried "
        "out again and gets the first answer.",
    ),
]


class Replay(Exception):
    """The request was answered before."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        super().__init__("answered before")


async def once(request: Request, given: Given, who: Who, key: Key = None) -> None:
    """Take the request's key, or answer as the request that has it was answered."""
    await _take(request, given, who, key)


async def once_for_admins(request: Request, given: Given, who: Admin, key: Key = None) -> None:
    """The same on routes for admins: nobody else is answered with what an admin was answered."""
    await _take(request, given, who, key)


async def once_for_key_holders(request: Request, given: Given, who: KeyHolder, key: Key = None) -> None:
    """The same on routes that answer each user otherwise: a key belongs to its user there."""
    await _take(request, given, who, key, user_id=who.user_id)


async def shown_once(request: Request) -> None:
    """Mark a route whose answer shows a secret: it is carried out once, and the secret is not kept for a replay."""
    request.state.shows_secret = True


ONCE = [Depends(once)]
ONCE_FOR_ADMINS = [Depends(once_for_admins)]
ONCE_FOR_KEY_HOLDERS = [Depends(once_for_key_holders)]
SHOWN_ONCE = Depends(shown_once)


async def _take(request: Request, given: Services, who: Principal, key: str | None, *, user_id: str = "") -> None:
    if key is None or is_rehearsal(request):
        return
    if not _KEY.fullmatch(key):
        detail = "Idempotency-Key takes 1 to 255 printable ASCII characters without spaces, such as a UUID."
        raise Problem(400, "invalid_input", detail, issues=[Issue("?Idempotency-Key", "invalid_key", detail)])
    fingerprint = await _fingerprint(request, user_id)
    found = await given.replies.claim(who.tenant_id, key, fingerprint)
    if isinstance(found, Claim):
        request.state.idempotency = found
        return
    if found.fingerprint != fingerprint:
        detail = "Another request was sent with this Idempotency-Key; take a new key for each request."
        raise Problem(422, "idempotency_key_reused", detail)
    if found.reply is not None:
        getattr(request.state, "audit_detail", {})["replayed"] = True
        raise Replay(found.reply)
    if found.is_lost:
        detail = "The first request with this key was never answered, and whether it was carried out is not known. "
        raise Problem(500, "outcome_unknown", detail + "Look at what is there, then send it with a new key.")
    detail = "The first request with this Idempotency-Key is still being carried out; ask again in a moment."
    raise Problem(409, "idempotency_key_in_use", detail, headers={"Retry-After": "1"})


async def on_replay(request: Request, error: Exception) -> Response:
    """Answer as before."""
    assert isinstance(error, Replay)  # noqa: S101 - registered for this class only
    reply = error.reply
    return Response(reply.body, reply.status, headers={**reply.headers, REPLAYED: "true"})


class KeepReplies:
    """Records the answer of a request that took a key before a byte of it is sent. Pure ASGI: others pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        held: list[Message] = []

        async def holding(message: Message) -> None:
            claim = scope["state"].get("idempotency")
            if claim is None:
                await send(message)
                return
            held.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                await _record(scope, claim, _reply(held))
                for each in held:
                    await send(each)

        try:
            await self.app(scope, receive, holding)
        except Exception:
            claim = scope["state"].get("idempotency")
            if claim is not None:
                answer = internal_error(scope["state"]["request_id"])
                await _record(scope, claim, Reply(500, {"content-type": answer.media_type or ""}, bytes(answer.body)))
            raise


def _reply(messages: list[Message]) -> Reply:
    start, *rest = messages
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
    kept = {name: value for name, value in headers.items() if name.lower() in _KEPT_HEADERS}
    return Reply(start["status"], kept, b"".join(message.get("body", b"") for message in rest))


async def _record(scope: Scope, claim: Claim, reply: Reply) -> None:
    """Keep an answer. A store that cannot be reached must not change the answer: the key stays taken, and is lost."""
    replies: Any = scope["app"].state.services.replies
    try:
        if reply.status in REFUSALS:
            await replies.drop(claim)
        elif reply.status < 300 and scope["state"].get("shows_secret"):
            await replies.keep(claim, _without_secret(scope["state"]["request_id"]))
        else:
            await replies.keep(claim, reply)
    except Unavailable as error:
        log.warning("an answer could not be kept", extra={"error": str(error)})


def _without_secret(request_id: str) -> Reply:
    """Return what a request is answered that was carried out before and whose answer showed a secret."""
    detail = (
        "The first request with this Idempotency-Key was carried out; its secret was in that answer and is kept "
        "nowhere. If the answer was lost, end what it made and ask with a new key."
    )
    told = answer(request_id, 409, "secret_was_shown", detail)
    return Reply(409, {"content-type": told.media_type or "", "cache-control": "no-store"}, bytes(told.body))


async def _fingerprint(request: Request, user_id: str) -> bytes:
    """Return what two requests must share to be the same: method, address and body, byte by byte; where each user is
    answered otherwise, the user too."""
    asked = f"{user_id}{request.method} {request.url.path}?{request.url.query}\n".encode()
    return hashlib.sha256(asked + await request.body()).digest()
