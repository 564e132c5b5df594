"""`/doc` for people and `/llms.txt` for language models. Neither loads anything from elsewhere."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

STATIC = Path(__file__).parent / "static"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Rubato API</title>
<link rel="icon" href="/doc/static/favicon-32x32.png">
<link rel="stylesheet" href="/doc/static/swagger-ui.css">
</head>
<body>
<div id="reference"></div>
<script src="/doc/static/swagger-ui-bundle.js"></script>
<script src="/doc/static/start.js"></script>
</body>
</html>
"""
INTRODUCTION = """# Rubato

> An adaptive scheduler for HTTP jobs. A job has a baseline schedule and bounds; hints of people, rules and a planner
> change its tempo for a limited time within them; a governor decides the next run and says why.

Base: /api/v1. Send an API key as `x-api-key`. JSON is camelCase, instants are RFC 3339 in UTC, durations are whole
milliseconds in fields that end in `Ms`. Errors are application/problem+json with a stable `code`. Lists take `limit`
and `cursor` and answer `{"data": [...], "nextCursor": null}`. `validateOnly=true` rehearses any change and answers
with `nextRuns`. A POST takes an `Idempotency-Key`, a change an `If-Match` with the job's `ETag`.

## Reference

- [OpenAPI 3.1](/openapi.json): every operation with schemas, examples and problems
- [Swagger UI](/doc): the same, to read and try out
"""

router = APIRouter(include_in_schema=False)


def install(app: FastAPI) -> None:
    """Serve both, and the files of the first."""
    app.include_router(router)
    app.mount("/doc/static", StaticFiles(directory=STATIC), name="reference")


@router.get("/doc", response_class=HTMLResponse)
async def doc() -> HTMLResponse:
    """Return the page that draws the reference."""
    return HTMLResponse(PAGE, headers=HEADERS)


@router.get("/llms.txt", response_class=PlainTextResponse)
async def llms(request: Request) -> PlainTextResponse:
    """Return what a language model needs to begin with: what this is, and every operation in a line."""
    return PlainTextResponse(describe(request.app.openapi()))


def describe(document: dict[str, Any]) -> str:
    """Write the operations of an OpenAPI document as a list, by tag."""
    by_tag: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            line = f"- `{method.upper()} {path}`: {operation.get('summary', '')} (`{operation['operationId']}`)"
            by_tag.setdefault(operation.get("tags", ["other"])[0], []).append(line)
    sections = [f"## {tag.capitalize()}\n\n" + "\n".join(lines) for tag, lines in by_tag.items()]
    return INTRODUCTION + "\n" + "\n\n".join(sections) + "\n"
