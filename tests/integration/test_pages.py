"""The pages about the command line, files, the client and the MCP server work as typed."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from rubato.cli import app
from tests.integration.commands import Command, ok, rubato, service
from tests.integration.served import Served
from tests.processes import ROOT

__all__ = ["rubato", "service"]


def blocks(page: str, language: str) -> list[str]:
    """Return a page's blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "docs" / page).read_text(), flags=re.M | re.S)


def typed(command: Command, line: str, folder: Path) -> None:
    """Carry out one line of a shell: a command, whose output may go to a file."""
    words = shlex.split(line)
    assert words[0] == "rubato"
    *args, last = words[1:]
    done = ok(command(*args[:-1])) if args and args[-1] == ">" else ok(command(*args, last))
    if args and args[-1] == ">":
        (folder / last).write_text(done.out)


def test_the_page_about_the_command_line(rubato: Command, tmp_path: Path) -> None:
    lines = "".join(blocks("cli.md", "sh")).splitlines()
    assert len(lines) > 15
    for line in lines:
        typed(rubato, line, tmp_path)


def test_the_tour_in_the_readme(rubato: Command, tmp_path: Path) -> None:
    ok(rubato("jobs", "create", "Queue", "https://example.com", "--key", "demo-queue", "--every", "1m"))
    tour = (ROOT / "README.md").read_text().partition("## A tour")[2].partition("```sh\n")[2].partition("```")[0]
    alias, *lines = tour.splitlines()
    assert alias.startswith("alias rubato=")
    assert len(lines) > 5
    for line in lines:
        typed(rubato, line, tmp_path)


def test_the_page_shows_a_refusal_as_it_is(rubato: Command) -> None:
    (shown,) = blocks("cli.md", "text")
    told = rubato("jobs", "create", "x", "https://shop.example.com", "--cron", "61 * * * *").err
    assert re.sub(r"req_\w+", "req", shown) == re.sub(r"req_\w+", "req", told)


def test_every_verb_of_a_service_stands_on_the_page() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    nouns = {group.name for group in app.registered_groups}
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert [name for name in sorted({*nouns, *verbs} - {None, "demo-target", "eval"}) if str(name) not in page] == []


def test_the_page_about_files(rubato: Command, tmp_path: Path) -> None:
    for job in rubato("jobs", "list", "-o", "json").json:
        ok(rubato("jobs", "delete", job["id"], "--yes"))
    (written,) = blocks("gitops.md", "yaml")
    (tmp_path / "jobs.yaml").write_text(written)
    for line in "".join(blocks("gitops.md", "sh")).splitlines():
        typed(rubato, line, tmp_path)


def test_the_page_about_the_client(service: Served, rubato: Command, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks("client.md", "python"):
        exec(compile(block, "client.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "a release" in printed
    assert "Correct what is named above" in printed


def test_the_page_about_assistants_starts_what_there_is() -> None:
    (configuration,) = blocks("mcp.md", "json")
    entry = json.loads(configuration)["mcpServers"]["rubato"]
    assert entry["command"] == "rubato"
    assert {command.callback.__name__ for command in app.registered_commands if command.callback} >= set(entry["args"])
    assert set(entry["env"]) == {"RUBATO_URL", "RUBATO_API_KEY"}


def test_the_page_about_assistants_names_every_tool_and_no_other() -> None:
    from rubato.mcp.server import build

    page = (ROOT / "docs" / "mcp.md").read_text()
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", page, flags=re.M))))
    server: Any = build(lambda ctx: pytest.fail("nobody is asked"))
    assert named == {tool.name for tool in server._tool_manager.list_tools()}
