"""The error tree. Adapters translate what their libraries raise with `raise ... from`.

    RubatoError
    ├── InvalidInput            a caller's field is wrong; names it and says what is accepted
    │   └── CronError           a cron expression or a time zone
    ├── NotFound                no such thing, or not this tenant's
    ├── NotAllowed              whoever asks may not; `code` says why
    ├── Conflict                the state forbids it; `code` says which rule
    │   └── LeaseLostError      a later holder has the job: the write was refused
    ├── VersionMismatch         the definition has another version than the caller expected
    ├── LimitReached            a tenant's allowance is used up; says when there is more, if ever
    │   └── JobsLimitReached    as many jobs as it may have
    ├── KeySpentError           an API key whose uses are spent; says when there are more
    ├── SecretLostError         a job's secret that no key opens
    ├── Unavailable             the store or another dependency cannot be reached now
    ├── IsolatedRunError        the process that a request was sent by died of it
    └── ConfigurationError      a setting is wrong; names the variable and the remedy

Only `api/errors.py` knows HTTP status codes.
"""

from collections.abc import Sequence

from core.record import record


class RubatoError(Exception):
    """The root of everything Rubato raises on purpose. Messages are fit to show to a user."""


@record
class Issue:
    """One thing wrong with an input. `pointer` is an RFC 6901 JSON pointer, in camelCase."""

    pointer: str
    code: str
    detail: str


class InvalidInput(RubatoError):
    """An input cannot be accepted. Each issue names its field and says what would be."""

    def __init__(self, issues: Sequence[Issue]) -> None:
        self.issues = tuple(issues)
        super().__init__("; ".join(issue.detail for issue in self.issues))


class CronError(InvalidInput):
    """A cron expression or time zone that cannot be used."""

    def __init__(self, detail: str, *, field: str = "/baselineCron") -> None:
        super().__init__([Issue(field, "invalid_cron" if field == "/baselineCron" else "invalid_timezone", detail)])


class NotFound(RubatoError):
    """Nothing by that id in this tenant."""


class NotAllowed(RubatoError):
    """Known, and not allowed to. `code` is stable, for programs."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        super().__init__(detail)


class Conflict(RubatoError):
    """The present state forbids it. `code` is stable, for programs."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        super().__init__(detail)


class LeaseLostError(Conflict):
    """The lease token was superseded: somebody else holds the job, and this write changed nothing."""

    def __init__(self, detail: str = "The lease on this job is no longer held.") -> None:
        super().__init__("lease_lost", detail)


class VersionMismatch(RubatoError):
    """The definition is at another version than the caller said; None: there is no such job yet."""

    def __init__(self, version: int | None) -> None:
        at = "it does not exist yet" if version is None else f"it is at version {version}"
        super().__init__(f"The job is not at the version that If-Match names: {at}. Read it again.")


class LimitReached(RubatoError):
    """One of the tenant's allowances is used up. `code` names it; `retry_after_s` None: time alone does not help."""

    def __init__(self, code: str, detail: str, *, retry_after_s: int | None = None) -> None:
        self.code, self.retry_after_s = code, retry_after_s
        super().__init__(detail)


class JobsLimitReached(LimitReached):
    """The tenant has as many jobs as it may have."""

    def __init__(self, limit: int) -> None:
        detail = f"The tenant has {limit} jobs, as many as it may have. Delete some, or ask the operator for more."
        super().__init__("jobs_limit_reached", detail)


class KeySpentError(RubatoError):
    """A valid key that was used as often as it may be. `retry_after_s` None: it is never refilled."""

    def __init__(self, retry_after_s: int | None) -> None:
        self.retry_after_s = retry_after_s
        again = "It is not refilled." if retry_after_s is None else f"It is refilled in {retry_after_s} s."
        super().__init__(f"This API key has no uses left. {again}")


class SecretLostError(RubatoError):
    """A sealed secret whose key is not there any more."""

    def __init__(self) -> None:
        super().__init__("A secret of this job cannot be opened: its key is not among RUBATO_ENCRYPTION_KEYS.")


class Unavailable(RubatoError):
    """A dependency cannot be reached at the moment; trying again later may work."""


class IsolatedRunError(RubatoError):
    """A process of its own was given a request and died of it, or did not end. The message says how."""


class ConfigurationError(RubatoError):
    """A setting cannot be used. The message names the variable and the remedy."""
