"""Which ids stand on a line: the request's on all that is written while it is answered, the job's during a session."""

from typing import Any

import pytest
import structlog
from structlog.contextvars import get_contextvars

from core.sessions import Outcome, Plan, PlanningContext
from rubato.adapters.log_context import LoggedPlanner
from tests.integration.apis import JOB, face
from tests.unit.contexts import context, run


class Listening:
    """A planner that notes what was bound while it planned, or fails."""

    worst_case_tokens = 7

    def __init__(self, error: Exception | None = None) -> None:
        self.bound: dict[str, Any] = {}
        self._error = error

    async def plan(self, context: PlanningContext) -> Plan:
        self.bound = get_contextvars()
        if self._error is not None:
            raise self._error
        return Plan(Outcome.COMPLETED, "listening", "none", "")


async def test_a_session_binds_the_ids_of_its_job_and_run_and_lets_go_of_them() -> None:
    given = context(runs=[run(1), run(60)])
    planner = Listening()
    await LoggedPlanner(planner).plan(given)
    assert planner.bound == {"tenant_id": given.job.tenant_id, "job_id": given.job.id, "run_id": given.runs[0].id}
    with pytest.raises(ValueError, match="broken"):
        await LoggedPlanner(Listening(ValueError("broken"))).plan(given)
    assert get_contextvars() == {}
    assert LoggedPlanner(planner).worst_case_tokens == 7


async def test_a_request_is_a_line_with_the_id_that_its_caller_was_given() -> None:
    async with face() as api:
        with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
            answer = await api.call("POST", "/api/v1/jobs", JOB)
            await api.call("GET", "/api/v1/jobs/none?cursor=x")
            await api.call("GET", "/livez")
    told = [line for line in lines if line["event"] == "request"]
    assert [(line["method"], line["path"], line["status"]) for line in told] == [
        ("POST", "/api/v1/jobs", 201),
        ("GET", "/api/v1/jobs/none", 400),
    ]
    assert told[0]["request_id"] == answer.headers["x-request-id"]
    assert "cursor" not in str(lines)
    assert get_contextvars() == {}
