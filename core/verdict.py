"""Was it a success? A job's own criterion, or any 2xx."""

import json
from typing import Any

from core.entities import Definition, RunStatus, TargetAction
from core.ports.dispatcher import HttpResult

MISSING = object()  # what `point` returns for nothing; equals nothing else


def judge(definition: Definition, result: HttpResult) -> tuple[RunStatus, str | None]:
    """Return `succeeded`, or `failed` with the message to show."""
    if result.error is not None:
        return RunStatus.FAILED, result.error
    code, success = result.status_code, definition.success
    accepted = success.status_codes
    if isinstance(definition.action, TargetAction):
        pass  # a function that returned has no status; what it returned may still be judged
    elif code is None or (code not in accepted if accepted is not None else not 200 <= code <= 299):
        return RunStatus.FAILED, f"HTTP {code}"
    if success.json_pointer is None:
        return RunStatus.SUCCEEDED, None
    try:
        found = point(json.loads(result.body or ""), success.json_pointer)
    except (ValueError, RecursionError):
        return RunStatus.FAILED, "The response is not JSON, and success.jsonPointer needs it"
    if found is MISSING:
        return RunStatus.FAILED, f"The response has nothing at {success.json_pointer}"
    if success.has_equals and (found != success.equals or isinstance(found, bool) != isinstance(success.equals, bool)):
        return RunStatus.FAILED, f"The response's {success.json_pointer} is not what success.equals wants"
    return RunStatus.SUCCEEDED, None


def point(document: Any, pointer: str) -> Any:
    """Return what an RFC 6901 pointer names in a JSON document, or a sentinel that equals nothing."""
    for part in pointer.split("/")[1:]:
        token = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict) and token in document:
            document = document[token]
        elif isinstance(document, list) and token.isascii() and token.isdigit() and int(token) < len(document):
            document = document[int(token)]
        else:
            return MISSING
    return document
