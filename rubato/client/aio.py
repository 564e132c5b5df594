"""The asynchronous client. `sync.py` is rendered from this file by `python -m rubato.client.twin`; edit here."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
from tenacity import AsyncRetrying

from rubato.client import calls
from rubato.client.calls import Call, Item, Page
from rubato.client.exchange import TIMEOUT_S, base_headers, call_headers, request_options, result, unreachable
from rubato.client.models import (
    ApiKey,
    Changed,
    Explanation,
    Flag,
    Forecast,
    Health,
    Hint,
    Invitation,
    Job,
    Member,
    Members,
    Quota,
    Rule,
    Run,
    Session,
    Simulation,
    Usage,
    Version,
)
from rubato.client.retrying import Retries
from rubato.client.specs import HintSpec, JobSpec, KeySpec

Result = TypeVar("Result")


class AsyncClient:
    """A client of one service with one key. Close it, or use it as a context.

    Every method raises `rubato.client.ClientError`. What may be sent again is, as `retries` says; a POST carries an
    idempotency key of its own, so that it is carried out once however often it is sent.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        retries: Retries | None = None,
        timeout_s: float = TIMEOUT_S,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._retries = retries or Retries()
        self._http = httpx2.AsyncClient(
            base_url=self.url, headers=base_headers(api_key), timeout=timeout_s, transport=transport
        )

    async def __aenter__(self) -> Self:
        """Use it as a context."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def create_job(self, job: JobSpec, *, validate_only: bool = False, idempotency_key: str | None = None) -> Job:
        """Register a job; with `validate_only`, say what would be."""
        return await self.send(calls.create_job(job, validate_only=validate_only), idempotency_key)

    async def put_job_by_key(
        self, key: str, job: JobSpec, *, if_version: int | None = None, validate_only: bool = False
    ) -> Job:
        """Make the job with this key be so: what the spec leaves out gets its default."""
        return await self.send(calls.put_job_by_key(key, job, if_version=if_version, validate_only=validate_only))

    def list_jobs(
        self,
        *,
        status: str | None = None,
        group: str | None = None,
        key: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Job]:
        """Iterate over jobs, newest first, page after page."""
        return self._pages(calls.list_jobs(status=status, group=group, key=key, labels=labels))

    async def get_job(self, job_id: str) -> Job:
        """Read a job."""
        return await self.send(calls.get_job(job_id))

    async def update_job(
        self,
        job_id: str,
        changes: Mapping[str, Any],
        *,
        if_version: int | None = None,
        validate_only: bool = False,
    ) -> Job:
        """Apply a merge-patch: None clears, what is not named stays; `if_version` refuses any other version."""
        return await self.send(calls.update_job(job_id, changes, if_version=if_version, validate_only=validate_only))

    async def delete_job(self, job_id: str, *, if_version: int | None = None) -> None:
        """Delete a job; its runs stay readable."""
        await self.send(calls.delete_job(job_id, if_version=if_version))

    async def list_job_versions(self, job_id: str) -> list[Version]:
        """Return every version of a job's definition, newest first."""
        return list((await self.send(calls.list_job_versions(job_id))).items)

    async def pause_job(
        self,
        job_id: str,
        *,
        until: datetime | None = None,
        reason: str | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Pause until an instant, or until resumed."""
        return await self.send(calls.pause_job(job_id, until=until, reason=reason), idempotency_key)

    async def resume_job(self, job_id: str, *, idempotency_key: str | None = None) -> Job:
        """End every pause of a job."""
        return await self.send(calls.resume_job(job_id), idempotency_key)

    async def run_job(self, job_id: str, *, idempotency_key: str | None = None) -> Run:
        """Ask for a run at once; while one is active the answer is a skipped run."""
        return await self.send(calls.run_job(job_id), idempotency_key)

    async def test_job(self, job_id: str, *, idempotency_key: str | None = None) -> Run:
        """Dispatch a job once, leaving its schedule alone."""
        return await self.send(calls.test_job(job_id), idempotency_key)

    async def plan_job(self, job_id: str, *, idempotency_key: str | None = None) -> Session:
        """Ask the planner now."""
        return await self.send(calls.plan_job(job_id), idempotency_key)

    def list_runs(
        self,
        job_id: str | None = None,
        *,
        status: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[Run]:
        """Iterate over runs, newest slot first: one job's, or everything's."""
        return self._pages(calls.list_runs(job_id, status=status, since=since, until=until))

    async def get_run(self, run_id: str) -> Run:
        """Read a run with its decision."""
        return await self.send(calls.get_run(run_id))

    async def cancel_run(self, run_id: str, *, idempotency_key: str | None = None) -> Run:
        """Cancel a run that has not ended."""
        return await self.send(calls.cancel_run(run_id), idempotency_key)

    def list_hints(self, job_id: str | None = None, *, state: str = "active") -> AsyncIterator[Hint]:
        """Iterate over hints, newest first; `state` is `active` or `all`."""
        return self._pages(calls.list_hints(job_id, state=state))

    async def create_hint(self, job_id: str, hint: HintSpec, *, idempotency_key: str | None = None) -> Hint:
        """Propose a tempo as a person."""
        return await self.send(calls.create_hint(job_id, hint), idempotency_key)

    async def clear_hints(self, job_id: str) -> None:
        """Clear a job's hints, all but a person's pause."""
        await self.send(calls.clear_hints(job_id))

    async def clear_hint(self, job_id: str, hint_id: str) -> None:
        """Clear one hint."""
        await self.send(calls.clear_hint(job_id, hint_id))

    async def explain_job(self, job_id: str) -> Explanation:
        """Say why it will run when it will."""
        return await self.send(calls.explain_job(job_id))

    async def forecast_job(self, job_id: str, *, hours: int = 24, limit: int = 500) -> Forecast:
        """Say when it will run, if each run succeeds and no new hint comes."""
        return await self.send(calls.forecast_job(job_id, hours=hours, limit=limit))

    async def simulate_hint(self, job_id: str, hint: HintSpec, *, idempotency_key: str | None = None) -> Simulation:
        """Say what a hint would change; nothing is written."""
        return await self.send(calls.simulate_hint(job_id, hint), idempotency_key)

    def list_sessions(self, job_id: str | None = None) -> AsyncIterator[Session]:
        """Iterate over planner sessions, newest first."""
        return self._pages(calls.list_sessions(job_id))

    async def get_session(self, session_id: str) -> Session:
        """Read a session with its whole conversation."""
        return await self.send(calls.get_session(session_id))

    async def get_quota(self) -> Quota:
        """Say what the planner may still use."""
        return await self.send(calls.get_quota())

    async def get_usage(self, *, since: datetime | None = None, until: datetime | None = None) -> Usage:
        """Say what was used: of the last 30 days unless told otherwise, 92 days at the most."""
        return await self.send(calls.get_usage(since=since, until=until))

    async def change_jobs(
        self,
        action: str,
        *,
        status: str | None = None,
        group: str | None = None,
        key: str | None = None,
        labels: Mapping[str, str] | None = None,
        until: datetime | None = None,
        reason: str | None = None,
        validate_only: bool = False,
        idempotency_key: str | None = None,
    ) -> Changed:
        """Pause, resume or run every job that all given filters find; without any, every job."""
        call = calls.change_jobs(
            action,
            status=status,
            group=group,
            key=key,
            labels=labels,
            until=until,
            reason=reason,
            validate_only=validate_only,
        )
        return await self.send(call, idempotency_key)

    async def list_rules(self, job_id: str) -> list[Rule]:
        """Return a job's rules in every state, oldest first."""
        return list((await self.send(calls.list_rules(job_id))).items)

    async def create_rule(self, job_id: str, rule: Mapping[str, Any], *, idempotency_key: str | None = None) -> Rule:
        """Write a rule, in the terms of docs/rules.md; it is accepted."""
        return await self.send(calls.create_rule(job_id, rule), idempotency_key)

    async def get_rule(self, rule_id: str) -> Rule:
        """Read a rule."""
        return await self.send(calls.get_rule(rule_id))

    async def update_rule(self, rule_id: str, changes: Mapping[str, Any]) -> Rule:
        """Apply a merge-patch; a rule in effect begins anew."""
        return await self.send(calls.update_rule(rule_id, changes))

    async def accept_rule(self, rule_id: str, *, idempotency_key: str | None = None) -> Rule:
        """Let a proposed or rejected rule take effect."""
        return await self.send(calls.accept_rule(rule_id), idempotency_key)

    async def reject_rule(self, rule_id: str, *, idempotency_key: str | None = None) -> Rule:
        """Turn a rule down, or off."""
        return await self.send(calls.reject_rule(rule_id), idempotency_key)

    async def delete_rule(self, rule_id: str) -> None:
        """Delete a rule, and its hint with it."""
        await self.send(calls.delete_rule(rule_id))

    async def list_flags(self) -> list[Flag]:
        """Return the switches that bear on the tenant."""
        return list((await self.send(calls.list_flags())).items)

    async def turn_flag(self, name: str, value: str, *, reason: str | None = None, validate_only: bool = False) -> Flag:
        """Turn a switch of the tenant: `planner` takes `on`, `shadow` and `off`. For admins."""
        return await self.send(calls.turn_flag(name, value, reason=reason, validate_only=validate_only))

    async def list_members(self) -> Members:
        """Return everybody of the tenant, and open invitations. For admins, as all of these."""
        return await self.send(calls.list_members())

    async def invite_member(
        self, role: str, *, note: str | None = None, idempotency_key: str | None = None
    ) -> Invitation:
        """Invite somebody; the address that accepts it is in this answer and nowhere else."""
        return await self.send(calls.invite_member(role, note=note), idempotency_key)

    async def change_role(self, member_id: str, role: str) -> Member:
        """Make somebody an admin or a member."""
        return await self.send(calls.change_role(member_id, role))

    async def remove_member(self, member_id: str) -> None:
        """Remove somebody with their keys and sign-ins, or withdraw an invitation."""
        await self.send(calls.remove_member(member_id))

    async def update_api_key(
        self, key_id: str, changes: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> ApiKey:
        """Change what is named of a key: None takes a limit away."""
        return await self.send(calls.update_api_key(key_id, changes), idempotency_key)

    async def get_health(self) -> Health:
        """Say whether the service is up; needs no key."""
        return await self.send(calls.get_health())

    async def create_api_key(self, key: KeySpec) -> ApiKey:
        """Make a key; its value is in this answer and nowhere else. It is not sent twice."""
        return await self.send(calls.create_api_key(key))

    async def list_api_keys(self) -> list[ApiKey]:
        """Return one's keys."""
        return await self.send(calls.list_api_keys())

    async def get_api_key(self, key_id: str) -> ApiKey:
        """Read a key, without its value."""
        return await self.send(calls.get_api_key(key_id))

    async def delete_api_key(self, key_id: str) -> None:
        """End a key."""
        await self.send(calls.delete_api_key(key_id))

    async def send(
        self, call: Call[Result], idempotency_key: str | None = None, *, cursor: str | None = None
    ) -> Result:
        """Send a call, again where that is safe and of use, and return its result."""
        options = request_options(call, call_headers(call, idempotency_key), cursor)
        async for attempt in AsyncRetrying(**self._retries.options(is_repeatable=call.is_repeatable)):
            with attempt:
                return result(call, await self._exchange(call, options))
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _exchange(self, call: Call[Any], options: Mapping[str, Any]) -> httpx2.Response:
        try:
            return await self._http.request(call.method, call.path, **options)
        except httpx2.TransportError as error:
            raise unreachable(self.url, error) from error

    async def _pages(self, call: Call[Page[Item]]) -> AsyncIterator[Item]:
        cursor: str | None = None
        while True:
            page = await self.send(call, cursor=cursor)
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            cursor = page.next_cursor
