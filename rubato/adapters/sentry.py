"""Error reports over Sentry's protocol, when SENTRY_DSN asks for them."""

import logging
import sys
from collections.abc import Mapping
from typing import Any, Literal

import sentry_sdk
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.utils import BadDsn

from core.errors import ConfigurationError

LONGEST_VALUE = 500  # characters
_THEIR_OWN = ("sentry_sdk", "urllib3")  # a report that fails must not be reported


def report_errors(dsn: str, *, environment: str, process: str) -> None:
    """Report what this process logs as an error from now on, with its trace. Raises ConfigurationError.

    Every failure is a log line here: a loop's turn, a handler's exception, an unexpected answer, an uncaught error.
    What is sent holds no local variables, no bodies and no host name: they may be secrets of operator or tenant.
    """
    try:
        sentry_sdk.init(
            dsn=dsn,
            environment=environment,
            server_name="",
            send_default_pii=False,
            include_local_variables=False,
            include_source_context=False,
            max_request_body_size="never",
            auto_session_tracking=False,
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[AtexitIntegration(callback=lambda pending, timeout: None), DedupeIntegration()],
        )
    except BadDsn as error:
        raise ConfigurationError(
            f"SENTRY_DSN is not the address of a project ({error}). It looks like https://KEY@HOST/PROJECT; leave it "
            "out to report nothing."
        ) from error
    sentry_sdk.get_global_scope().set_tag("process", process)  # handlers have threads of their own
    logging.getLogger().addHandler(_Reporter(logging.ERROR))


class _Reporter(logging.Handler):
    """Sends one report a log line; structlog's lines are mappings, their exception in one of the values."""

    def emit(self, record: logging.LogRecord) -> None:
        """Report a line. Nothing is raised for a report that cannot be made."""
        if record.name.startswith(_THEIR_OWN):
            return
        try:
            said: Mapping[str, Any] = record.msg if isinstance(record.msg, dict) else {"event": record.getMessage()}
            error = _error(said.get("exc_info") or record.exc_info)
            extras = {name: str(said[name])[:LONGEST_VALUE] for name in said if not name.startswith(("_", "exc_info"))}
            level: Literal["fatal", "error"] = "fatal" if record.levelno >= logging.CRITICAL else "error"
            if error is not None:
                sentry_sdk.capture_exception(error, level=level, extras=extras, tags={"logger": record.name})
            else:
                message = str(said["event"])[:LONGEST_VALUE]
                sentry_sdk.capture_message(message, level=level, extras=extras, tags={"logger": record.name})
        except Exception:  # noqa: BLE001 - the logging protocol's way
            self.handleError(record)


def _error(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    return exc_info if isinstance(exc_info, BaseException) else sys.exception() if exc_info else None
