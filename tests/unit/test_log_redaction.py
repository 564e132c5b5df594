"""Planted secrets do not come out: by name, by shape, by value, in text, in structures, in tracebacks, in both formats."""

import json
import subprocess
import sys

import pytest

from rubato.adapters.redaction import Redactor
from rubato.settings import load
from tests.processes import ROOT, clean_environment

PLANTED = {
    "a key of ours": "cron_4fT9pQ2xLmN8vB3kR7wZ1yC6",
    "a signing secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "a model's key": "sk-proj-Ab3dEf6hIj9kLmNoPqRs",
    "a provider's token": "gho_16C7e42F292c6912E7710c838347Ae178B4a",
    "a signed token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
}


@pytest.mark.parametrize("secret", PLANTED.values(), ids=PLANTED.keys())
def test_a_secret_is_known_by_its_shape(secret: str) -> None:
    assert secret not in Redactor().text(f"it failed with {secret}, and ended")


@pytest.mark.parametrize(
    ("written", "secret"),
    [
        ("authorization: Bearer dGhlIHNlY3JldA==", "dGhlIHNlY3JldA=="),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("postgresql://rubato:hunter2!@db:5432/rubato", "hunter2!"),
        ("https://user:p%40ss@target.example/x", "p%40ss"),
    ],
)
def test_a_secret_is_known_by_what_stands_before_it(written: str, secret: str) -> None:
    shown = Redactor().text(written)
    assert secret not in shown
    assert "[redacted]" in shown


def test_a_secret_of_this_process_is_known_by_its_value() -> None:
    redactor = Redactor(['a "quoted" secret value', "postgresql://rubato:p%40ssw0rd@db/rubato", "short"])
    for text in ('a "quoted" secret value', json.dumps('a "quoted" secret value'), "p@ssw0rd", "p%40ssw0rd"):
        assert text.strip('"') not in redactor.text(f"before {text} after")
    assert redactor.text("a short word") == "a short word"


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "client_secret", "DATABASE_URL", "cookie", "password"])
def test_a_field_that_is_named_like_a_secret_is_hidden_at_any_depth(name: str) -> None:
    shown = Redactor().fields({"outer": [{"headers": {name: "plain words", "accept": "*/*"}}]})
    assert shown == {"outer": [{"headers": {name: "[redacted]", "accept": "*/*"}}]}


def test_ordinary_fields_stay_as_they_are() -> None:
    line = {"tokens": 120, "job_id": "job_01h", "event": "run settled", "key": "nightly", "author": "planner"}
    assert Redactor(["x" * 40]).fields(line) == line
    text = "cron_expression */5 * * * * at https://shop.example/queue: HTTP 500 Bearer"
    assert Redactor().text(text) == text


def test_every_secret_setting_is_among_those_that_are_hidden() -> None:
    given = {"RUBATO_SECRET": "s" * 40, "OPENAI_API_KEY": "o" * 40, "DATABASE_URL": "postgresql://u:p@h/d"}
    assert set(load(given).settings.secrets()) == set(given.values())


PROGRAM = """
import logging, structlog
from rubato.adapters.logs import configure_logs

configure_logs(json=AS_JSON, secrets=["postgresql://rubato:hunter2-hunter2@db/rubato", "the-pepper-of-this-process"])
planted = "cron_4fT9pQ2xLmN8vB3kR7wZ1yC6"
structlog.get_logger("rubato").info("sent", headers={"Authorization": "plain-words-secret"}, note=f"with {planted}")
logging.getLogger("sqlalchemy.engine").error("cannot connect with %s", "hunter2-hunter2")
structlog.get_logger("rubato").bind(api_key=planted).warning("bound")

def fails(authorization):
    held = {"cookie": "held-in-a-local"}
    raise ValueError(f"no such key: {authorization} the-pepper-of-this-process")

try:
    fails(planted)
except ValueError:
    logging.getLogger("a.library").exception("it failed")
    structlog.get_logger("rubato").exception("it failed", job_id="job_a")
"""


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "human"])
def test_no_planted_secret_reaches_a_line_of_a_process(as_json: bool) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("AS_JSON", str(as_json))],
        capture_output=True,
        text=True,
        env=clean_environment(),
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    for secret in ("cron_4f", "hunter2", "plain-words-secret", "the-pepper", "held-in-a-local"):
        assert secret not in ended.stderr, secret
    assert ended.stderr.count("[redacted]") >= 6
    assert "ValueError" in ended.stderr
    assert "job_a" in ended.stderr
    if as_json:
        lines = [json.loads(line) for line in ended.stderr.splitlines()]
        assert {"sent", "bound", "it failed", "cannot connect with [redacted]"} == {line["event"] for line in lines}
