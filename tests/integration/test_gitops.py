"""Jobs kept in files: `rubato apply`, `rubato export jobs` and the schema, against a service."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rubato.client import Client, JobSpec
from rubato.commands.gitops import schema_text
from rubato.gitops import OWNER_LABEL, exported
from tests.integration.commands import Command, Ended, ok, rubato, service
from tests.integration.served import KEY, Served
from tests.processes import ROOT

__all__ = ["rubato", "service"]

QUEUE = {"key": "queue", "name": "Order queue", "url": "https://example.com/queue", "baselineIntervalMs": 300_000}
NIGHTLY = {"key": "nightly", "name": "Nightly", "url": "https://example.com", "baselineCron": "0 3 * * *"}


@pytest.fixture
def client(service: Served) -> Iterator[Client]:
    """Return a client of the service, without any job on it."""
    with Client(service.url, KEY) as client:
        for job in client.list_jobs():
            client.delete_job(job.id)
        yield client


def files(folder: Path, *jobs: dict[str, Any], owner: str = "shop", name: str = "jobs.yaml") -> str:
    """Write a file of jobs and return its path."""
    path = folder / name
    path.write_text(yaml.safe_dump({"owner": owner, "jobs": list(jobs)}, sort_keys=False))
    return str(path)


def dry(command: Command, path: str, *options: str) -> Ended:
    return command("apply", "-f", path, "--dry-run", "--exit-code", *options)


def test_jobs_are_created_changed_and_left_alone(rubato: Command, client: Client, tmp_path: Path) -> None:
    path = files(tmp_path, QUEUE, NIGHTLY)
    planned = dry(rubato, path)
    assert (planned.code, planned.out.split()) == (3, ["+", "queue", "+", "nightly"])
    assert list(client.list_jobs()) == []
    assert ok(rubato("apply", "-f", path)).err.startswith(
        "2 were created, 0 were changed, 0 were deleted; 0 unchanged."
    )
    assert dry(rubato, path).code == 0
    again = ok(rubato("apply", "-f", path))
    assert (again.out, "2 unchanged" in again.err) == ("", True)
    path = files(tmp_path, {**QUEUE, "baselineIntervalMs": 600_000}, NIGHTLY)
    changed = dry(rubato, path)
    assert changed.code == 3
    assert "baselineIntervalMs: 300000 -> 600000" in changed.out
    ok(rubato("apply", "-f", path))
    jobs = {str(job.key): job for job in client.list_jobs(labels={OWNER_LABEL: "shop"})}
    assert (jobs["queue"].baseline_interval_ms, jobs["queue"].version, jobs["nightly"].version) == (600_000, 2, 1)


def test_a_dry_run_without_exit_code_ends_with_0(rubato: Command, client: Client, tmp_path: Path) -> None:
    assert rubato("apply", "-f", files(tmp_path, QUEUE), "--dry-run").code == 0
    assert list(client.list_jobs()) == []
    assert rubato("apply", "-f", files(tmp_path, QUEUE), "--exit-code").code == 2


def test_a_field_taken_out_of_the_file_goes_back_to_its_default(
    rubato: Command, client: Client, tmp_path: Path
) -> None:
    ok(rubato("apply", "-f", files(tmp_path, {**QUEUE, "description": "gently", "method": "POST"})))
    planned = dry(rubato, files(tmp_path, QUEUE))
    assert 'description: "gently" -> nothing' in planned.out
    assert 'method: "POST" -> "GET"' in planned.out


def test_what_stands_in_no_file_any_more_is_pruned_only_when_asked(
    rubato: Command, client: Client, tmp_path: Path
) -> None:
    ok(rubato("apply", "-f", files(tmp_path, QUEUE, NIGHTLY)))
    client.create_job(JobSpec(key="by-hand", name="x", url="https://example.com", baseline_interval_ms=60_000))
    ok(rubato("apply", "-f", files(tmp_path, {**NIGHTLY, "key": "other"}, owner="other", name="o.yaml")))
    path = files(tmp_path, QUEUE)
    assert dry(rubato, path).code == 0
    assert dry(rubato, path, "--prune").out.split() == ["-", "nightly"]
    ok(rubato("apply", "-f", path, "--prune"))
    assert {str(job.key) for job in client.list_jobs()} == {"queue", "by-hand", "other"}
    assert "delete all" in rubato("apply", "-f", files(tmp_path), "--prune").err
    assert len(list(client.list_jobs())) == 3


def test_a_job_of_somebody_elses_is_not_touched_unless_adopted(rubato: Command, client: Client, tmp_path: Path) -> None:
    mine = client.create_job(
        JobSpec(key="queue", name="by hand", url="https://example.com", baseline_interval_ms=60_000)
    )
    refused = rubato("apply", "-f", files(tmp_path, NIGHTLY, QUEUE))
    assert refused.code == 1
    assert "queue: belongs to no file; --adopt takes it over." in refused.err
    assert [job.name for job in client.list_jobs()] == ["by hand"], "nothing is changed while something is refused"
    ok(rubato("apply", "-f", files(tmp_path, QUEUE), "--adopt"))
    assert client.get_job(mine.id).name == "Order queue"
    other = rubato("apply", "-f", files(tmp_path, QUEUE, owner="other"))
    assert "queue: belongs to shop" in other.err


def test_every_job_is_validated_before_one_is_changed(rubato: Command, client: Client, tmp_path: Path) -> None:
    broken = {**NIGHTLY, "baselineCron": "61 3 * * *"}
    ended = rubato("apply", "-f", files(tmp_path, QUEUE, broken))
    assert ended.code == 1
    assert "rubato: nightly:" in ended.err
    assert "nothing was changed" in ended.err
    assert list(client.list_jobs()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("owner: shop\njobs:\n- key: a\n  nam: x\n", "nam"),
        ("owner: shop\njobs:\n- name: x\n", "key"),
        ("jobs: []\n", "owner"),
        ("owner: shop\nowner: other\njobs: []\n", "given twice"),
        ("owner: shop\njobs: [\n", "jobs.yaml"),
        ("- a\n", "is not a mapping"),
        ("", "no document"),
        ("owner: shop\njobs:\n- {key: a, name: x}\n- {key: a, name: y}\n", "stands in"),
        ("owner: shop\njobs:\n- {key: a, name: x, labels: {rubato-owner: me}}\n", "must not set the label"),
        ("owner: a\njobs: []\n---\nowner: b\njobs: []\n", "2 owners"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_a_file_that_is_wrong_is_named_with_what_is_wrong(
    rubato: Command, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "jobs.yaml").write_text(text)
    ended = rubato("apply", "-f", str(tmp_path / "jobs.yaml"))
    assert ended.code == 1
    assert words in ended.err


def test_a_folder_and_standard_input_are_read_too(rubato: Command, client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    files(folder, QUEUE, name="a.yaml")
    (folder / "b.json").write_text(json.dumps({"owner": "shop", "jobs": [NIGHTLY]}))
    (folder / "notes.txt").write_text("not a job")
    ok(rubato("apply", "-f", str(folder)))
    assert {job.key for job in client.list_jobs()} == {"queue", "nightly"}
    piped = ok(
        rubato("apply", "-f", "-", "--dry-run", "--exit-code", stdin=yaml.safe_dump({"owner": "shop", "jobs": [QUEUE]}))
    )
    assert "1 unchanged" in piped.err


def test_the_plan_is_given_to_programs(rubato: Command, client: Client, tmp_path: Path) -> None:
    (change,) = dry(rubato, files(tmp_path, QUEUE), "-o", "json").json
    assert (change["change"], change["key"], change["jobId"]) == ("create", "queue", None)


def test_what_is_exported_applies_without_a_difference(rubato: Command, client: Client, tmp_path: Path) -> None:
    rich = {
        **QUEUE, "description": "Every 30 s while queue_depth is above 500.\nOtherwise as it is.", "group": "shop",
        "labels": {"team": "orders"}, "metadata": {"since": "2027-01-01", "n": [1, None]}, "method": "POST",
        "headersJson": {"X-A": "b"}, "bodyJson": {"on": True, "t": "12:30"}, "minIntervalMs": 30_000,
        "maxIntervalMs": 3_600_000, "timeoutMs": 5000, "catchup": "skip", "delivery": "at_most_once",
        "success": {"statusCodes": [200], "jsonPointer": "/ok", "equals": True},
        "authority": {"tighten": True, "relax": False, "pause": False}, "planner": "shadow", "storeResponses": False,
        "splay": False, "startAt": "2031-01-01T00:00:00Z", "maxRuns": 9,
    }  # fmt: skip
    once = {"key": "once", "name": "Once", "url": "https://example.com", "runAt": "2033-01-01T00:00:00Z"}
    ok(rubato("apply", "-f", files(tmp_path, rich, {**NIGHTLY, "timezone": "Europe/Berlin"}, once)))
    written = ok(rubato("export", "jobs", "--owner", "shop")).out
    (tmp_path / "exported.yaml").write_text(written)
    assert dry(rubato, str(tmp_path / "exported.yaml"), "--prune").code == 0
    assert [job["key"] for job in yaml.safe_load(written)["jobs"]] == ["queue", "nightly", "once"]
    assert ok(rubato("export", "jobs", "queue", "--as", "other")).out.startswith("owner: other\n")


def test_a_stored_secret_stays_and_stands_in_no_file(rubato: Command, client: Client, tmp_path: Path) -> None:
    kept = {**QUEUE, "secretHeaders": {"Authorization": None}}
    assert "no value of it is stored" in dry(rubato, files(tmp_path, kept)).err
    ok(rubato("apply", "-f", files(tmp_path, QUEUE)))
    secret = {"Authorization": "Bearer hidden"}
    ok(rubato("jobs", "edit", "queue", "--set", f"secretHeaders={json.dumps(secret)}"))
    assert dry(rubato, files(tmp_path, kept)).code == 0
    written = ok(rubato("export", "jobs", "queue")).out
    assert "hidden" not in written
    assert yaml.safe_load(written)["jobs"][0]["secretHeaders"] == {"Authorization": None}
    ok(rubato("apply", "-f", files(tmp_path, {**kept, "name": "renamed"})))
    (job,) = client.list_jobs(key="queue")
    assert (job.name, job.secret_headers) == ("renamed", {"Authorization": None})
    assert "secretHeaders" in dry(rubato, files(tmp_path, QUEUE)).out


@pytest.mark.parametrize(
    "job", [QUEUE, NIGHTLY, {**NIGHTLY, "key": "once", "baselineCron": None, "runAt": "2033-01-01T00:00:00Z"}]
)
def test_what_is_exported_leaves_defaults_out(client: Client, job: dict[str, Any]) -> None:
    given = {name: value for name, value in job.items() if value is not None}
    assert list(exported([client.create_job(JobSpec.model_validate(given))])) == [given]


def test_jobs_without_an_owner_or_a_key_are_asked_about(rubato: Command, client: Client) -> None:
    client.create_job(JobSpec(name="x", url="https://example.com", baseline_interval_ms=60_000))
    assert "--as OWNER" in rubato("export", "jobs").err
    kept = ok(rubato("export", "jobs", "--as", "shop"))
    assert "1 without a key were left out" in kept.err
    assert yaml.safe_load(kept.out)["jobs"] == []


def test_the_schema_for_editors_is_the_one_in_the_docs() -> None:
    assert (ROOT / "docs" / "jobs.schema.json").read_text() == schema_text()
