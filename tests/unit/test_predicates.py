"""Predicates: three-valued, total over anything a target answers, read from JSON with precise complaints."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.entities import RunStatus
from core.predicates import (
    MEASURES,
    Comparison,
    Every,
    Op,
    Predicate,
    Response,
    Some,
    in_words,
    judge,
    parse,
    plain,
    read,
)

BODY = '{"queue":{"depth":501},"status":"degraded","items":[1,2],"gone":null,"ok":true,"a/b":1,"m~n":2,"big":1e999}'
FULL = read(RunStatus.SUCCEEDED, 200, 12, BODY, truncated=False)


def comparison(field: str, op: str, *value: Any) -> Comparison:
    return Comparison(field, Op(op), *value)


@pytest.mark.parametrize(
    ("field", "op", "value", "expected"),
    [
        ("/queue/depth", "gt", 500, True),
        ("/queue/depth", "gt", 501, False),
        ("/queue/depth", "ge", 501, True),
        ("/queue/depth", "lt", 501.5, True),
        ("/queue/depth", "le", 500, False),
        ("/status", "eq", "degraded", True),
        ("/status", "ne", "degraded", False),
        ("/status", "gt", 5, None),  # a text has no order
        ("/items/1", "eq", 2, True),
        ("/items/2", "eq", 2, None),
        ("/items/-", "exists", None, False),
        ("/a~1b", "eq", 1, True),
        ("/m~0n", "eq", 2, True),
        ("/gone", "exists", None, True),
        ("/gone", "eq", None, True),
        ("/none", "absent", None, True),
        ("/none", "ne", 5, None),  # what is not there cannot differ
        ("/ok", "eq", 1, False),  # true is not 1
        ("/ok", "gt", 0, None),
        ("/big", "gt", 5, None),  # what JSON calls infinite is no number
        ("status_code", "eq", 200, True),
        ("duration_ms", "lt", 12, False),
        ("outcome", "eq", "succeeded", True),
    ],
)
def test_a_comparison_is_true_false_or_not_to_be_judged(field: str, op: str, value: Any, expected: bool | None) -> None:
    assert judge(comparison(field, op, value), FULL) is expected


@pytest.mark.parametrize(
    ("body", "truncated", "unread"),
    [
        (None, False, "no_body"),
        ("", False, "no_body"),
        ('{"queue":', True, "truncated"),
        ("<html>", False, "not_json"),
        ("[" * 100_000, False, "not_json"),
        ("9" * 5000, False, "not_json"),
    ],
)
def test_a_body_that_cannot_be_read_says_why_and_settles_nothing(
    body: str | None, truncated: bool, unread: str
) -> None:
    response = read(RunStatus.SUCCEEDED, 200, 1, body, truncated=truncated)
    assert response.unread == unread
    for op in Op:
        assert judge(comparison("/queue/depth", op, 1), response) is None
    assert judge(comparison("status_code", "eq", 200), response) is True


def test_one_false_settles_every_and_one_true_settles_some() -> None:
    yes, no = comparison("status_code", "eq", 200), comparison("status_code", "eq", 500)
    unsaid = comparison("/nowhere", "gt", 1)
    assert judge(Every((yes, unsaid)), FULL) is None
    assert judge(Every((no, unsaid)), FULL) is False
    assert judge(Some((no, unsaid)), FULL) is None
    assert judge(Some((yes, unsaid)), FULL) is True
    assert judge(Every((yes, Some((no, yes)))), FULL) is True
    assert judge(Some((no, no)), FULL) is False


def test_without_an_answer_only_the_outcome_is_known() -> None:
    response = Response(RunStatus.FAILED)
    assert judge(comparison("status_code", "ge", 500), response) is None
    assert judge(comparison("outcome", "eq", "failed"), response) is True


@pytest.mark.parametrize(
    ("given_", "pointer", "words"),
    [
        (None, "/when", "A condition is an object"),
        ([], "/when", "A condition is an object"),
        ({}, "/when/field", "field is a JSON pointer"),
        ({"field": "queue_depth", "op": "gt", "value": 1}, "/when/field", "such as /queue/depth"),
        ({"field": "/a~2", "op": "gt", "value": 1}, "/when/field", "JSON pointer"),
        ({"field": "/" + "a" * 300, "op": "gt", "value": 1}, "/when/field", "300"),
        ({"field": "/a", "op": "above", "value": 1}, "/when/op", "eq, ne, gt"),
        ({"field": "/a", "op": "gt"}, "/when/value", "needs a value"),
        ({"field": "/a", "op": "gt", "value": "5"}, "/when/value", "finite number"),
        ({"field": "/a", "op": "gt", "value": True}, "/when/value", "finite number"),
        ({"field": "/a", "op": "gt", "value": float("nan")}, "/when/value", "finite number"),
        ({"field": "/a", "op": "eq", "value": []}, "/when/value", "a text, a finite number"),
        ({"field": "/a", "op": "eq", "value": "x" * 301}, "/when/value", "300 characters"),
        ({"field": "/a", "op": "exists", "value": 1}, "/when/value", "takes no value"),
        ({"field": "outcome", "op": "eq", "value": "lost"}, "/when/value", "succeeded or failed"),
        ({"field": "outcome", "op": "gt", "value": 1}, "/when/value", "eq or ne"),
        ({"field": "status_code", "op": "eq", "value": "200"}, "/when/value", "finite number"),
        ({"field": "/a", "op": "gt", "value": 1, "x/y": 2}, "/when/x~1y", "does not belong here"),
        ({"all": []}, "/when/all", "1 to 16"),
        ({"any": "x"}, "/when/any", "1 to 16"),
        ({"all": [{"field": "/a", "op": "exists"}], "op": "gt"}, "/when/op", "does not belong here"),
        ({"all": [{"field": "/a", "op": "exists"}, {"field": "/b"}]}, "/when/all/1/op", "op is one of"),
        ({"all": [{"any": [{"all": [{"any": [{"field": "/a", "op": "exists"}]}]}]}]}, None, "levels deep"),
        ({"all": [{"any": [{"field": "/a", "op": "exists"}] * 9}] * 2}, "/when", "16 comparisons"),
    ],
)
def test_a_bad_condition_is_refused_at_its_place(given_: Any, pointer: str | None, words: str) -> None:
    predicate, issues = parse(given_, "/when")
    assert predicate is None
    assert any(words in issue.detail and pointer in (None, issue.pointer) for issue in issues), issues


values = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
)
documents = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
said = (
    st.none()
    | st.booleans()
    | st.integers(-(10**14), 10**14)
    | st.floats(-1e14, 1e14)
    | st.text(st.characters(categories=["L", "N", "P"]), max_size=20)
)
leaves = st.one_of(
    st.builds(Comparison, st.sampled_from(["/a", "/a/0", "/~0", "/"]), st.sampled_from([Op.EQ, Op.NE]), said),
    st.builds(Comparison, st.sampled_from(["/a", "/b/a"]), st.sampled_from([Op.GT, Op.LE]), st.integers(-9, 9)),
    st.builds(Comparison, st.sampled_from([*MEASURES, "/a"]), st.sampled_from([Op.EXISTS, Op.ABSENT])),
)
predicates = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=2).map(tuple).map(Every)
        | st.lists(inner, min_size=1, max_size=2).map(tuple).map(Some)
    ),
    max_leaves=4,
)


@given(predicates, documents)
def test_judging_never_raises_and_says_the_same_of_the_same(predicate: Predicate, document: Any) -> None:
    response = Response(RunStatus.FAILED, 503, 7, document, unread=None)
    assert judge(predicate, response) in (True, False, None)
    assert judge(predicate, response) is judge(predicate, response)
    assert in_words(predicate)


@given(predicates)
def test_what_is_written_is_read_again(predicate: Predicate) -> None:
    written = json.loads(json.dumps(plain(predicate)))
    again, issues = parse(written, "")
    deep = any(issue.code in ("too_deep", "too_many") for issue in issues)
    assert deep if again is None else plain(again) == written, issues
