"""The Python client: `Client` and `AsyncClient`, typed, over the REST API. Imports nothing else of Rubato.

    with Client("http://127.0.0.1:3000", key) as client:
        job = client.create_job(JobSpec(name="Order queue", url="https://shop.example.com/queue",
                                        baseline_interval_ms=300_000))

docs/client.md says what is retried, and what each error means.
"""

from rubato.client.aio import AsyncClient
from rubato.client.errors import (
    ApiError,
    ClientError,
    Conflict,
    FieldError,
    Forbidden,
    InvalidRequest,
    NotFound,
    RateLimited,
    ServiceFault,
    Unauthenticated,
    Unreachable,
    VersionChanged,
)
from rubato.client.models import (
    ApiKey,
    Changed,
    Decision,
    Explanation,
    Flag,
    Forecast,
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
from rubato.client.specs import AuthoritySpec, HintSpec, JobSpec, KeySpec, SuccessSpec
from rubato.client.sync import Client

__all__ = [
    "ApiError",
    "ApiKey",
    "AsyncClient",
    "AuthoritySpec",
    "Changed",
    "Client",
    "ClientError",
    "Conflict",
    "Decision",
    "Explanation",
    "FieldError",
    "Flag",
    "Forbidden",
    "Forecast",
    "Hint",
    "HintSpec",
    "InvalidRequest",
    "Invitation",
    "Job",
    "JobSpec",
    "KeySpec",
    "Member",
    "Members",
    "NotFound",
    "Quota",
    "RateLimited",
    "Retries",
    "Rule",
    "Run",
    "ServiceFault",
    "Session",
    "Simulation",
    "SuccessSpec",
    "Unauthenticated",
    "Unreachable",
    "Usage",
    "Version",
    "VersionChanged",
]
