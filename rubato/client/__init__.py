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
    Decision,
    Explanation,
    Forecast,
    Hint,
    Job,
    Quota,
    Run,
    Session,
    Simulation,
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
    "Client",
    "ClientError",
    "Conflict",
    "Decision",
    "Explanation",
    "FieldError",
    "Forbidden",
    "Forecast",
    "Hint",
    "HintSpec",
    "InvalidRequest",
    "Job",
    "JobSpec",
    "KeySpec",
    "NotFound",
    "Quota",
    "RateLimited",
    "Retries",
    "Run",
    "ServiceFault",
    "Session",
    "Simulation",
    "SuccessSpec",
    "Unauthenticated",
    "Unreachable",
    "Version",
    "VersionChanged",
]
