"""`rubato doctor` finds each kind of fault that it knows, planted, and nothing in an installation that is well."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from core.ports.clock import Clock
from rubato.adapters.clock import SystemClock
from rubato.doctor import Finding, Patient, examine
from rubato.settings import Settings, load
from tests.integration.commands import Command, rubato, service
from tests.integration.scripted import scripted
from tests.integration.served import KEY, Served, served
from tests.processes import free_port
from tests.unit.fakes import FakeClock

__all__ = ["rubato", "service"]


@pytest.fixture
def installation(database_url: str) -> Iterator[Served]:
    """Serve an installation of a test's own, to break."""
    with served(database_url) as running:
        yield running


def settings(**given: str) -> Settings:
    return load(given, dotenv=Path("none")).settings


async def look(url: str, *, key: str | None = KEY, clock: Clock | None = None, **given: str) -> dict[str, Finding]:
    """Return the findings by what they are about."""
    patient = Patient(settings(**given), url, key, clock or SystemClock())
    return {finding.about: finding async for finding in examine(patient)}


def faults(found: dict[str, Finding]) -> dict[str, str]:
    """Return what is not well, each with something to do about it."""
    bad = {about: each for about, each in found.items() if each.level in ("fault", "warning")}
    assert all(each.remedy for each in bad.values())
    return {about: each.level.value for about, each in bad.items()}


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_an_installation_that_is_well_is_found_well(installation: Served, database_url: str) -> None:
    with scripted((200, {}, {"data": []})) as model:
        found = await look(
            installation.url, DATABASE_URL=database_url, OPENAI_API_KEY="sk-x", OPENAI_BASE_URL=f"{model.url}/v1"
        )
    assert faults(found) == {}
    assert {about for about, each in found.items() if each.level == "ok"} == {
        "settings", "data folder", "time zones", "database", "tables", "roles", "partitions", "clock", "work", "API", "key",
        "model",
    }  # fmt: skip


async def test_what_is_not_configured_is_skipped_and_says_so(service: Served) -> None:
    found = await look(service.url, key=None)
    assert {about for about, each in found.items() if each.level == "skipped"} == {"database", "key", "model"}


async def test_production_without_a_secret_is_found(service: Served) -> None:
    assert faults(await look(service.url, RUBATO_ENV="production")) == {"settings": "fault"}


async def test_a_data_folder_that_is_none_is_found(service: Served, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = await look(service.url, RUBATO_DATA_DIR=str(tmp_path / "file"))
    assert faults(found) == {"data folder": "fault"}


async def test_a_database_that_is_away_is_found_and_its_password_is_not_shown(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rubato.doctor.PATIENCE_S", 0.3)
    url = f"postgresql://rubato:hidden@127.0.0.1:{free_port()}/rubato"
    found = await look(service.url, DATABASE_URL=url)
    assert faults(found) == {"database": "fault"}
    assert "hidden" not in str(found)


async def test_a_database_without_tables_is_found(service: Served, empty_database_url: str) -> None:
    found = await look(service.url, DATABASE_URL=empty_database_url)
    assert faults(found) == {"tables": "fault"}
    assert "rubato migrate" in str(found["tables"].remedy)


async def test_tables_of_an_older_release_are_found(installation: Served, database_url: str) -> None:
    await execute(database_url, "UPDATE alembic_version SET version_num = '0001'")
    assert faults(await look(installation.url, DATABASE_URL=database_url)) == {"tables": "fault"}


async def test_a_login_that_may_not_act_in_the_roles_is_found(installation: Served, database_url: str) -> None:
    stranger = f"stranger_{os.getpid()}"
    parts = urlsplit(database_url)
    await execute(
        database_url, f"CREATE ROLE {stranger} LOGIN PASSWORD 'x'; GRANT SELECT ON alembic_version TO {stranger}"
    )
    try:
        url = parts._replace(netloc=f"{stranger}:x@{parts.hostname}:{parts.port}").geturl()
        found = await look(installation.url, DATABASE_URL=url)
    finally:
        await execute(database_url, f"REVOKE SELECT ON alembic_version FROM {stranger}; DROP ROLE {stranger}")
    assert faults(found) == {"roles": "fault"}
    assert "GRANT rubato_" in found["roles"].detail


async def test_a_missing_partition_is_found(installation: Served, database_url: str) -> None:
    await execute(database_url, f"DROP TABLE runs_{datetime.now(UTC):%Y%m%d}")
    assert faults(await look(installation.url, DATABASE_URL=database_url)) == {"partitions": "warning"}


async def test_a_clock_that_is_off_is_found(installation: Served, database_url: str) -> None:
    clock = FakeClock(datetime.now(UTC) + timedelta(minutes=10))
    found = await look(installation.url, clock=clock, DATABASE_URL=database_url)
    assert faults(found) == {"clock": "warning"}
    assert "+" in found["clock"].detail


async def test_work_that_nobody_does_is_found(installation: Served, database_url: str) -> None:
    installation.populate()
    await execute(database_url, "UPDATE schedules SET ready_at = now() - interval '5 minutes'")
    found = await look(installation.url, DATABASE_URL=database_url)
    assert faults(found) == {"work": "fault"}
    assert "rubato worker" in str(found["work"].remedy)


async def test_a_service_that_is_not_there_is_found() -> None:
    assert faults(await look(f"http://127.0.0.1:{free_port()}")) == {"API": "fault"}


async def test_something_else_at_the_address_is_found() -> None:
    with scripted((200, {"content-type": "text/html"}, "<h1>welcome</h1>")) as other:
        assert faults(await look(other.url)) == {"API": "fault"}


async def test_a_key_that_is_not_valid_is_found_and_not_shown(service: Served) -> None:
    found = await look(service.url, key="cron_wrong")
    assert faults(found) == {"key": "fault"}
    assert "cron_wrong" not in str(found)


@pytest.mark.parametrize("reply", [(401, {}, {}), (500, {}, {})], ids=["refuses the key", "fails"])
async def test_a_model_that_cannot_be_asked_is_found(service: Served, reply: Any) -> None:
    with scripted(reply) as model:
        found = await look(service.url, OPENAI_API_KEY="sk-hidden", OPENAI_BASE_URL=f"{model.url}/v1")
    assert faults(found) == {"model": "fault"}
    assert "sk-hidden" not in str(found)


async def test_a_model_that_is_not_there_is_found(service: Served) -> None:
    base = f"http://127.0.0.1:{free_port()}/v1"
    assert faults(await look(service.url, RUBATO_PLANNER="llm", OPENAI_BASE_URL=base)) == {"model": "fault"}


def test_the_command_ends_with_1_for_a_fault_and_names_what_to_do(
    rubato: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    well = rubato("doctor")
    assert well.code == 0, well.out
    monkeypatch.setenv("RUBATO_API_KEY", "cron_wrong")
    ill = rubato("doctor")
    assert ill.code == 1
    assert "fault   key:" in ill.out
    assert "do: Set RUBATO_API_KEY" in ill.out
    assert [each["level"] for each in rubato("doctor", "-o", "json").json if each["about"] == "key"] == ["fault"]


def test_a_setting_that_does_not_exist_is_a_finding_too(rubato: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "RUBATO_PLANER", "off")
    ended = rubato("doctor")
    assert ended.code == 1
    assert "Did you mean RUBATO_PLANNER?" in ended.out
