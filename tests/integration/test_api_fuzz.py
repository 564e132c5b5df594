"""Every operation of the API, called with what its OpenAPI document allows and with what it does not.

Over PostgreSQL, so that what only a database refuses shows too. HYPOTHESIS_PROFILE=thorough tries many times more.
"""

import itertools
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode
from schemathesis.checks import (
    allow_header_conformance,
    content_type_conformance,
    ensure_resource_availability,
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from schemathesis.core.failures import FailureGroup

from api.guards import ADMIN_PREFIX
from core.errors import Conflict
from tests.integration.served import KEY, Served, served
from tests.openapi.document import made
from tests.postgres import fresh

BOUNDED = ("minIntervalMs", "maxIntervalMs")
BASELINES, HINTED = ("baselineIntervalMs", "baselineCron", "runAt"), ("intervalMs", "at", "until")
EXAMPLES = max(6, settings.default.max_examples // 30)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    negative_data_rejection,
    unsupported_method,
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

# Beyond these there are checks of data that is valid by the document (rules such as "one baseline" no document can
# state) and of use after deletion (a deleted job's runs stay readable, on purpose).
STEPWISE = [*CHECKS, ensure_resource_availability, ignored_auth, missing_required_header]

schema = schemathesis.openapi.from_dict(made())


@pytest.fixture(scope="module")
def api(postgres_url: str, template: str) -> Iterator[Served]:
    for url in fresh(postgres_url, template):
        with served(url) as house:
            yield house


@pytest.fixture
def ids(api: Served) -> dict[str, str]:
    return api.populate()


def made_plausible(body: Any, path: str) -> Any:
    """Return a body that breaks no rule beyond the document's: one baseline, one action, the field of the hint's
    kind."""
    body = dict(body)
    if any(name in body for name in BOUNDED) and body.get("baselineIntervalMs") is not None:
        body |= {"baselineIntervalMs": 60_000, "minIntervalMs": 30_000, "maxIntervalMs": 90_000}
    elif "baselineIntervalMs" not in body:
        body = {name: value for name, value in body.items() if name not in BOUNDED}
    baselines = [name for name in BASELINES if body.get(name) is not None]
    for name in baselines[1:] + (["timezone"] if "baselineCron" not in baselines[:1] else []):
        body.pop(name, None)
    if "when" in body:
        body |= {"when": {"field": "/queue_depth", "op": "gt", "value": 500}, "until": None, "reason": "it is long"}
        body |= {"intervalMs": 30_000, "pauseMs": None, "ttlMs": None}
    if path.startswith(ADMIN_PREFIX):
        body = {name: value for name, value in body.items() if name not in ("jobKey", "scheduleType", "cronExpression")}
        if "target" in body:
            body |= {"target": "system.log_message", "payload": {"message": "fuzz"}}
    elif "name" in body:
        body["url"] = "https://example.com/fuzz"
        body.pop("target", None)
        body.pop("payload", None)
    if "baselineCron" in body and body["baselineCron"] is not None:
        body["baselineCron"] = "*/5 9-17 * * mon-fri"
    if "timezone" in body:
        body["timezone"] = "Europe/Vienna"
    for name in ("headersJson", "key"):
        body.pop(name, None)
    for name in ("startAt", "endAt", "runAt", "at", "until", "pausedUntil"):
        if isinstance(body.get(name), str):
            body[name] = "2199-12-31t23:59:59z" if name == "endAt" else "2099-02-28T23:59:59.123456+14:00"
    if "pausedUntil" in body:
        body.pop("until", None)
    own = {"interval": "intervalMs", "next_time": "at", "pause": "until"}.get(str(body.get("kind")))
    for name in HINTED if own is not None else ():
        if name != own:
            body.pop(name, None)
    return body


@schema.parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
def test_an_operation_keeps_to_its_document_whatever_it_is_sent(case: Any, api: Served, ids: dict[str, str]) -> None:
    """Path parameters are mostly those of things that exist; a body is sent as it was made, then without what breaks
    rules that no document can state."""
    made_up = dict(case.path_parameters or {})
    if zlib.crc32(repr((made_up, case.query, case.body)).encode()) % 8:
        kind = "cron_" if case.path.startswith(ADMIN_PREFIX) else ""
        case.path_parameters.update({name: ids[kind + name] for name in made_up})
    send(case, api)
    if isinstance(case.body, dict) and case.meta.generation.mode is GenerationMode.POSITIVE:
        plausible = made_plausible(case.body, case.path)
        if plausible != case.body:
            case.body = plausible
            send(case, api)


def send(case: Any, api: Served) -> None:
    """Call, and judge the answer by the document."""
    response = case.call(base_url=api.url, headers={"x-api-key": KEY}, timeout=20)
    case.validate_response(response, checks=CHECKS)


@pytest.mark.parametrize(
    ("error", "complaint"), [(RuntimeError("boom"), "Server error"), (Conflict("no", "no"), "Undocumented status code")]
)
def test_an_answer_beyond_the_document_is_found_out(
    api: Served, monkeypatch: pytest.MonkeyPatch, error: Exception, complaint: str
) -> None:
    async def breaks(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(type(api.services.store), "jobs", breaks)
    with pytest.raises(FailureGroup, match=complaint):
        send(schema["/api/v1/jobs"]["GET"].Case(), api)


@pytest.mark.timeout(300)
def test_operations_keep_to_their_document_in_any_order(api: Served) -> None:
    """What one answers with, others are called with: jobs are made, edited, run, paused and deleted as it comes.

    Each walk has a tenant of its own: what another one left behind would make it come out otherwise when it is tried
    again.
    """
    keys = (f"{KEY}_{number}" for number in itertools.count())

    class Walk(schema.as_state_machine()):  # type: ignore[misc]  # made of the document
        key = KEY

        def setup(self) -> None:
            self.key = next(keys)
            api.wait(api.services.accounts.bootstrap(self.key, tenant=self.key, user="walker"))

        def before_call(self, case: Any) -> None:
            if isinstance(case.body, dict) and case.meta.generation.mode is GenerationMode.POSITIVE:
                case.body = made_plausible(case.body, case.path)

        def call(self, case: Any, **kwargs: Any) -> Any:
            return case.call(base_url=api.url, headers={"x-api-key": self.key}, timeout=20)

        def validate_response(self, response: Any, case: Any, additional_checks: Any = (), **kwargs: Any) -> None:
            case.validate_response(response, checks=STEPWISE)

    Walk.run(
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=8, suppress_health_check=list(HealthCheck), deadline=None
        )
    )
