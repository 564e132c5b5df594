"""Rules read out of an owner's plain words, in the forms that leave nothing to guess. Pure; no model is asked.

`every 30 s while queue_depth is above 500, at most every 10 min when it is empty for an hour` makes two rules. A
sentence with a part that is not understood makes none: half an intent may be the opposite of it. Fields are those that
the target's answers have: what they do not name once and only once is not understood either.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from core.entities import Definition, HintKind, IntervalBaseline, Limits
from core.predicates import DURATION, OUTCOME, STATUS_CODE, Comparison, Op, is_number
from core.rules import Hold, RuleDraft, Terms, default_reason, default_ttl, issues_of

LONGEST_INTENT = 2000  # characters; what comes after is not read
DEEPEST_FIELD = 6
_FLAGS = re.IGNORECASE

_NUMBER = r"-?\d+(?:\.\d+)?"
_UNIT = r"ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?"
_SPAN = rf"(?:(?:\d+(?:\.\d+)?)\s*(?:{_UNIT})|half\s+an\s+hour|(?:an?\s+)?(?:second|minute|hour|day))"
_OPS = {
    "above": Op.GT,
    "over": Op.GT,
    "more than": Op.GT,
    "greater than": Op.GT,
    "exceeds": Op.GT,
    ">": Op.GT,
    "at least": Op.GE,
    ">=": Op.GE,
    "below": Op.LT,
    "under": Op.LT,
    "less than": Op.LT,
    "<": Op.LT,
    "at most": Op.LE,
    "<=": Op.LE,
    "equal to": Op.EQ,
    "equals": Op.EQ,
    "==": Op.EQ,
    "=": Op.EQ,
    "not": Op.NE,
}
_WORDED = (
    r"above|over|more\s+than|greater\s+than|at\s+least|below|under|less\s+than|at\s+most|equal\s+to|not|>=|<=|==|[<>=]"
)
_ALONE = r"above|over|exceeds|below|under|equals|>=|<=|==|[<>=]"
_SUBJECT = r"(?:the\s+)?(?P<subject>it|status\s+code|http\s+status|latency|response\s+time|/[^\s,]+|[A-Za-z_][\w.]*)"
_LITERAL = rf"{_NUMBER}|\"[^\"]{{1,100}}\"|'[^']{{1,100}}'|[A-Za-z][\w-]*"
_VALUE = rf"(?P<value>{_LITERAL})(?:\s*(?P<unit>ms|milliseconds|s|seconds))?"
_BE = rf"\s+(?:is|goes|stays|remains)(?:\s+(?P<op>{_WORDED}))?\s*(?<=\W)"
_TEST = rf"{_SUBJECT}(?:{_BE}|\s*(?P<sign>{_ALONE})\s*){_VALUE}"
_FAILS = r"(?P<fails>(?:it|the\s+(?:run|job|check|target|endpoint))\s+(?:fails|is\s+failing))"
_TIMES = r"(?P<runs>\d+)\s+(?:runs|checks|answers|responses)(?:\s+in\s+a\s+row)?"
_HOLD = rf"(?:\s+for\s+(?:at\s+least\s+)?(?:(?P<time>{_SPAN})|{_TIMES}))?"
_CONDITION = rf"(?:while|when|whenever|if|as\s+long\s+as)\s+(?:{_FAILS}|{_TEST}){_HOLD}"
_VERB = r"(?:(?:please\s+)?(?:check|run|poll|look|ask)(?:\s+it)?\s+)?"
_TEMPO = rf"{_VERB}(?:(?P<most>at\s+most\s+)|(?:once\s+))?every\s+(?P<every>{_SPAN})"
_PAUSE = rf"(?:pause|stop)(?:\s+it)?\s+for\s+(?P<pause>{_SPAN})"
_EFFECT = rf"(?:{_TEMPO}|{_PAUSE})"
_FORMS = [
    re.compile(rf"{_EFFECT}\s+{_CONDITION}", _FLAGS),
    re.compile(rf"{_CONDITION}\s*,?\s*(?:then\s+)?{_EFFECT}", _FLAGS),
]
# What may stand beside a rule and takes nothing from it.
_HARMLESS = re.compile(
    r"(?:(?:otherwise|else)(?:\s+(?:as\s+(?:it\s+is|usual|before|planned)|normally))?"
    r"|(?:rarely|seldom)\s+(?:while|when)\s+(?:it\s+is\s+)?(?:idle|empty|quiet|calm)"
    r"|not\s+at\s+all\s+during\s+(?:(?:announced|scheduled|planned)\s+)?maintenance)",
    _FLAGS,
)
_LEAD = re.compile(r"^[A-Za-z][A-Za-z ]{0,80}:\s*")
_BREAK = re.compile(r"\s*,\s*(?:and\s+|but\s+)?|\s+and\s+(?=at\s+most|every|pause|not\s)", _FLAGS)
_EMPTY = ("empty", "zero")


@dataclass(frozen=True, slots=True)
class _Field:
    """Where a field stands in the target's answers, and a value that it had."""

    pointer: str
    sample: Any


def rules_from(definition: Definition, limits: Limits, documents: Sequence[Any]) -> list[RuleDraft]:
    """Return the rules that a job's intent amounts to, in its order. `documents`: JSON of its newest answers."""
    drafts: list[RuleDraft] = []
    for sentence in re.split(r"[.!?](?=\s|$)|[;\n]", (definition.description or "")[:LONGEST_INTENT]):
        drafts += _read(_LEAD.sub("", sentence.strip()).strip(), definition, limits, documents)
    return drafts


def _read(sentence: str, definition: Definition, limits: Limits, documents: Sequence[Any]) -> list[RuleDraft]:
    whole = _FORMS[1].fullmatch(sentence)
    clauses = [sentence] if whole else _BREAK.split(sentence)
    drafts: list[RuleDraft] = []
    spoken_of: _Field | None = None
    for clause in clauses:
        if _HARMLESS.fullmatch(clause):
            continue
        match = next((fits for form in _FORMS if (fits := form.fullmatch(clause))), None)
        if match is None:
            return []
        found = _comparison(match, spoken_of, documents)
        if found is None:
            return []
        when, spoken_of = found
        terms = _terms(match, when, definition, limits)
        if terms is None:
            return []
        drafts.append(RuleDraft(terms, clause))
    return drafts


def _terms(match: "re.Match[str]", when: Comparison, definition: Definition, limits: Limits) -> Terms | None:
    given = match.groupdict()
    kind = HintKind.PAUSE if given["pause"] else HintKind.INTERVAL
    length = _span(given["pause"] or given["every"])
    if given["most"]:
        baseline = definition.baseline
        if not isinstance(baseline, IntervalBaseline) or length <= baseline.every:
            return None  # a limit that the baseline keeps already, or that cannot be compared with it
    hold = Hold(int(given["runs"] or 1), _span(given["time"]) if given["time"] else timedelta(0))
    ttl = default_ttl(kind, length, limits)
    terms = Terms(when, kind, length, ttl, default_reason(when), enter=hold)
    return None if issues_of(terms, definition, limits) else terms


def _comparison(
    match: "re.Match[str]", spoken_of: _Field | None, documents: Sequence[Any]
) -> tuple[Comparison, _Field | None] | None:
    """Return what a condition compares, and the field it speaks of."""
    given = match.groupdict()
    if given["fails"]:
        return Comparison(OUTCOME, Op.EQ, "failed"), spoken_of
    subject = " ".join(given["subject"].lower().split())
    words = given["op"] or given["sign"]
    op = _OPS[" ".join(words.lower().split())] if words else Op.EQ
    if subject in ("status code", "http status"):
        return _measured(STATUS_CODE, op, given["value"], given["unit"], spoken_of)
    if subject in ("latency", "response time"):
        return _measured(DURATION, op, given["value"], given["unit"], spoken_of)
    if given["unit"]:
        return None  # 500 what?
    field = spoken_of if subject == "it" else _find(given["subject"], documents)
    if field is None:
        return None
    value = _value(given["value"], field.sample)
    if value is None or (op not in (Op.EQ, Op.NE) and not is_number(value)):
        return None
    return Comparison(field.pointer, op, value), field


def _measured(
    measure: str, op: Op, value: str, unit: str | None, spoken_of: _Field | None
) -> tuple[Comparison, _Field | None] | None:
    if not re.fullmatch(_NUMBER, value) or (unit is None) is (measure == DURATION):
        return None
    number = float(value) * (1000 if unit and unit.lower().startswith("s") else 1)
    return Comparison(measure, op, int(number) if number == int(number) else number), spoken_of


def _value(text: str, sample: Any) -> Any:
    """Return the value that a word stands for beside a value that the field had; None: they do not go together."""
    word = text.lower()
    if re.fullmatch(_NUMBER, text):
        number = float(text)
        return (int(number) if number == int(number) else number) if is_number(sample) else None
    if text[0] in "\"'":
        return text[1:-1] if isinstance(sample, str) else None
    if is_number(sample):
        return 0 if word in _EMPTY else None
    if isinstance(sample, bool):
        return {"true": True, "false": False}.get(word)
    return text if isinstance(sample, str) and word not in _EMPTY else None


def _find(name: str, documents: Sequence[Any]) -> _Field | None:
    """Return the one field of that name, dotted path or pointer; None where there is none, or more than one."""
    found: dict[str, Any] = {}
    for document in documents:
        for path, value in _leaves(document, ()):
            pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
            if name in (path[-1], ".".join(path), pointer):
                found.setdefault(pointer, value)
    ((pointer, sample),) = found.items() if len(found) == 1 else (("", None),)
    return _Field(pointer, sample) if pointer else None


def _leaves(document: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(document, dict) and len(path) < DEEPEST_FIELD:
        for name, value in document.items():
            yield from _leaves(value, (*path, str(name)))
    elif path and not isinstance(document, dict | list):
        yield path, document


def _span(text: str) -> timedelta:
    words = text.lower().split()
    if words[0] == "half":
        return timedelta(minutes=30)
    number = re.match(r"\d+(?:\.\d+)?", text)
    unit = text[number.end() :].strip().lower() if number else words[-1]
    scale = {"ms": 0.001, "mi": 60.0, "m": 60.0, "s": 1.0, "h": 3600.0, "d": 86_400.0}
    seconds = 0.001 if unit.startswith("milli") else scale[unit if unit in scale else unit[0]]
    return timedelta(seconds=(float(number[0]) if number else 1.0) * seconds)
