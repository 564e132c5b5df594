"""What every test stands on: no way out of this machine, no model without being asked, and a real PostgreSQL."""

import ipaddress
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.postgres"]

settings.register_profile(
    "default", deadline=None, max_examples=200, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=3000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# What a service in a test's own process logs goes where pytest keeps it, not among what the test prints.
structlog.configure(
    processors=[structlog.stdlib.filter_by_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
)

_configure = structlog.configure


def _uncached(**options: Any) -> None:
    _configure(**{**options, "cache_logger_on_first_use": False})


structlog.configure = _uncached  # a logger that keeps a test's settings would keep them for all tests after it

_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex


class LeavesThisMachineError(AssertionError):
    """A test tried to reach another machine."""


def _check(address: Any) -> None:
    if isinstance(address, tuple):
        host = str(address[0])
        if host not in ("localhost", "") and not ipaddress.ip_address(host.split("%")[0]).is_loopback:
            raise LeavesThisMachineError(f"a test tried to connect to {address}")


def _guarded_connect(self: socket.socket, address: Any) -> None:
    _check(address)
    return _connect(self, address)


def _guarded_connect_ex(self: socket.socket, address: Any) -> int:
    _check(address)
    return _connect_ex(self, address)


@pytest.fixture(scope="session", autouse=True)
def stays_on_this_machine() -> Iterator[None]:
    """Refuse connections to other machines, and model requests that a test did not allow."""
    from pydantic_ai import models

    os.environ.pop("OPENAI_API_KEY", None)
    models.ALLOW_MODEL_REQUESTS = False
    socket.socket.connect = _guarded_connect  # type: ignore[method-assign, assignment]
    socket.socket.connect_ex = _guarded_connect_ex  # type: ignore[method-assign]
    yield
    socket.socket.connect = _connect  # type: ignore[method-assign]
    socket.socket.connect_ex = _connect_ex  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def in_a_folder_without_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the developer's own .env or environment."""
    for name in list(os.environ):
        if name.startswith("RUBATO_") and not name.startswith("RUBATO_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("DATABASE_URL", raising=False)


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Undo what a command that ran in this process did to logging: it writes to a stream that is closed by then."""
    root, configured = logging.getLogger(), structlog.get_config()
    handlers, level, hooks = root.handlers[:], root.level, (sys.excepthook, sys.unraisablehook, threading.excepthook)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    structlog.configure(**configured)
    logging.captureWarnings(capture=False)
