"""Predicates over a response: comparisons of its status, its time and what JSON pointers (RFC 6901) name in its body.

Three-valued: a comparison whose subject is not there, or of a body that could not be read, is neither true nor false,
so that no rule acts on what it has not seen. Pure; what a target answers can make nothing here raise.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from core.entities import Run, RunStatus
from core.errors import Issue
from core.record import record
from core.verdict import MISSING, point

MOST_COMPARISONS, DEEPEST, LONGEST_POINTER, LONGEST_TEXT = 16, 4, 300, 300
LARGEST = 10**15  # of a number to compare with: exact in every reader's arithmetic
STATUS_CODE, DURATION, OUTCOME = "status_code", "duration_ms", "outcome"
MEASURES = (STATUS_CODE, DURATION, OUTCOME)
_OUTCOMES = (RunStatus.SUCCEEDED.value, RunStatus.FAILED.value)


class Op(StrEnum):
    """How a subject is compared. The last two take no value."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GE = "ge"
    LT = "lt"
    LE = "le"
    EXISTS = "exists"
    ABSENT = "absent"


_WORDS = {
    Op.EQ: "is",
    Op.NE: "is not",
    Op.GT: "is above",
    Op.GE: "is at least",
    Op.LT: "is below",
    Op.LE: "is at most",
    Op.EXISTS: "is there",
    Op.ABSENT: "is not there",
}
_ORDERED: Mapping[Op, Callable[[Any, Any], bool]] = {
    Op.GT: lambda found, value: found > value,
    Op.GE: lambda found, value: found >= value,
    Op.LT: lambda found, value: found < value,
    Op.LE: lambda found, value: found <= value,
}
_PRESENCE = (Op.EXISTS, Op.ABSENT)


@record
class Comparison:
    """`field` is a JSON pointer into the body (it begins with `/`), or one of MEASURES."""

    field: str
    op: Op
    value: Any = None


@record
class Every:
    """All of them hold."""

    of: tuple["Predicate", ...]


@record
class Some:
    """One of them holds, or more."""

    of: tuple["Predicate", ...]


Predicate = Comparison | Every | Some


@record
class Response:
    """What a predicate looks at. `unread`: why there is no `document`: no_body, truncated or not_json."""

    outcome: RunStatus
    status_code: int | None = None
    duration_ms: int | None = None
    document: Any = None
    unread: str | None = "no_body"


def read(
    outcome: RunStatus, status_code: int | None, duration_ms: int | None, body: str | None, *, truncated: bool
) -> Response:
    """Return a response with its body parsed. A body that was cut off is not read: half of it is another document."""
    if not body:
        return Response(outcome, status_code, duration_ms)
    if truncated:
        return Response(outcome, status_code, duration_ms, unread="truncated")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return Response(outcome, status_code, duration_ms, unread="not_json")
    return Response(outcome, status_code, duration_ms, document, unread=None)


def read_run(run: Run) -> Response:
    """Return the response of a run as it was kept."""
    return read(run.status, run.status_code, run.duration_ms, run.response_excerpt, truncated=run.truncated)


def judge(predicate: Predicate, response: Response) -> bool | None:
    """Tell whether a predicate holds; None: this response does not say."""
    if isinstance(predicate, Comparison):
        return _compare(predicate, response)
    verdicts = [judge(each, response) for each in predicate.of]
    settling = isinstance(predicate, Some)  # one true settles a Some, one false an Every
    if settling in verdicts:
        return settling
    return None if None in verdicts else not settling


def _compare(comparison: Comparison, response: Response) -> bool | None:
    found = _subject(comparison.field, response)
    if comparison.op in _PRESENCE:
        if response.unread is not None and comparison.field.startswith("/"):
            return None
        return (found is MISSING) is (comparison.op is Op.ABSENT)
    if found is MISSING:
        return None
    value = comparison.value
    if comparison.op in (Op.EQ, Op.NE):
        alike = found == value and isinstance(found, bool) == isinstance(value, bool)
        return alike is (comparison.op is Op.EQ)
    return _ORDERED[comparison.op](found, value) if is_number(found) else None


def _subject(field: str, response: Response) -> Any:
    if field.startswith("/"):
        return point(response.document, field) if response.unread is None else MISSING
    found = {STATUS_CODE: response.status_code, DURATION: response.duration_ms, OUTCOME: response.outcome.value}[field]
    return MISSING if found is None else found


def is_number(value: Any) -> bool:
    """Tell whether a JSON value is a finite number."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def comparisons(predicate: Predicate | None) -> Iterator[Comparison]:
    """Yield every comparison of a predicate."""
    if isinstance(predicate, Comparison):
        yield predicate
    elif predicate is not None:
        for each in predicate.of:
            yield from comparisons(each)


def in_words(predicate: Predicate) -> str:
    """Say a predicate: `/queue_depth is above 500 and outcome is "succeeded"`."""
    if isinstance(predicate, Comparison):
        value = "" if predicate.op in _PRESENCE else f" {json.dumps(predicate.value, ensure_ascii=False)}"
        return f"{predicate.field} {_WORDS[predicate.op]}{value}"
    joint = " or " if isinstance(predicate, Some) else " and "
    parts = ((each, in_words(each)) for each in predicate.of)
    return joint.join(words if isinstance(each, Comparison) else f"({words})" for each, words in parts)


def plain(predicate: Predicate) -> dict[str, Any]:
    """Return a predicate as JSON: `{"field", "op", "value"?}`, `{"all": [...]}` or `{"any": [...]}`."""
    if isinstance(predicate, Comparison):
        value = {} if predicate.op in _PRESENCE else {"value": predicate.value}
        return {"field": predicate.field, "op": predicate.op.value, **value}
    return {"any" if isinstance(predicate, Some) else "all": [plain(each) for each in predicate.of]}


def parse(given: Any, where: str) -> tuple[Predicate | None, list[Issue]]:
    """Read a predicate from JSON; `where`: the pointer of `given`. Returns no predicate where there are issues."""
    issues: list[Issue] = []
    predicate = _parse(given, where, issues, depth=1)
    if not issues and predicate is not None and sum(1 for _ in comparisons(predicate)) > MOST_COMPARISONS:
        issues.append(Issue(where, "too_many", f"A condition has {MOST_COMPARISONS} comparisons at the most."))
    return (None if issues else predicate), issues


def _parse(given: Any, where: str, issues: list[Issue], *, depth: int) -> Predicate | None:
    if not isinstance(given, Mapping):
        shape = '{"field", "op", "value"}, {"all": [...]} or {"any": [...]}'
        issues.append(Issue(where, "not_a_condition", f"A condition is an object: {shape}."))
        return None
    for name, made in (("all", Every), ("any", Some)):
        if name in given:
            _refuse_unknown(given, (name,), where, issues)
            parts = _parse_parts(given[name], f"{where}/{name}", issues, depth=depth)
            return made(tuple(parts))
    _refuse_unknown(given, ("field", "op", "value"), where, issues)
    return _parse_comparison(given, where, issues)


def _parse_parts(given: Any, where: str, issues: list[Issue], *, depth: int) -> list[Predicate]:
    if not isinstance(given, Sequence) or isinstance(given, str) or not 1 <= len(given) <= MOST_COMPARISONS:
        issues.append(Issue(where, "not_a_list", f"Give a list of 1 to {MOST_COMPARISONS} conditions."))
        return []
    if depth >= DEEPEST:
        issues.append(Issue(where, "too_deep", f"Conditions are nested {DEEPEST} levels deep at the most."))
        return []
    parts = [_parse(each, f"{where}/{number}", issues, depth=depth + 1) for number, each in enumerate(given)]
    return [part for part in parts if part is not None]


def _parse_comparison(given: Mapping[str, Any], where: str, issues: list[Issue]) -> Predicate | None:
    field, before = given.get("field"), len(issues)
    if not isinstance(field, str) or not (field in MEASURES or is_pointer(field)):
        named = ", ".join(MEASURES)
        detail = (
            f"field is a JSON pointer such as /queue/depth, at most {LONGEST_POINTER} characters, or one of {named}."
        )
        issues.append(Issue(f"{where}/field", "invalid_field", detail))
    try:
        op = Op(given.get("op"))  # type: ignore[arg-type]  # anything but a known operator raises
    except ValueError:
        issues.append(Issue(f"{where}/op", "invalid_op", f"op is one of {', '.join(Op)}."))
        return None
    if len(issues) > before or not isinstance(field, str):
        return None
    wrong = _wrong_value(field, op, given)
    if wrong is not None:
        issues.append(Issue(f"{where}/value", "invalid_value", wrong))
        return None
    return Comparison(field, op, given.get("value"))


def _wrong_value(field: str, op: Op, given: Mapping[str, Any]) -> str | None:
    """Say what is wrong with a comparison's value, if anything is."""
    if op in _PRESENCE:
        return f"{op} takes no value." if "value" in given else None
    if "value" not in given:
        return f"{op} needs a value."
    value = given["value"]
    if field == OUTCOME:
        is_good = op in (Op.EQ, Op.NE) and value in _OUTCOMES
        return None if is_good else f"outcome takes eq or ne, and {' or '.join(_OUTCOMES)}."
    if field in MEASURES or op in _ORDERED:
        return None if _is_plain_number(value) else f"{field} {op} needs a finite number of at most 15 digits."
    if isinstance(value, str):
        is_short = len(value) <= LONGEST_TEXT and value.isprintable()
        return None if is_short else f"A text has {LONGEST_TEXT} characters at the most, all of them printable."
    is_plain = value is None or isinstance(value, bool) or _is_plain_number(value)
    return None if is_plain else "value is a text, a finite number, true, false or null."


def _is_plain_number(value: Any) -> bool:
    return is_number(value) and abs(value) < LARGEST


def is_pointer(text: str) -> bool:
    """Tell whether a text is a JSON pointer to something within a document; `~` is only ever `~0` or `~1`."""
    escapes = text.count("~0") + text.count("~1")
    return text.startswith("/") and len(text) <= LONGEST_POINTER and text.isprintable() and text.count("~") == escapes


def _refuse_unknown(given: Mapping[str, Any], known: Sequence[str], where: str, issues: list[Issue]) -> None:
    for name in given:
        if name not in known:
            token = str(name)[:60].replace("~", "~0").replace("/", "~1")
            issues.append(Issue(f"{where}/{token}", "unknown_field", f"{str(name)[:60]} does not belong here."))
