"""The Python client against the running service, over a real PostgreSQL."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from rubato.client import (
    AsyncClient,
    Client,
    HintSpec,
    InvalidRequest,
    Job,
    JobSpec,
    KeySpec,
    NotFound,
    Retries,
    Unauthenticated,
    VersionChanged,
    calls,
)
from tests.integration.served import KEY, Served, served
from tests.postgres import fresh

ONCE = Retries(attempts=1)
SPEC = JobSpec(
    name="Order queue", url="https://example.com/queue", baseline_interval_ms=300_000, min_interval_ms=30_000
)


@pytest.fixture(scope="module")
def service(postgres_url: str, template: str) -> Iterator[Served]:
    """Serve the API for the module."""
    for url in fresh(postgres_url, template):
        with served(url) as running:
            yield running


@pytest.fixture
def client(service: Served) -> Iterator[Client]:
    """Return a client of the service."""
    with Client(service.url, KEY, retries=ONCE) as made:
        yield made


def keyed(key: str) -> JobSpec:
    return SPEC.model_copy(update={"key": key})


def test_a_job_is_registered_read_edited_and_deleted(client: Client) -> None:
    job = client.create_job(SPEC)
    assert isinstance(job, Job)
    assert (job.name, job.baseline_interval_ms, job.status, job.version) == ("Order queue", 300_000, "active", 1)
    assert job.created_at.tzinfo is not None
    edited = client.update_job(job.id, {"description": "gently", "startAt": datetime(2031, 1, 1, tzinfo=UTC)})
    assert (edited.version, edited.description) == (2, "gently")
    assert edited.start_at == datetime(2031, 1, 1, tzinfo=UTC)
    assert client.get_job(job.id).wire() == edited.wire()
    assert [each.version for each in client.list_job_versions(job.id)] == [2, 1]
    client.delete_job(job.id)
    with pytest.raises(NotFound, match="job") as gone:
        client.get_job(job.id)
    assert gone.value.request_id


async def test_the_asynchronous_client_does_the_same(service: Served) -> None:
    async with AsyncClient(service.url, KEY) as client:
        job = await client.create_job(SPEC)
        hint = await client.create_hint(job.id, HintSpec(kind="interval", interval_ms=60_000, reason="a release"))
        assert [each.id async for each in client.list_hints(job.id)] == [hint.id]
        explained = await client.explain_job(job.id)
        assert explained.hint_id == hint.id
        assert [each.id for each in explained.active_hints] == [hint.id]
        await client.clear_hint(job.id, hint.id)
        assert [each async for each in client.list_hints(job.id)] == []
        await client.delete_job(job.id)


def test_a_list_is_iterated_across_its_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "LARGEST_PAGE", 2)
    labels = {"test": "pages"}
    made = [client.create_job(SPEC.model_copy(update={"labels": labels, "name": f"j{n}"})).id for n in range(5)]
    assert [job.id for job in client.list_jobs(labels=labels)] == list(reversed(made))
    assert [job.id for job in client.list_jobs(labels=labels, status="paused")] == []


def test_a_tempo_is_bent_paused_and_explained(client: Client, service: Served) -> None:
    ids = service.populate()
    job_id = ids["job_id"]
    until = datetime.now(UTC) + timedelta(hours=1)
    paused = client.pause_job(job_id, until=until, reason="a migration")
    assert (paused.status, paused.pause_reason) == ("paused", "a migration")
    assert client.resume_job(job_id).status == "active"
    wish = HintSpec(kind="interval", interval_ms=10_000)
    simulated = client.simulate_hint(job_id, wish)
    assert simulated.after.source == "hint_interval"
    assert client.forecast_job(job_id, hours=1).data
    run = client.run_job(job_id)
    assert (run.trigger, run.has_ended) == ("manual", False)
    assert client.get_run(run.id).id == run.id
    assert client.cancel_run(run.id).has_ended
    assert ids["run_id"] in [each.id for each in client.list_runs(job_id, status="succeeded")]
    assert ids["run_id"] in [each.id for each in client.list_runs()]
    assert [each.id for each in client.list_sessions(job_id)] == [ids["session_id"]]
    assert client.get_session(ids["session_id"]).job_id == job_id
    assert client.plan_job(job_id).job_id == job_id
    assert {window.name for window in client.get_quota().data}
    client.clear_hints(job_id)


def test_what_is_refused_says_what_and_what_to_do(client: Client, service: Served) -> None:
    with pytest.raises(InvalidRequest) as refused:
        client.create_job(JobSpec(name="x", url="https://example.com"))
    assert "baselineIntervalMs" in str(refused.value)
    assert refused.value.next_step
    with pytest.raises(InvalidRequest) as named:
        client.update_job(client.create_job(SPEC).id, {"minIntervalMs": -1})
    assert [error.where for error in named.value.errors] == ["/minIntervalMs"]
    with Client(service.url, "cron_wrong") as stranger, pytest.raises(Unauthenticated) as unknown:
        stranger.get_quota()
    assert "RUBATO_API_KEY" in unknown.value.next_step


def test_rules_switches_members_keys_and_many_jobs(client: Client) -> None:
    job = client.create_job(SPEC.model_copy(update={"group": "many"}))
    rule = client.create_rule(job.id, {"when": {"field": "/queue_depth", "op": "gt", "value": 5}, "intervalMs": 30_000})
    assert client.reject_rule(rule.id).state == "rejected"
    assert client.accept_rule(rule.id).state == "accepted"
    assert client.update_rule(rule.id, {"reason": "it is long"}).reason == "it is long"
    assert [client.get_rule(rule.id).id] == [each.id for each in client.list_rules(job.id)]
    client.delete_rule(rule.id)
    assert client.list_rules(job.id) == []
    assert client.change_jobs("pause", group="many", validate_only=True).changed == 1
    assert client.change_jobs("pause", group="many", reason="stocktaking").changed == 1
    assert client.get_job(job.id).pause_reason == "stocktaking"
    assert client.get_usage().total.runs["succeeded"] >= 0
    assert client.turn_flag("planner", "off", reason="a drill", validate_only=True).value == "off"
    assert client.turn_flag("planner", "on").scope == "tenant"
    assert {each.scope for each in client.list_flags()} == {"everybody", "tenant"}
    invited = client.invite_member("member", note="Ann")
    assert invited.url
    assert [each.id for each in client.list_members().invitations] == [invited.id]
    client.remove_member(invited.id)
    (admin,) = client.list_members().data
    assert client.change_role(admin.id, "admin").role == "admin"
    key = client.create_api_key(KeySpec(name="old"))
    assert client.update_api_key(key.id, {"name": "new"}).name == "new"
    client.delete_api_key(key.id)


def test_health_needs_no_key(service: Served) -> None:
    with Client(service.url) as anonymous:
        assert anonymous.get_health().status == "ok"


def test_a_job_is_replaced_by_its_key(client: Client) -> None:
    preview = client.put_job_by_key("q", keyed("q"), validate_only=True)
    assert len(preview.next_runs or []) == 5
    assert list(client.list_jobs(key="q")) == []
    made = client.put_job_by_key("q", keyed("q"))
    again = client.put_job_by_key("q", keyed("q"), if_version=made.version)
    assert (again.id, again.version) == (made.id, made.version)
    with pytest.raises(VersionChanged):
        client.put_job_by_key("q", keyed("q").model_copy(update={"name": "other"}), if_version=made.version + 1)
