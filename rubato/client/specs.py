"""What a caller sends, typed. Only what is set goes over the wire; the service fills in the rest."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("needs an offset, such as 2027-01-31T12:00:00Z")
    return value.astimezone(UTC)


def rfc3339(at: datetime) -> str:
    """Write an instant in UTC with `Z`."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


Instant = Annotated[datetime, AfterValidator(_aware), PlainSerializer(rfc3339, return_type=str, when_used="json")]
Milliseconds = Annotated[int, Field(ge=1, le=316_224_000_000, description="Milliseconds.")]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]


class Spec(BaseModel):
    """The base of what is sent: unknown fields are refused before anything leaves."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    def wire(self) -> dict[str, Any]:
        """Return what was set, as the service takes it."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class SuccessSpec(Spec):
    """What counts as success instead of any 2xx."""

    status_codes: list[Annotated[int, Field(ge=100, le=599)]] | None = None
    json_pointer: str | None = None
    equals: Any = None


class AuthoritySpec(Spec):
    """What the planner and rules may do: run sooner, run later, pause."""

    tighten: bool | None = None
    relax: bool | None = None
    pause: bool | None = None


class JobSpec(Spec):
    """A job as it is registered. Exactly one of `url` and `target`, and one of the three baselines, is given."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    key: Annotated[str | None, Field(min_length=1, max_length=255, description="Yours, unique in the tenant.")] = None
    description: Annotated[str | None, Field(description="What you want of its tempo, in plain words.")] = None
    group: str | None = None
    labels: dict[str, str] | None = None
    metadata: dict[str, Any] | None = None
    url: str | None = None
    method: Method | None = None
    headers_json: dict[str, str] | None = None
    secret_headers: Annotated[
        dict[str, str | None] | None, Field(description="Values are kept encrypted; null is the value as it is stored.")
    ] = None
    body_json: Any = None
    body_secret: Annotated[bool | None, Field(description="Keep the body encrypted.")] = None
    target: Annotated[str | None, Field(description="A function registered in code, instead of a url.")] = None
    payload: Any = None
    baseline_cron: Annotated[str | None, Field(description="Five or six fields, in `timezone`.")] = None
    timezone: Annotated[str | None, Field(description="Of baselineCron; UTC unless given.")] = None
    baseline_interval_ms: Milliseconds | None = None
    run_at: Annotated[Instant | None, Field(description="Run once, then.")] = None
    start_at: Instant | None = None
    end_at: Instant | None = None
    max_runs: Annotated[int | None, Field(ge=1)] = None
    min_interval_ms: Milliseconds | None = None
    max_interval_ms: Milliseconds | None = None
    timeout_ms: Annotated[int | None, Field(ge=1, le=1_800_000, description="Milliseconds.")] = None
    overlap: Literal["skip"] | None = None
    catchup: Literal["skip", "latest"] | None = None
    delivery: Literal["at_least_once", "at_most_once"] | None = None
    success: SuccessSpec | None = None
    authority: AuthoritySpec | None = None
    planner: Literal["off", "shadow", "on"] | None = None
    store_responses: bool | None = None
    splay: bool | None = None
    retry_after_failure_ms: Milliseconds | None = None


class HintSpec(Spec):
    """A person's hint: `interval` with `interval_ms`, `next_time` with `at`, or `pause` with or without `until`."""

    kind: Literal["interval", "next_time", "pause"]
    interval_ms: Milliseconds | None = None
    at: Instant | None = None
    until: Instant | None = None
    ttl_ms: Milliseconds | None = None
    pin: bool = False
    reason: Annotated[str | None, Field(max_length=300)] = None


class KeySpec(Spec):
    """A new API key."""

    name: str | None = None
    scopes: list[str] | None = None
    expires_in_ms: Milliseconds | None = None
    metadata: dict[str, Any] | None = None
    remaining: int | None = None
    refill_amount: int | None = None
    refill_interval_ms: Milliseconds | None = None
