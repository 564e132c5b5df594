"""The command line's verbs over the REST API: what they do, what they write, and how they end."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.commands import Command, ok, rubato, service
from tests.integration.served import KEY, Served
from tests.processes import clean_environment, free_port

__all__ = ["rubato", "service"]

QUEUE = ("Order queue", "https://example.com/queue", "--every", "5m", "--min", "30s", "--max", "1h")


def created(command: Command, *args: str) -> dict[str, Any]:
    """Register a job and return it."""
    job: dict[str, Any] = ok(command("jobs", "create", *QUEUE, *args, "-o", "json")).json
    return job


def test_a_job_is_created_with_what_was_typed(rubato: Command) -> None:
    job = created(
        rubato, "--key", "typed", "--label", "team=shop", "--method", "post", "--header", "X-A: b", "--body",
        '{"a": 1}', "--timeout", "10s", "--set", "splay=false", "--description", "gently",
    )  # fmt: skip
    assert (job["baselineIntervalMs"], job["minIntervalMs"], job["maxIntervalMs"]) == (300_000, 30_000, 3_600_000)
    assert (job["method"], job["headersJson"], job["bodyJson"]) == ("POST", {"X-A": "b"}, {"a": 1})
    assert (job["labels"], job["timeoutMs"], job["splay"]) == ({"team": "shop"}, 10_000, False)
    shown = ok(rubato("jobs", "show", "typed"))
    assert "every 5m" in shown.out
    assert "30s to 1h" in shown.out
    assert job["id"] in ok(rubato("jobs", "list", "--label", "team=shop")).out
    assert job["id"] not in ok(rubato("jobs", "list", "--label", "team=other")).out


def test_a_job_is_created_from_a_file_or_standard_input(rubato: Command, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("name: Nightly\nurl: https://example.com\nbaselineCron: 0 3 * * *\n")
    job = ok(rubato("jobs", "create", "-f", "job.yaml", "--zone", "Europe/Berlin", "-o", "yaml"))
    assert yaml.safe_load(job.out)["timezone"] == "Europe/Berlin"
    piped = json.dumps({"name": "Once", "url": "https://example.com", "runAt": "2033-01-01T00:00:00Z"})
    assert ok(rubato("jobs", "create", "-f", "-", "-o", "json", stdin=piped)).json["runAt"] == "2033-01-01T00:00:00Z"


def test_a_job_is_edited_paused_resumed_and_deleted(rubato: Command) -> None:
    job = created(rubato, "--description", "gently")
    edited = ok(rubato("jobs", "edit", job["id"], "--every", "10m", "--clear", "description", "-o", "json")).json
    assert (edited["baselineIntervalMs"], edited["description"], edited["version"]) == (600_000, None, 2)
    assert rubato("jobs", "edit", job["id"]).code == 2
    paused = ok(rubato("jobs", "pause", job["id"], "--until", "2033-01-01T00:00:00Z", "--reason", "a migration"))
    assert "a migration" in paused.out
    assert "2033-01-01 00:00:00Z" in paused.out
    assert "active" in ok(rubato("jobs", "resume", job["id"])).out
    assert rubato("jobs", "delete", job["id"], stdin="n\n").code == 1
    assert ok(rubato("jobs", "delete", job["id"], "--yes")).err.startswith("Deleted")
    assert rubato("jobs", "show", job["id"]).code == 1


def test_why_and_when_are_told(rubato: Command) -> None:
    job = created(rubato, "--key", "told")
    ok(rubato("hints", "add", "told", "--every", "1m", "--for", "1h", "--reason", "a release"))
    explained = ok(rubato("explain", "told"))
    assert "hint_interval" in explained.out
    assert "CANDIDATE" in explained.out
    assert "a release" in ok(rubato("hints", "list", "told")).out
    forecast = ok(rubato("forecast", "told", "--hours", "1", "-o", "json")).json
    assert len(forecast["data"]) > 12
    simulated = ok(rubato("hints", "add", "told", "--every", "1s", "--simulate"))
    assert "A person asked for a run every 1 s" in simulated.out
    (hint,) = ok(rubato("hints", "list", job["id"], "-o", "json")).json
    ok(rubato("hints", "clear", "told", hint["id"]))
    ok(rubato("hints", "clear", "told"))
    assert ok(rubato("hints", "list", "told", "-o", "json")).json == []
    assert len(ok(rubato("hints", "list", "told", "--all", "-o", "json")).json) == 1


def test_sessions_runs_and_the_quota_are_shown(rubato: Command, service: Served) -> None:
    ids = service.populate()
    assert ids["session_id"] in ok(rubato("sessions", "list", ids["job_id"])).out
    assert ids["job_id"] in ok(rubato("sessions", "show", ids["session_id"])).out
    assert ids["run_id"] in ok(rubato("runs", "list", ids["job_id"], "--status", "succeeded")).out
    shown = ok(rubato("runs", "show", ids["run_id"]))
    assert "succeeded" in shown.out
    assert "ALLOWANCE" in ok(rubato("quota")).out


def test_a_key_is_made_shown_once_and_ended(rubato: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ok(rubato("keys", "create", "CI", "--scope", "jobs:read", "--expires-in", "30d", "-o", "json")).json
    assert made["key"].startswith(made["start"])
    shown = ok(rubato("keys", "show", made["id"], "-o", "json")).json
    assert (shown["name"], shown["scopes"], "key" in shown) == ("CI", ["jobs:read"], False)
    assert made["id"] in ok(rubato("keys", "list")).out
    assert made["key"] not in rubato("keys", "list", "-o", "json").out
    with monkeypatch.context() as other:
        other.setenv("RUBATO_API_KEY", made["key"])
        assert rubato("jobs", "list").code == 0
        forbidden = rubato("jobs", "create", *QUEUE)
        assert (forbidden.code, "scope" in forbidden.err) == (1, True)
    ok(rubato("keys", "delete", made["id"], "--yes"))
    assert made["id"] not in ok(rubato("keys", "list")).out


def test_a_run_is_asked_for(rubato: Command) -> None:
    job = created(rubato)
    run = ok(rubato("jobs", "run", job["id"], "-o", "json")).json
    assert (run["jobId"], run["trigger"]) == (job["id"], "manual")


def test_a_run_that_does_not_end_in_time_fails_the_wait(rubato: Command) -> None:
    ended = rubato("jobs", "run", created(rubato)["id"], "--wait", "--timeout", "300ms")
    assert ended.code == 1
    assert "did not end within 300ms" in ended.err


def test_a_refusal_shows_the_field_the_next_step_and_the_request(rubato: Command) -> None:
    ended = rubato("jobs", "create", "x", "https://example.com", "--cron", "61 * * * *")
    assert ended.code == 1
    assert "Field: /baselineCron" in ended.err
    assert "Next: Correct what is named above" in ended.err
    assert "Request: req_" in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("jobs", "create", "x", "https://example.com", "--every", "often"), "30s, 5m"),
        (("jobs", "create", "x", "https://example.com", "--at", "tomorrow"), "2027-01-31T12:00:00Z"),
        (("jobs", "create", "x", "https://example.com", "--label", "team"), "NAME=VALUE"),
        (("jobs", "create", "x", "https://example.com", "--set", "colour=red"), "colour"),
        (("jobs", "create", "-f", "missing.yaml"), "missing.yaml"),
        (("jobs", "list", "-o", "xml"), "xml"),
        (("hints", "add", "job_1"), "exactly one of"),
        (("hints", "add", "job_1", "--every", "1m", "--at", "2033-01-01T00:00:00Z"), "exactly one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_use_is_named_before_anything_is_sent(rubato: Command, args: tuple[str, ...], words: str) -> None:
    ended = rubato(*args)
    assert ended.code in ((1, 2) if "missing.yaml" in args else (2,)), ended.err
    assert words in ended.err


def test_a_key_nobody_has_is_named(rubato: Command) -> None:
    ended = rubato("jobs", "show", "no-such-key")
    assert (ended.code, "no-such-key" in ended.err) == (1, True)


def test_without_a_key_it_says_what_to_set(rubato: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUBATO_API_KEY")
    ended = rubato("jobs", "list")
    assert ended.code == 2
    assert "RUBATO_API_KEY" in ended.err


def test_a_key_that_is_not_valid_is_a_matter_of_configuration(rubato: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUBATO_API_KEY", "cron_wrong")
    ended = rubato("jobs", "list")
    assert ended.code == 2
    assert "RUBATO_API_KEY" in ended.err
    assert "cron_wrong" not in ended.err


def test_a_service_that_is_not_there_is_named(rubato: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("RUBATO_URL", url)
    ended = rubato("quota")
    assert (ended.code, url in ended.err) == (1, True)
    assert "RUBATO_URL" in ended.err


def test_the_developers_key_is_found_on_this_machine_and_sent_nowhere_else(
    rubato: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUBATO_API_KEY")
    (tmp_path / ".rubato").mkdir()
    (tmp_path / ".rubato" / "api_key").write_text(KEY)
    assert rubato("quota").code == 0
    monkeypatch.setenv("RUBATO_URL", "http://rubato.example.com")
    assert "RUBATO_API_KEY is not set" in rubato("quota").err


def test_text_from_elsewhere_cannot_steer_the_terminal(rubato: Command) -> None:
    job = created(rubato, "--description", "calm \x1b[2J\u202e\x9b31m down")
    for output in ("table", "json", "yaml"):
        shown = ok(rubato("jobs", "show", job["id"], "-o", output)).out
        assert "down" in shown
        assert not set(shown) & set("\x1b\x9b\u202e"), output


def test_off_a_terminal_there_is_no_colour_no_frame_and_nothing_is_cut(rubato: Command) -> None:
    name = "n" * 200
    ok(rubato("jobs", "create", name, "https://example.com", "--every", "5m", "--label", "long=name"))
    shown = ok(rubato("jobs", "list", "--label", "long=name")).out
    assert name in shown
    assert shown.isascii()
    assert "\x1b" not in shown


def test_on_a_terminal_a_table_has_a_rule_under_its_head(rubato: Command, service: Served, tmp_path: Path) -> None:
    created(rubato, "--label", "on=terminal")
    ours, theirs = pty.openpty()
    env = {**clean_environment(), "RUBATO_URL": service.url, "RUBATO_API_KEY": KEY, "TERM": "xterm", "COLUMNS": "300"}
    command = [sys.executable, "-m", "rubato", "jobs", "list", "--label", "on=terminal"]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, env=env, cwd=tmp_path, timeout=60, check=True)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.stderr == b""
    assert "\u2500" in shown
    assert "\x1b[1m" in shown


def test_the_shell_completes_nouns_and_verbs(tmp_path: Path) -> None:
    env = {
        **clean_environment(),
        "_RUBATO_COMPLETE": "complete_bash",
        "COMP_WORDS": "rubato jobs pa",
        "COMP_CWORD": "2",
    }
    code = "import sys; sys.argv[0] = 'rubato'; from rubato.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["pause"], done.stderr
