"""What an answer says, in a few bytes a field, so that the next answer can be held against it.

A field keeps the value last noticed, not its text: a number moves when it has changed by a quarter since, a word when
it differs. A field that moves at nearly every run is noise and is learned as such: a word by moving, a number by
turning back (what rises for an hour is no noise). It stops being noise after it has stood still for a while, and that
counts as news. Arrays count by their length and by what is in them, in any order. At most 40 fields are kept apart;
the rest shares one.
"""

import json
import re
import struct
from collections.abc import Iterable
from functools import lru_cache
from math import isfinite, log2
from operator import itemgetter
from typing import Any, NamedTuple
from zlib import crc32

MOST_FIELDS = 40  # 7 bytes each: a state stays below 300 bytes, whatever a target answers
DEEPEST = 8
NUMBER_STEP, NUMBER_UNIT = 21, 0.01  # 64 steps a doubling: 21 are a quarter more
LATENCY_STEP, LATENCY_UNIT = 128, 50.0  # two doublings; below 50 ms there is nothing to tell
NOISY_AT, NOISE_CAP, MOVED_BY = 6, 12, 2  # three moves in a row make noise of a field; a dozen still runs unmake it

# Names of a target's own fields begin with a slash.
STATUS, LATENCY, SHAPE, ERROR = "status", "latency", "its fields", "the error"

_FIELD = struct.Struct("<IHB")
_SIGNS = struct.Struct("<IHBIHB")  # the first two fields, which every state begins with: status and latency
_ERROR_PATH = crc32(ERROR.encode())
_encode = json.JSONEncoder(sort_keys=True).encode
_SCORE, _NOISY, _UP, _DOWN = 0b0000_1111, 0b0001_0000, 0b0010_0000, 0b0100_0000
_NOISE_NAME = re.compile(
    r"(?:^|[/_])(?:timestamp|time|ts|now|date|nonce|uuid|uptime\w*|elapsed\w*|took\w*|(?:request|trace|span|correlation)_?id"
    r"|(?:checked|generated|served|fetched|requested|responded)_?at)$",
    re.IGNORECASE,
)
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?|\b\d\d:\d\d:\d\d\b"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b[0-9a-f]{24,64}\b",
    re.IGNORECASE,
)
_PAIR = re.compile(
    r'"((?:[^"\\]|\\.){1,64})"\s{0,8}:\s{0,8}("(?:[^"\\]|\\.){0,200}"|-?\d[\d.eE+-]{0,40}|true|false|null)', re.ASCII
)


class Compared(NamedTuple):
    """`fields`: the state to keep. `moved`: the names that changed beyond noise. `stilled`: noise that has settled.
    `restless`: some field is on its way to noise or back, so that even an equal answer changes the state."""

    fields: bytes
    moved: tuple[str, ...]
    stilled: tuple[str, ...]
    restless: bool


def compare(before: bytes, answer: Iterable[tuple[str, Any]], *, is_failure: bool = False) -> Compared:
    """Hold an answer's fields (name, value) against the state kept of the answers before. Never raises.

    What is known of healthy answers outlasts failures, and the last error's words outlast healthy answers: else noise
    would have to be learned anew after each.
    """
    known = {path: (value, mark) for path, value, mark in _FIELD.iter_unpack(before)}
    kept: dict[int, tuple[int, int]] = {}
    moved: list[str] = []
    stilled: list[str] = []
    for name, value in _capped(answer):
        path = crc32(name.encode("utf-8", "replace"))
        while path in kept:
            path = (path + 1) & 0xFFFFFFFF
        code, step = _code(name, value)
        old = known.get(path)
        if old is None:
            kept[path] = code, 0  # that there is a new name shows in the shape
            continue
        noticed, mark = old
        if abs(code - noticed) < step if step else code == noticed:
            calmer = _calmer(mark)
            if mark & _NOISY and not calmer & _NOISY:
                stilled.append(name)
            kept[path] = noticed, calmer
        else:
            if not mark & _NOISY:
                moved.append(name)
            kept[path] = code, _moved(mark, rising=code > noticed, is_number=step > 0)
    for path, outlasting in known.items():
        if path not in kept and (is_failure or path == _ERROR_PATH):
            kept[path] = outlasting
    fields = b"".join(_FIELD.pack(path, value, mark) for path, (value, mark) in kept.items())
    return Compared(fields, tuple(moved), tuple(stilled), any(mark & _SCORE for _, mark in kept.values()))


def signs_of(status: str, latency_ms: int) -> tuple[tuple[str, Any], tuple[str, Any]]:
    """Return the fields that every answer has, body or none; they come first."""
    return (STATUS, status), (LATENCY, latency_ms)


def shows_same_signs(before: bytes, status: str, latency_ms: int) -> bool:
    """Tell whether status and latency have not moved, at a tenth of the cost of comparing."""
    signs: tuple[int, ...] = _SIGNS.unpack_from(before)
    noticed, pace = signs[1], signs[4]
    return noticed == crc32(status.encode()) & 0xFFFF and abs(_scaled(latency_ms, LATENCY_UNIT) - pace) < LATENCY_STEP


def fields_of(text: str) -> list[tuple[str, Any]]:
    """Return the fields of a body: a JSON document's leaves, the pairs of one that was cut, or a text's lines. What is
    known to be noise (moments, request ids) is left out. The shape, what names there are, is a field too, so that names
    which are new at every run are noise as well."""
    found = sorted(_fields(text), key=itemgetter(0))
    names = "\n".join([name for name, _ in found]).encode("utf-8", "replace")
    return [(SHAPE, str(crc32(names))), *found]


def _fields(text: str) -> list[tuple[str, Any]]:
    document: Any = None
    if text[:1] in ("{", "[") or text.lstrip()[:1] in ("{", "["):
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return _pairs(text)
    if document is None:
        lines = (line.strip() for line in text.splitlines()[: MOST_FIELDS + 1])
        return [(f"/line {number}", _MOMENT.sub("@", line)) for number, line in enumerate(lines, 1) if line]
    found: list[tuple[str, Any]] = []
    _leaves(document, "", 0, found)
    return found


def _leaves(value: Any, name: str, depth: int, found: list[tuple[str, Any]]) -> None:
    if isinstance(value, dict) and depth < DEEPEST:
        for key, inner in value.items():
            _leaves(inner, f"{name}/{key}", depth + 1, found)
    elif isinstance(value, list):
        found.append((f"{name}/length", len(value)))
        found.append((f"{name}/items", sum(crc32(_bytes(_repeatable(item, depth))) for item in value)))
    elif not _is_noise(name):
        found.append((name, value))


def _repeatable(value: Any, depth: int) -> Any:
    """Return an array's item without the noise in it."""
    if isinstance(value, dict) and depth < DEEPEST:
        return {key: _repeatable(inner, depth + 1) for key, inner in value.items() if not _is_noise(key)}
    return value


def _pairs(text: str) -> list[tuple[str, Any]]:
    """Return what can be read of a JSON document that was cut: its scalar pairs, numbered where a name repeats."""
    found: list[tuple[str, Any]] = []
    seen: dict[str, int] = {}
    for name, raw in _PAIR.findall(text):
        seen[name] = seen.get(name, 0) + 1
        if not _is_noise(name):
            found.append((f"/{name} {seen[name]}", _number(raw)))
    return found


@lru_cache(1024)
def _is_noise(name: str) -> bool:
    """Tell whether a name says by itself that its value changes with every answer. A target's names repeat."""
    return _NOISE_NAME.search(name) is not None


def _number(raw: str) -> Any:
    try:
        return float(raw)
    except ValueError:
        return raw


def _capped(answer: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
    """Let what is beyond the cap share one field."""
    rest: list[str] = []
    for count, (name, value) in enumerate(answer, 1):
        if count < MOST_FIELDS:
            yield name, value
        else:
            rest.append(f"{name}={value!r}")
    if rest:
        yield "/the rest", str(crc32("\n".join(rest).encode("utf-8", "replace")))


def _code(name: str, value: Any) -> tuple[int, int]:
    """Return a value in 16 bits, and by how much it must differ to have moved; 0: at all."""
    is_latency = name == LATENCY
    if isinstance(value, int | float) and not isinstance(value, bool) and not name.endswith("/items"):
        unit = LATENCY_UNIT if is_latency else NUMBER_UNIT
        return _scaled(value, unit), LATENCY_STEP if is_latency else NUMBER_STEP
    text = _MOMENT.sub("@", value) if isinstance(value, str) and len(value) > 200 else value
    if isinstance(text, str) or name.endswith("/items"):
        return crc32(_bytes(text)) & 0xFFFF, 0
    return ~crc32(_bytes(text)) & 0xFFFF, 0  # the word "true" is not the value true


def _scaled(value: float, unit: float) -> int:
    """Return a number on a scale of 64 steps a doubling, zero in the middle."""
    try:
        size = abs(float(value)) / unit
    except OverflowError:
        size = float("inf")
    steps = min(round(64 * log2(1 + size)), 0x7FFF) if isfinite(size) else 0x7FFF
    return 0x8000 + steps if value >= 0 else 0x8000 - steps


def _calmer(mark: int) -> int:
    score = mark & _SCORE
    if not score:
        return mark
    mark -= 1
    return mark & ~_NOISY if score == 1 else mark


def _moved(mark: int, *, rising: bool, is_number: bool) -> int:
    way = _UP if rising else _DOWN
    turned = mark & (_DOWN if rising else _UP)
    score = mark & _SCORE
    if turned or not is_number:
        score = min(score + MOVED_BY, NOISE_CAP)
    noisy = _NOISY if mark & _NOISY or score >= NOISY_AT else 0
    return score | noisy | (way if is_number else 0)


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    try:
        return _encode(value).encode()
    except (TypeError, ValueError, RecursionError):
        return repr(type(value)).encode()
