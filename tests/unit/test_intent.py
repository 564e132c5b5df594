"""Rules out of plain words: the common forms, and no rule at all for everything else."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.entities import Authority, CronBaseline, HintKind, Limits
from core.intent import rules_from
from core.predicates import in_words
from core.rules import issues_of
from tests.unit.loop import definition

DOCUMENTS = [
    {"queue_depth": 3, "state": "ok", "load": {"one": 0.5}, "open": True, "deep": {"a": 1}, "other": {"a": 2}},
    {"queue_depth": 900, "errors": 2, "text": "x"},
]
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def compiled(intent: str, **fields: Any) -> list[tuple[str, timedelta, int, timedelta]]:
    made = definition(60, description=intent, **fields)
    drafts = rules_from(made, Limits(), DOCUMENTS)
    assert all(issues_of(draft.terms, made, Limits()) == [] for draft in drafts)
    found = [draft.terms for draft in drafts]
    return [(in_words(each.when), each.length, each.enter.runs, each.enter.time) for each in found]


def one(words: str, length: timedelta, runs: int = 1, time: timedelta = timedelta(0)) -> Any:
    return [(words, length, runs, time)]


DEEP = "/queue_depth is above 500"


@pytest.mark.parametrize(
    ("intent", "expected"),
    [
        ("every 30 s while queue_depth is above 500", one(DEEP, 30 * SECOND)),
        ("Check every 30 seconds when queue_depth > 500.", one(DEEP, 30 * SECOND)),
        ("Please check it once every 30 s if the queue_depth exceeds 500", one(DEEP, 30 * SECOND)),
        ("Watch the orders: every 30 s while queue_depth is over 500, otherwise as it is.", one(DEEP, 30 * SECOND)),
        ("While queue_depth is above 500, check every 30 s", one(DEEP, 30 * SECOND)),
        ("if queue_depth is above 500 then run every 30 s", one(DEEP, 30 * SECOND)),
        ("every 250 ms while load.one under 1.5", one("/load/one is below 1.5", SECOND / 4)),
        ("every 30 s while one is at least 2", one("/load/one is at least 2", 30 * SECOND)),
        ("every 30 s while /load/one is at most 2", one("/load/one is at most 2", 30 * SECOND)),
        ("every 20 s while state is degraded", one('/state is "degraded"', 20 * SECOND)),
        ('every 20 s while state is not "ok"', one('/state is not "ok"', 20 * SECOND)),
        ("every 20 s while open is false", one("/open is false", 20 * SECOND)),
        ("every 20 s while errors is not zero for 3 runs in a row", one("/errors is not 0", 20 * SECOND, 3)),
        ("every 20 s while errors = 2 for at least 5 minutes", one("/errors is 2", 20 * SECOND, 1, 5 * MINUTE)),
        ("every 15 s while it fails", one('outcome is "failed"', 15 * SECOND)),
        ("every 15 s while the status code is 429", one("status_code is 429", 15 * SECOND)),
        ("every 15 s while latency is above 2 s", one("duration_ms is above 2000", 15 * SECOND)),
        ("every 15 s while response time > 350ms", one("duration_ms is above 350", 15 * SECOND)),
        ("every hour when queue_depth is empty for half an hour", one("/queue_depth is 0", HOUR, 1, HOUR / 2)),
        ("if latency is above 2 s, check every minute and", []),
        ("if latency is above 2 s, check every hour", one("duration_ms is above 2000", HOUR)),
        ("pause for 10 minutes when state is maintenance", one('/state is "maintenance"', 10 * MINUTE)),
        (
            "check every 30 s while queue_depth is above 500, at most every 10 min when it is empty for an hour",
            [*one(DEEP, 30 * SECOND), *one("/queue_depth is 0", 10 * MINUTE, 1, HOUR)],
        ),
        (
            "Watch it: every 2 s while queue_depth is above 100, rarely while it is idle, and not at all during maintenance.",
            one("/queue_depth is above 100", 2 * SECOND),
        ),
        ("Tell Ann when it is done. Every 30 s while queue_depth is above 500.", one(DEEP, 30 * SECOND)),
    ],
)
def test_common_forms_make_rules(intent: str, expected: Any) -> None:
    assert compiled(intent) == expected


@pytest.mark.parametrize(
    "intent",
    [
        "",
        "Tell me when the deploy is done, every now and then.",
        "every 30 s",
        "do not run every 30 s while queue_depth is above 500",
        "never every 30 s while queue_depth is above 500",
        "every 30 s while queue_depth is above 500 unless it is Sunday",
        "every 30 s while queue_depth is above 500, but only on weekdays",
        "every 30 s while queue_depth is above 500, except at night",
        "every 30 s while queue_depth is above 500, not more than ten times",
        "every 30 s while queue_depth is above 500 and errors is above 3",
        "every 30 s while queue_depth is above 500%",
        "every 30 s while queue_depth is above 500 orders",
        "every 30 s while queue_depth is above 500 ms",
        "every 30 s while queue_depth is above 1,000",
        "every 30 s while queue_depth is above 10k",
        "every 30 s while queue_depth is above many",
        "every 30 s while queue_depth 500",
        "every 30 s while queue_depth is above errors",
        "every 30 s while queue_depth is degraded",
        "every 30 s while state is above 5",
        "every 30 s while state is 5",
        "every 30 s while it is above 500",
        "every 30 s while backlog is above 500",  # no answer has such a field
        "every 30 s while a is above 1",  # two have
        "every 30 s while Queue_Depth is above 1",
        "every 30 s while latency is above 2",  # of what?
        "every 30 s while status code is 4xx",
        "at least every 30 s while queue_depth is above 500",
        "at most every 30 s while queue_depth is above 500",  # the baseline keeps that already
        "every few seconds while queue_depth is above 500",
        "every 30 s until queue_depth is above 500",
        "every 30 s while queue_depth is above 500 or errors is above 1",
        "every 30 s while queue_depth was above 500",
        "every 30 to 60 s while queue_depth is above 500",
        "every 30 s while queue_depth is above 500, stop at night",
        "every 30 s while queue_depth is above 500 for a while",
        "every 30 s while queue_depth is above 500, rarely while the load is high",
        "every 0 s while queue_depth is above 500",
        "every 20 h while queue_depth is above 500",  # longer than a hint's life allows
        "jede 30 s solange queue_depth über 500 ist",
        "Alle 30 Sekunden, wenn die Warteschlange voll ist",
    ],
)
def test_whatever_else_is_written_makes_no_rule_rather_than_a_wrong_one(intent: str) -> None:
    assert compiled(intent) == []


def test_what_is_not_granted_or_not_comparable_makes_no_rule() -> None:
    tight, slow = "every 30 s while queue_depth is above 500", "at most every 10 min while queue_depth is zero"
    assert compiled(tight, authority=Authority(relax=True)) == []
    assert compiled(slow, authority=Authority(tighten=True)) == []
    assert compiled(slow, baseline=CronBaseline("every 60")) == []
    assert compiled("pause for 1 h while queue_depth is zero", authority=Authority(tighten=True, relax=True)) == []


def test_a_pause_is_a_pause() -> None:
    (draft,) = rules_from(definition(60, description="pause for 10 min while errors > 5"), Limits(), DOCUMENTS)
    assert (draft.terms.kind, draft.terms.length, draft.terms.ttl) == (HintKind.PAUSE, 10 * MINUTE, 10 * MINUTE)
    assert draft.description == "pause for 10 min while errors > 5"


words = st.sampled_from(
    [
        "every",
        "at",
        "most",
        "30",
        "s",
        "min",
        "while",
        "when",
        "if",
        "queue_depth",
        "state",
        "it",
        "is",
        "not",
        "above",
        "below",
        "500",
        "0",
        "empty",
        "for",
        "an",
        "hour",
        "runs",
        "pause",
        ",",
        ".",
        "and",
        "unless",
        "only",
        "never",
        ">",
        "=",
        "fails",
        "otherwise",
        "rarely",
        "idle",
        "/",
        '"',
        "'",
        ":",
        ";",
        "1.5",
    ]
)


@given(st.lists(words, max_size=14).map(" ".join) | st.text(max_size=200))
def test_any_text_is_read_without_a_fault(text: str) -> None:
    for _, length, runs, time in compiled(text):
        assert length > timedelta(0)
        assert runs >= 1
        assert time >= timedelta(0)
