"""Every request as a value: where it goes, what it carries, how its answer is read. Both clients send these.

Names are the operation ids of the service's OpenAPI document in snake_case; a test compares the two.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter

from rubato.client import models
from rubato.client.specs import HintSpec, JobSpec, KeySpec, rfc3339

Result = TypeVar("Result")
Item = TypeVar("Item", bound=models.Answer)

API, AUTH = "/api/v1", "/api/auth"
LARGEST_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Result]):
    """One request. `is_keyed`: a POST that takes an Idempotency-Key. `read` turns the JSON of a 2xx into a result."""

    operation: str
    method: str
    path: str
    read: Callable[[Any], Result]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    if_version: int | None = None
    is_keyed: bool = False

    @property
    def is_repeatable(self) -> bool:
        """Whether doing it twice is doing it once. A change held to a version would refuse its own repetition."""
        return self.is_keyed or (self.method in ("GET", "PUT", "PATCH", "DELETE") and self.if_version is None)


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list, and the cursor of the next one."""

    items: Sequence[Item]
    next_cursor: str | None


def create_job(job: JobSpec, *, validate_only: bool) -> Call[models.Job]:
    return _post("createJob", "/jobs", models.Job, body=job.wire(), query=_validate(validate_only))


def put_job_by_key(key: str, job: JobSpec, *, if_version: int | None, validate_only: bool) -> Call[models.Job]:
    return Call(
        operation="putJobByKey",
        method="PUT",
        path=f"{API}/jobs/by-key/{quote(key, safe='')}",
        read=models.Job.model_validate,
        query=_validate(validate_only),
        body=job.wire(),
        if_version=if_version,
    )


def list_jobs(
    *, status: str | None, group: str | None, key: str | None, labels: Mapping[str, str] | None
) -> Call[Page[models.Job]]:
    wanted = [f"{name}:{value}" for name, value in (labels or {}).items()]
    return _list("listJobs", "/jobs", models.Job, {"status": status, "group": group, "key": key, "label": wanted})


def get_job(job_id: str) -> Call[models.Job]:
    return _get("getJob", f"/jobs/{_id(job_id)}", models.Job)


def update_job(
    job_id: str, changes: Mapping[str, Any], *, if_version: int | None, validate_only: bool
) -> Call[models.Job]:
    return Call(
        operation="updateJob",
        method="PATCH",
        path=f"{API}/jobs/{_id(job_id)}",
        read=models.Job.model_validate,
        query=_validate(validate_only),
        body=_plain(changes),
        if_version=if_version,
    )


def delete_job(job_id: str, *, if_version: int | None) -> Call[None]:
    return _delete("deleteJob", f"/jobs/{_id(job_id)}", if_version=if_version)


def list_job_versions(job_id: str) -> Call[Page[models.Version]]:
    return Call(
        operation="listJobVersions",
        method="GET",
        path=f"{API}/jobs/{_id(job_id)}/versions",
        read=_page_of(models.Version),
    )


def pause_job(job_id: str, *, until: datetime | None, reason: str | None) -> Call[models.Job]:
    body = _set({"until": rfc3339(until) if until else None, "reason": reason})
    return _post("pauseJob", f"/jobs/{_id(job_id)}/pause", models.Job, body=body)


def resume_job(job_id: str) -> Call[models.Job]:
    return _post("resumeJob", f"/jobs/{_id(job_id)}/resume", models.Job)


def run_job(job_id: str) -> Call[models.Run]:
    return _post("runJob", f"/jobs/{_id(job_id)}/run", models.Run)


def test_job(job_id: str) -> Call[models.Run]:
    return _post("testJob", f"/jobs/{_id(job_id)}/test", models.Run)


def plan_job(job_id: str) -> Call[models.Session]:
    return _post("planJob", f"/jobs/{_id(job_id)}/plan", models.Session)


def list_runs(
    job_id: str | None, *, status: str | None, since: datetime | None, until: datetime | None
) -> Call[Page[models.Run]]:
    query = {"status": status, "since": rfc3339(since) if since else None, "until": rfc3339(until) if until else None}
    return _list(*_of_job("Runs", job_id), models.Run, query)


def get_run(run_id: str) -> Call[models.Run]:
    return _get("getRun", f"/runs/{_id(run_id)}", models.Run)


def cancel_run(run_id: str) -> Call[models.Run]:
    return _post("cancelRun", f"/runs/{_id(run_id)}/cancel", models.Run)


def list_hints(job_id: str | None, *, state: str) -> Call[Page[models.Hint]]:
    return _list(*_of_job("Hints", job_id), models.Hint, {"state": state})


def create_hint(job_id: str, hint: HintSpec) -> Call[models.Hint]:
    return _post("createHint", f"/jobs/{_id(job_id)}/hints", models.Hint, body=hint.wire())


def clear_hints(job_id: str) -> Call[None]:
    return _delete("clearHints", f"/jobs/{_id(job_id)}/hints")


def clear_hint(job_id: str, hint_id: str) -> Call[None]:
    return _delete("clearHint", f"/jobs/{_id(job_id)}/hints/{_id(hint_id)}")


def explain_job(job_id: str) -> Call[models.Explanation]:
    return _get("explainJob", f"/jobs/{_id(job_id)}/explanation", models.Explanation)


def forecast_job(job_id: str, *, hours: int, limit: int) -> Call[models.Forecast]:
    query = {"hours": hours, "limit": limit}
    return _get("forecastJob", f"/jobs/{_id(job_id)}/forecast", models.Forecast, query)


def simulate_hint(job_id: str, hint: HintSpec) -> Call[models.Simulation]:
    return _post("simulateHint", f"/jobs/{_id(job_id)}/simulate-hint", models.Simulation, body=hint.wire())


def list_sessions(job_id: str | None) -> Call[Page[models.Session]]:
    return _list(*_of_job("Sessions", job_id), models.Session, {})


def get_session(session_id: str) -> Call[models.Session]:
    return _get("getSession", f"/sessions/{_id(session_id)}", models.Session)


def get_quota() -> Call[models.Quota]:
    return _get("getQuota", "/quota", models.Quota)


def get_health() -> Call[models.Health]:
    return _get("getHealth", "/health", models.Health)


def get_usage(*, since: datetime | None, until: datetime | None) -> Call[models.Usage]:
    query = _set({"from": rfc3339(since) if since else None, "to": rfc3339(until) if until else None})
    return _get("getUsage", "/usage", models.Usage, query)


def change_jobs(
    action: str,
    *,
    status: str | None,
    group: str | None,
    key: str | None,
    labels: Mapping[str, str] | None,
    until: datetime | None,
    reason: str | None,
    validate_only: bool,
) -> Call[models.Changed]:
    where = _set({"status": status, "group": group, "key": key, "labels": dict(labels or {}) or None})
    asked = _set({"until": rfc3339(until) if until else None, "reason": reason})
    body = {"action": action, "filter": where, **asked}
    return _post("changeJobs", "/jobs:bulk", models.Changed, body=body, query=_validate(validate_only))


def list_rules(job_id: str) -> Call[Page[models.Rule]]:
    read = _page_of(models.Rule)
    return Call(operation="listRules", method="GET", path=f"{API}/jobs/{_id(job_id)}/rules", read=read)


def create_rule(job_id: str, rule: Mapping[str, Any]) -> Call[models.Rule]:
    return _post("createRule", f"/jobs/{_id(job_id)}/rules", models.Rule, body=dict(rule))


def get_rule(rule_id: str) -> Call[models.Rule]:
    return _get("getRule", f"/rules/{_id(rule_id)}", models.Rule)


def update_rule(rule_id: str, changes: Mapping[str, Any]) -> Call[models.Rule]:
    path, read = f"{API}/rules/{_id(rule_id)}", models.Rule.model_validate
    return Call(operation="updateRule", method="PATCH", path=path, read=read, body=dict(changes))


def accept_rule(rule_id: str) -> Call[models.Rule]:
    return _post("acceptRule", f"/rules/{_id(rule_id)}/accept", models.Rule)


def reject_rule(rule_id: str) -> Call[models.Rule]:
    return _post("rejectRule", f"/rules/{_id(rule_id)}/reject", models.Rule)


def delete_rule(rule_id: str) -> Call[None]:
    return _delete("deleteRule", f"/rules/{_id(rule_id)}")


def list_flags() -> Call[Page[models.Flag]]:
    return Call(operation="listFlags", method="GET", path=f"{API}/flags", read=_page_of(models.Flag))


def turn_flag(name: str, value: str, *, reason: str | None, validate_only: bool) -> Call[models.Flag]:
    return Call(
        operation="turnFlag",
        method="PUT",
        path=f"{API}/flags/{_id(name)}",
        read=models.Flag.model_validate,
        query=_validate(validate_only),
        body=_set({"value": value, "reason": reason}),
    )


def list_members() -> Call[models.Members]:
    return _get("listMembers", "/members", models.Members)


def invite_member(role: str, *, note: str | None) -> Call[models.Invitation]:
    body = _set({"role": role, "note": note})
    return _post("inviteMember", "/members", models.Invitation, body=body)


def change_role(member_id: str, role: str) -> Call[models.Member]:
    path, read = f"{API}/members/{_id(member_id)}", models.Member.model_validate
    return Call(operation="changeRole", method="PATCH", path=path, read=read, body={"role": role})


def remove_member(member_id: str) -> Call[None]:
    return _delete("removeMember", f"/members/{_id(member_id)}")


def update_api_key(key_id: str, changes: Mapping[str, Any]) -> Call[models.ApiKey]:
    return Call(
        operation="updateApiKey",
        method="POST",
        path=f"{AUTH}/api-key/update",
        read=models.ApiKey.model_validate,
        body={**changes, "keyId": key_id},
        is_keyed=True,
    )


def create_api_key(key: KeySpec) -> Call[models.ApiKey]:
    return Call(
        operation="createApiKey",
        method="POST",
        path=f"{AUTH}/api-key/create",
        read=models.ApiKey.model_validate,
        body=key.wire(),
    )


def list_api_keys() -> Call[list[models.ApiKey]]:
    adapter = TypeAdapter(list[models.ApiKey])
    return Call(operation="listApiKeys", method="GET", path=f"{AUTH}/api-key/list", read=adapter.validate_python)


def get_api_key(key_id: str) -> Call[models.ApiKey]:
    return Call(
        operation="getApiKey",
        method="GET",
        path=f"{AUTH}/api-key/get",
        read=models.ApiKey.model_validate,
        query={"id": key_id},
    )


def delete_api_key(key_id: str) -> Call[None]:
    return Call(
        operation="deleteApiKey",
        method="POST",
        path=f"{AUTH}/api-key/delete",
        read=_nothing,
        body={"keyId": key_id},
    )


def _get(operation: str, path: str, model: type[Item], query: Mapping[str, Any] | None = None) -> Call[Item]:
    return Call(operation=operation, method="GET", path=API + path, read=model.model_validate, query=query or {})


def _post(
    operation: str, path: str, model: type[Item], *, body: Any = None, query: Mapping[str, Any] | None = None
) -> Call[Item]:
    return Call(
        operation=operation,
        method="POST",
        path=API + path,
        read=model.model_validate,
        query=query or {},
        body=body,
        is_keyed=True,
    )


def _delete(operation: str, path: str, *, if_version: int | None = None) -> Call[None]:
    return Call(operation=operation, method="DELETE", path=API + path, read=_nothing, if_version=if_version)


def _list(operation: str, path: str, model: type[Item], query: Mapping[str, Any]) -> Call[Page[Item]]:
    asked = {**_set(query), "limit": LARGEST_PAGE}
    return Call(operation=operation, method="GET", path=API + path, read=_page_of(model), query=asked)


def _page_of(model: type[Item]) -> Callable[[Any], Page[Item]]:
    return lambda body: Page([model.model_validate(each) for each in body["data"]], body.get("nextCursor"))


def _of_job(noun: str, job_id: str | None) -> tuple[str, str]:
    """Return the operation and path of one job's list, or of everything's."""
    if job_id is None:
        return f"list{noun}", f"/{noun.lower()}"
    return f"listJob{noun}", f"/jobs/{_id(job_id)}/{noun.lower()}"


def _id(given: str) -> str:
    return quote(given, safe="")


def _validate(validate_only: bool) -> dict[str, Any]:
    return {"validateOnly": "true"} if validate_only else {}


def _set(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, [])}


def _plain(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: rfc3339(value) if isinstance(value, datetime) else value for name, value in changes.items()}


def _nothing(body: Any) -> None:
    return None
