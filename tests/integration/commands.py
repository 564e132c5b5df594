"""The command line called in this process, against a service that a test serves."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rubato.cli import app
from tests.integration.served import KEY, Served, served
from tests.postgres import fresh


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Ended]


@pytest.fixture(scope="module")
def service(postgres_url: str, template: str) -> Iterator[Served]:
    """Serve the API for the module."""
    for url in fresh(postgres_url, template):
        with served(url) as running:
            yield running


@pytest.fixture
def rubato(service: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return the command line, pointed at the service, in a folder without settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUBATO_URL", service.url)
    monkeypatch.setenv("RUBATO_API_KEY", KEY)

    def invoke(*args: str, stdin: str | None = None) -> Ended:
        done = CliRunner().invoke(app, args, input=stdin)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ended(done.exit_code, done.stdout, done.stderr)

    return invoke


def ok(ended: Ended) -> Ended:
    """Return a command's end, which must be a good one."""
    assert ended.code == 0, ended.err
    return ended
