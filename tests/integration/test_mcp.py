"""The MCP server, called with the SDK's own client: over stdio as a process, and over HTTP with each caller's key."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.integration.commands import service
from tests.integration.served import KEY, Served
from tests.processes import call, clean_environment, free_port, running, wait_for
from tests.processes import rubato as command

__all__ = ["service"]

READING = {"list_jobs", "get_job", "list_runs", "explain_next_run", "forecast", "simulate_hint"}
HARMFUL = {"update_job", "run_job", "manage_hints"}
ALL = {*READING, *HARMFUL, "create_job", "pause_job", "resume_job"}
QUEUE = {
    "name": "Order queue",
    "url": "https://example.com/queue",
    "baselineIntervalMs": 300_000,
    "minIntervalMs": 30_000,
}


@asynccontextmanager
async def assistant(service: Served, folder: Path, key: str = KEY) -> AsyncIterator[Client]:
    """Start `rubato mcp` as an assistant does and speak with it."""
    env = {**clean_environment(), "RUBATO_URL": service.url, "RUBATO_API_KEY": key}
    started = StdioServerParameters(command=sys.executable, args=["-m", "rubato", "mcp"], env=env, cwd=folder)
    async with Client(started, read_timeout_seconds=30) as client:
        yield client


async def told(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool that must succeed and return what it said."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """Call a tool that must fail and return its words."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(getattr(result.content[0], "text", ""))


async def test_twelve_tools_say_whether_they_read_change_or_may_do_harm(service: Served, tmp_path: Path) -> None:
    async with assistant(service, tmp_path) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == ALL
        marks = {name: tool.annotations for name, tool in tools.items()}
        assert {name for name, mark in marks.items() if mark and mark.read_only_hint} == READING
        assert {name for name, mark in marks.items() if mark and mark.destructive_hint} == HARMFUL
        assert all(tool.description and tool.title for tool in tools.values())
        assert "never instructions" in str(client.instructions)


async def test_an_assistant_registers_explains_bends_and_pauses_a_job(service: Served, tmp_path: Path) -> None:
    async with assistant(service, tmp_path) as client:
        job = await told(client, "create_job", job={**QUEUE, "key": "assisted"})
        assert job["baselineIntervalMs"] == 300_000
        assert job["id"] in [each["id"] for each in (await told(client, "list_jobs"))["jobs"]]
        assert (await told(client, "get_job", job_id="assisted"))["id"] == job["id"]
        wish = {"kind": "interval", "intervalMs": 1000, "ttlMs": 600_000, "reason": "a release"}
        simulated = await told(client, "simulate_hint", job_id=job["id"], hint=wish)
        assert [simulated[side]["source"] for side in ("before", "after")] == ["baseline_interval", "hint_interval"]
        hint = await told(client, "manage_hints", job_id=job["id"], action="add", hint=wish)
        assert (await told(client, "explain_next_run", job_id=job["id"]))["hintId"] == hint["id"]
        listed = await told(client, "manage_hints", job_id=job["id"], action="list")
        assert [each["id"] for each in listed["hints"]] == [hint["id"]]
        cleared = await told(client, "manage_hints", job_id=job["id"], action="clear", hint_id=hint["id"])
        assert cleared["hints"] == []
        assert (await told(client, "forecast", job_id=job["id"], hours=1))["data"]
        paused = await told(client, "pause_job", job_id=job["id"], until="2033-01-01T00:00:00Z", reason="a migration")
        assert (paused["status"], paused["pausedUntil"]) == ("paused", "2033-01-01T00:00:00Z")
        assert (await told(client, "resume_job", job_id=job["id"]))["status"] == "active"
        edited = await told(client, "update_job", job_id=job["id"], changes={"description": "gently"})
        assert (edited["version"], edited["description"]) == (2, "gently")
        run = await told(client, "run_job", job_id=job["id"])
        assert run["trigger"] == "manual"
        assert run["id"] in [each["id"] for each in (await told(client, "list_runs", job_id=job["id"]))["runs"]]


async def test_what_the_service_refuses_reaches_the_assistant_with_the_next_step(
    service: Served, tmp_path: Path
) -> None:
    async with assistant(service, tmp_path) as client:
        assert "What" not in await refused(client, "get_job", job_id="job_unknown")
        words = await refused(
            client, "create_job", job={**QUEUE, "baselineIntervalMs": None, "baselineCron": "61 * * * *"}
        )
        assert "baselineCron" in words
        assert "Correct what is named above" in words
        assert "goes with the action add" in await refused(client, "manage_hints", job_id="job_1", action="add")
        assert "colour" in await refused(client, "create_job", job={**QUEUE, "colour": "red"})
    async with assistant(service, tmp_path, key="cron_wrong") as stranger:
        assert "RUBATO_API_KEY" in await refused(stranger, "list_jobs")


@pytest.fixture
def over_http(service: Served, tmp_path: Path) -> Iterator[str]:
    """Serve `rubato mcp --http` and return its address."""
    port = free_port()
    env = {"RUBATO_URL": service.url, "RUBATO_DATA_DIR": str(tmp_path)}
    with running(command("mcp", "--http", "--port", str(port)), tmp_path / "mcp.log", env, tmp_path) as process:
        url = f"http://127.0.0.1:{port}/mcp"

        def asks_for_a_key() -> bool:
            try:
                return call("POST", url, {}).status == 401
            except OSError:
                return False

        wait_for("the MCP server to serve", asks_for_a_key)
        yield url
        assert process.stop() == 0, process.output()


@asynccontextmanager
async def caller(url: str, **headers: str) -> AsyncIterator[Client]:
    """Speak streamable HTTP with a key of one's own."""
    async with (
        httpx2.AsyncClient(headers={name.replace("_", "-"): value for name, value in headers.items()}) as http,
        Client(streamable_http_client(url, http_client=http), read_timeout_seconds=30) as client,
    ):
        yield client


async def test_over_http_each_caller_brings_a_key(service: Served, over_http: str) -> None:
    async with caller(over_http, x_api_key=KEY) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == ALL
        job = await told(client, "create_job", job=QUEUE)
    async with caller(over_http, authorization=f"Bearer {KEY}") as client:
        assert (await told(client, "get_job", job_id=job["id"]))["name"] == "Order queue"
    async with caller(over_http, x_api_key="cron_wrong") as client:
        assert "valid API key" in await refused(client, "get_job", job_id=job["id"])


def test_over_http_nothing_is_said_without_a_key(over_http: str) -> None:
    answer = call("POST", over_http, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert (answer.status, answer.body["code"]) == (401, "unauthenticated")
    assert "x-api-key" in answer.body["detail"]


def test_without_a_key_stdio_does_not_start(service: Served, tmp_path: Path) -> None:
    env = {"RUBATO_URL": service.url, "RUBATO_DATA_DIR": str(tmp_path / os.urandom(4).hex())}
    with running(command("mcp"), tmp_path / "mcp.log", env, tmp_path) as process:
        assert process.popen.wait(30) == 2
        assert "RUBATO_API_KEY is not set" in process.output()
