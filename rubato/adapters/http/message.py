"""What goes over the wire for a request, and what an answer means to a run. No I/O."""

import codecs
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import quote, urlsplit

import orjson

from core.errors import Issue
from core.ports.dispatcher import HttpRequest, HttpResult
from rubato.adapters.http.connection import Answer
from rubato.adapters.http.dial import Origin
from rubato.adapters.http.signing import signature_lines

BODY_CAP = 256 * 1024  # bytes of a response that are read; the rest is never fetched

_BODILESS = frozenset({"GET", "HEAD"})
_SAYS_IT_HAS_NONE = frozenset({"POST", "PUT", "PATCH"})  # content-length: 0 where a body is expected
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_IN_TARGET = "!$%&'()*+,-./:;=?@[]_~"  # what stands in a path or query as it was written
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer"})
_OUR_PREFIXES = ("proxy-", "webhook-")
_CHARSET = re.compile(r"charset=\"?([\w.:-]+)", re.IGNORECASE)
_COMPRESSED = frozenset({b"gzip", b"x-gzip", b"deflate"})
# Codecs for names and source code: they take quadratic time, raise whatever is asked of them, or make lone surrogates.
_NO_CHARSETS = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "unicode_escape", "utf-7"})


@dataclass(frozen=True, slots=True)
class Head:
    """The part of a request that is the same at every run of a job: where it goes, and its first lines."""

    origin: Origin
    lines: bytes
    is_head: bool


def check_headers(headers: Mapping[str, str]) -> list[Issue]:
    """Return what is wrong with a job's request headers. Empty: nothing."""
    issues = []
    for name, value in headers.items():
        pointer = "/headersJson/" + name.replace("~", "~0").replace("/", "~1")
        if not _TOKEN.fullmatch(name):
            issues.append(Issue(pointer, "invalid_header", f"{name[:60]!r} is no header name."))
        elif _is_ours(name):
            issues.append(Issue(pointer, "denied_header", f"The header {name[:60]} is set by Rubato; leave it out."))
        elif not value.isascii() or any((char < " " and char != "\t") or char == "\x7f" for char in value):
            detail = f"The header {name[:60]} may hold printable ASCII only."
            issues.append(Issue(pointer, "invalid_header", detail))
    return issues


def has_body(request: HttpRequest) -> bool:
    """Tell whether a body goes with it."""
    return request.body_json is not None and request.method.upper() not in _BODILESS


def head(request: HttpRequest, *, with_body: bool) -> Head:
    """Return a request's head without what changes from run to run. The URL was checked; raises ValueError."""
    method = request.method.upper()
    if not _TOKEN.fullmatch(method):
        raise ValueError(f"{request.method[:60]!r} is no method")
    parts = urlsplit(request.url or "")
    host = (parts.hostname or "").removesuffix(".")
    is_tls = parts.scheme == "https"
    origin = Origin(request.tenant_id, host, parts.port or (443 if is_tls else 80), is_tls)
    named = f"[{host}]" if ":" in host else host
    is_usual = origin.port == (443 if is_tls else 80)
    target = _target(parts.path or "/") + (f"?{_target(parts.query)}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {named if is_usual else f'{named}:{origin.port}'}"]
    lines += [f"{name}: {value}" for name, value in _headers(request, with_body=with_body).items()]
    if not with_body and method in _SAYS_IT_HAS_NONE:
        lines.append("Content-Length: 0")
    for line in lines:
        if _CONTROL.search(line):
            raise ValueError("a header holds a control character")
    return Head(origin, "\r\n".join((*lines, "")).encode("latin-1"), method == "HEAD")


def message(request: HttpRequest, lines: bytes, *, with_body: bool) -> bytes:
    """Return the whole of a request as it goes over the wire."""
    webhook_id = b""
    if request.webhook_id is not None:
        if not _TOKEN.fullmatch(request.webhook_id):
            raise ValueError("the webhook-id is no token")
        webhook_id = b"webhook-id: %s\r\n" % request.webhook_id.encode()
    body = orjson.dumps(request.body_json) if with_body else b""
    if request.signing_secrets:
        webhook_id += _signature(request, body)
    if not with_body:
        return b"%s%s\r\n" % (lines, webhook_id)
    return b"%s%sContent-Length: %d\r\n\r\n%s" % (lines, webhook_id, len(body), body)


def result(answer: Answer, *, keep_body: bool, headers_ms: int, duration_ms: int) -> HttpResult:
    """Return what an answer means: its body decoded leniently, and a compression that nobody asked for undone."""
    headers = answer.headers
    content_type, retry_after = headers.get(b"content-type"), headers.get(b"retry-after")
    body, is_cut = answer.body, answer.is_cut
    if b"content-encoding" in headers:
        body, is_cut = _inflated(body, headers[b"content-encoding"], is_cut=is_cut)
    return HttpResult(
        status_code=answer.status,
        duration_ms=duration_ms,
        headers_ms=headers_ms,
        body=_text(body, content_type) if keep_body else None,
        body_bytes=len(answer.body),
        truncated=is_cut,
        content_type=None if content_type is None else content_type.decode("latin-1"),
        retry_after=None if retry_after is None else retry_after.decode("latin-1"),
    )


def _signature(request: HttpRequest, body: bytes) -> bytes:
    if request.webhook_id is None or request.sent_at is None:
        raise ValueError("it cannot be signed without an id and a time")
    return signature_lines(request.signing_secrets, request.webhook_id, request.sent_at, body)


def _headers(request: HttpRequest, *, with_body: bool) -> dict[str, str]:
    headers = {name: value for name, value in request.headers.items() if not _is_ours(name)}
    given = {name.lower() for name in headers}
    if not all(_TOKEN.fullmatch(name) for name in headers):
        raise ValueError("a header's name is none")
    if with_body and "content-type" not in given:
        headers["Content-Type"] = "application/json"
    if "user-agent" not in given:
        headers["User-Agent"] = f"Rubato/{_version()}"
    if "accept" not in given:
        headers["Accept"] = "*/*"
    headers = {name: value for name, value in headers.items() if name.lower() != "accept-encoding"}
    headers["Accept-Encoding"] = "identity"
    return headers


def _target(written: str) -> str:
    """Return a path or query as it was written, with what may not stand in a request line encoded."""
    return quote(_STRAY_PERCENT.sub("%25", written), safe=_IN_TARGET)


def _inflated(body: bytes | bytearray, coding: bytes, *, is_cut: bool) -> tuple[bytes | bytearray, bool]:
    """Undo a compression, never to more than a body's cap; what cannot be undone stays as it is."""
    if coding.strip().lower() not in _COMPRESSED:
        return body, is_cut
    try:
        inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        content = inflater.decompress(body, BODY_CAP)
    except zlib.error:
        return body, is_cut
    return content, is_cut or bool(inflater.unconsumed_tail)


def _text(content: bytes | bytearray, content_type: bytes | None) -> str:
    text = content.decode(_charset((content_type or b"")[:256]), errors="replace")
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in text else text


@lru_cache(maxsize=1024)
def _charset(content_type: bytes) -> str:
    """Return the codec that a content type names, if it is one for text; else UTF-8."""
    named = _CHARSET.search(content_type.decode("latin-1"))
    if named is None:
        return "utf-8"
    try:
        found = codecs.lookup(named.group(1)).name
        b"a".decode(found, errors="replace")
    except (LookupError, ValueError):
        return "utf-8"
    return "utf-8" if found in _NO_CHARSETS else found


def _is_ours(name: str) -> bool:
    return name.lower() in _OURS or name.lower().startswith(_OUR_PREFIXES)


@lru_cache(maxsize=1)
def _version() -> str:
    try:
        return version("rubato-scheduler")
    except PackageNotFoundError:
        return "dev"
