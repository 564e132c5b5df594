"""Log lines: structlog over the standard library, so that every library's lines come out alike."""

import logging
import sys
import threading
import warnings
from typing import Any

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
_QUIET = ("uvicorn", "httpx2", "httpcore2", "openai", "asyncio", "alembic")  # chatty below warning

# Without local variables: they hold what jobs carry, secrets among it.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))

_JSON = "rubato-json"  # the name of a handler whose lines are JSON


def configure_logs(*, json: bool, level: str = "info") -> None:
    """Send every line of this process to standard error, as JSON objects or for people."""
    renderer: list[Any] = (
        [_TRACEBACKS, structlog.processors.JSONRenderer()]
        if json
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.name = _JSON if json else "rubato-human"
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    warnings.simplefilter("default")
    sys.excepthook = _log_uncaught
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_thread_death
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("rubato").critical("the process ends on an error", exc_info=(kind, error, trace))


def _log_unraisable(what: "sys.UnraisableHookArgs") -> None:
    """Take what Python would print to standard error as plain text, from a destructor or a callback."""
    error = what.exc_value or what.exc_type()
    where = what.err_msg or "an exception was ignored"
    logging.getLogger("rubato").error(where, exc_info=(what.exc_type, error, what.exc_traceback))


def _log_thread_death(what: "threading.ExceptHookArgs") -> None:
    if what.exc_value is not None:
        name = what.thread.name if what.thread else "unknown"
        trace = (what.exc_type, what.exc_value, what.exc_traceback)
        logging.getLogger("rubato").error("the thread %s ended on an error", name, exc_info=trace)


def report_failure(message: str) -> None:
    """Say why the process ends: as a log line where lines are JSON, else plainly."""
    if any(handler.name == _JSON for handler in logging.getLogger().handlers):
        logging.getLogger("rubato").critical(message)
    else:
        print(f"rubato: {message}", file=sys.stderr, flush=True)  # noqa: T201 - the process's last word
