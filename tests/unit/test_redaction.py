"""What a model is shown of an answer: no address, no secret, nothing invisible."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.reading import excerpt
from tools.redaction import GONE, cut, redact, visible

TAIL = "9f8Qz7Lw2Kx5Vn3Rb6Tm1Yc4Hd0Js8Pg"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('{"password": "hunter2 is long"}', "hunter2"),
        ('{"db":{"adminPassword":"s3cr3t"}}', "s3cr3t"),
        ("password=hunter2&x=1", "hunter2"),
        ("Authorization: Bearer abcdef1234567890", "abcdef1234567890"),
        ('{"api_key":"k-1234"}', "k-1234"),
        ("{'apiKey': 'k-1234'}", "k-1234"),
        (f"the key is sk-{TAIL}", TAIL),
        (f"ghp_{TAIL} was found", TAIL),
        (f"cron_{TAIL}", TAIL),
        ("see https://intern.example/path?token=1 for more", "intern.example"),
        ("postgresql://user:pw@host:5432/db", "pw@host"),
        ("write to jane.doe@example.com", "jane.doe"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "eyJzdWIi"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIB\n-----END RSA PRIVATE KEY-----", "MIIEpAIB"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEpAIB and cut", "MIIEpAIB"),
        (f"blob {TAIL}{TAIL}", TAIL),
        ('{"set-cookie":"sid=abc"}', "sid=abc"),
        ('{"password":"cut in the mid', "cut in"),
        ("pass\u200bword=hunter2", "hunter2"),
    ],
)
def test_a_secret_is_taken_out(text: str, secret: str) -> None:
    shown = redact(text)
    assert secret not in shown
    assert GONE in shown


@pytest.mark.parametrize(
    "text",
    [
        '{"status":"ok","queue_depth":512,"next_update":"2026-01-05T12:00:00Z"}',
        '{"tokens_used": 1200, "token_bucket": 0.5, "secret_ok": true}',
        "Scheduled maintenance until 2026-01-05T12:00:00Z.",
        "Größe: 5 — naïve café 数量",
        "error at line 12: division by zero",
    ],
)
def test_what_is_evidence_stays(text: str) -> None:
    assert redact(text) == text


def test_what_nobody_sees_is_left_out() -> None:
    assert visible("a\u200b\u202eb\U000e0041\x00c\ue000\nd\te") == "abc d e"


@settings(max_examples=100)
@given(st.text(max_size=3000), st.integers(0, 2000))
def test_an_excerpt_keeps_to_its_size_inside_a_json_string(body: str, size: int) -> None:
    shown = json.dumps(excerpt(body, size), ensure_ascii=False)
    assert len(shown.encode()) <= size + 2
    assert visible(shown) == shown


@given(st.text(max_size=200), st.integers(0, 100))
def test_a_cut_never_breaks_a_character(text: str, size: int) -> None:
    kept = cut(text, size)
    assert len(kept.encode("utf-8", "replace")) <= max(size, 0)
    assert text.startswith(kept)


@pytest.mark.parametrize(
    "text",
    ["eyJ" * 3000, "-eyJ" * 2000, "a." * 4096, "password" * 1000, '"token":"' + "\\" * 8000, "@a" * 4000, "sk-" * 2700],
)
def test_texts_made_to_be_slow_are_not(text: str) -> None:
    """Measured in steps of a processor, not of a clock on the wall: a quadratic pattern takes seconds here."""
    begun = time.process_time()
    redact(text[:8192])
    assert time.process_time() - begun < 2
