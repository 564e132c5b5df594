"""The service that a command speaks to, and what is said when something goes wrong.

Exit codes: 0 done, 1 failed or refused, 2 usage or configuration, 3 differences (`apply --exit-code`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import ValidationError

from core.errors import ConfigurationError, RubatoError
from rubato.client import ApiError, Client, ClientError, NotFound, Unauthenticated
from rubato.commands.output import say
from rubato.settings import Settings, load

FAILED, MISUSED, DIFFERENT = 1, 2, 3
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the service is and the key to it. `api_key` None: none was found."""

    url: str
    api_key: str | None


def address(settings: Settings) -> Address:
    """Return RUBATO_URL and RUBATO_API_KEY; without a key, the one that `rubato dev` keeps, for this machine only."""
    url = settings.url or f"http://127.0.0.1:{settings.port}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"RUBATO_URL is not an http(s) address: {url}. It looks like http://127.0.0.1:3000.")
    if settings.api_key is not None:
        return Address(url, settings.api_key.get_secret_value())
    kept = settings.data_dir / "api_key"
    if parts.hostname in _LOOPBACK and kept.is_file():
        return Address(url, kept.read_text(encoding="ascii").strip())
    return Address(url, None)


@contextmanager
def service() -> Iterator[Client]:
    """Open a client of the configured service; what goes wrong within the block ends the command."""
    with failures():
        found = address(load().settings)
        with Client(found.url, required_key(found)) as client:
            yield client


def required_key(found: Address) -> str:
    """Return the key to a service. Raises ConfigurationError when there is none."""
    if found.api_key is None:
        raise ConfigurationError(
            f"RUBATO_API_KEY is not set. Set it to a key of the service at {found.url}; "
            "on this machine `rubato dev` prints one and keeps it in its data folder."
        )
    return found.api_key


@contextmanager
def failures() -> Iterator[None]:
    """End the command with a message and its exit code on any error that has one."""
    try:
        yield
    except ClientError as error:
        report(error)
        raise SystemExit(MISUSED if isinstance(error, Unauthenticated) else FAILED) from None
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            _say(f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}")
        raise SystemExit(MISUSED) from None
    except RubatoError as error:
        _say(str(error))
        raise SystemExit(MISUSED if isinstance(error, ConfigurationError) else FAILED) from None


def report(error: ClientError) -> None:
    """Say what was wrong, where, and what to do next."""
    _say(str(error))
    if isinstance(error, ApiError):
        for each in error.errors:
            say(f"  {each.where or 'body'}: {each.detail}" if each.detail != str(error) else f"  Field: {each.where}")
    say(f"  Next: {error.next_step}")
    if isinstance(error, ApiError) and error.request_id:
        say(f"  Request: {error.request_id} ({error.status} {error.code})")


def job_id(client: Client, reference: str) -> str:
    """Return the id of the job that is meant: by its id, or by its key."""
    if reference.startswith("job_"):
        return reference
    found = next(client.list_jobs(key=reference), None)
    if found is None:
        detail = f"No job has the key {reference}. `rubato jobs list` shows ids and keys."
        raise NotFound(404, {"code": "not_found", "detail": detail})
    return found.id


def _say(text: str) -> None:
    say(f"rubato: {text}")
