"""The rooms keep their doors shut: the contracts hold, and each would catch a door left open."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

PACKAGES = ("core", "planner", "tools", "api", "worker", "evals", "rubato")


def lint(folder: Path) -> "subprocess.CompletedProcess[str]":
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the packages with their contracts."""
    folder = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_every_contract_is_kept(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("core/governor.py", "import sqlalchemy", "core imports the standard library only"),
        ("core/hints.py", "import rubato.settings", "core imports the standard library only"),
        ("tools/reading.py", "import pydantic_ai", "tools import core and no LLM library"),
        ("planner/offline.py", "import rubato.settings", "planner imports tools and core"),
        ("api/wire.py", "import worker.service", "api, worker and adapters import core, never each other"),
        ("api/wire.py", "import planner.llm", "api, worker and adapters do not reach planner"),
        ("worker/service.py", "import fastapi", "fastapi only in api"),
        ("worker/service.py", "import sqlalchemy", "sqlalchemy and asyncpg only in adapters/postgres"),
        ("rubato/settings.py", "import rubato.wiring", "only the command line imports the wiring"),
        ("rubato/wiring/worker.py", "import openai", "the model libraries only in planner and evals"),
        ("api/wire.py", "import httpx2", "the HTTP client only in adapters/http"),
        ("rubato/wiring/worker.py", "import httptools", "the HTTP client only in adapters/http"),
        ("rubato/adapters/http/message.py", "import httpx2", "no other HTTP client in adapters/http"),
        ("rubato/adapters/postgres/codec.py", "import rubato.adapters.memory", "postgres and memory never import"),
        ("rubato/client/models.py", "import core.entities", "the client imports nothing else of Rubato"),
        ("rubato/mcp/tools.py", "import rubato.settings", "the MCP server imports the client and nothing else"),
        ("rubato/commands/jobs.py", "import api.app", "commands speak to a service over its REST API"),
        ("worker/loops.py", "import evals", "nobody but the command line imports evals"),
    ],
)
def test_a_planted_import_is_caught(copy: Path, file: str, line: str, contract: str) -> None:
    planted = copy / file
    clean = planted.read_text()
    planted.write_text(f"{clean}\n{line}\n")
    try:
        done = lint(copy)
    finally:
        planted.write_text(clean)
    assert done.returncode != 0
    broken = [row for row in done.stdout.splitlines() if row.endswith("BROKEN")]
    assert any(contract in row for row in broken), done.stdout
