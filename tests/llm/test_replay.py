"""Kept sessions, replayed through the real client: `recorded` came from a model, `scripted` were written by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.models import override_allow_model_requests

from core.sessions import Outcome
from planner.llm import LlmPlanner
from planner.models import openai_model
from tests.llm.recorder import recorder
from tests.llm.scenarios import SCENARIOS, live
from tests.loopback_model import loopback_model

KEPT = sorted((Path(__file__).parent / "sessions").glob("*.json"))


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
async def test_a_kept_session_ends_as_it_did_and_breaks_nothing(path: Path) -> None:
    kept = read(path)
    scenario = next(each for each in SCENARIOS if each.name == kept["scenario"])
    script = [
        {"raw": each["body"]} if each["status"] == 200 else {"status": each["status"]} for each in kept["answers"]
    ]
    with loopback_model(script) as server, override_allow_model_requests(True):
        planner = LlmPlanner(openai_model(kept["model"], api_key="none", base_url=server.url), fall_back=False)
        outcome = await live(scenario, planner)
        await planner.close()
    assert outcome.broken == []
    assert {session.plan.outcome for session in outcome.sessions} == {Outcome.COMPLETED}
    if "expected" in kept:
        assert [[call.tool, call.verdict] for each in outcome.sessions for call in each.plan.calls] == kept["expected"]


def test_each_kept_session_says_where_it_comes_from() -> None:
    assert len(KEPT) >= 3
    for path in KEPT:
        kept = read(path)
        assert path.name.startswith(f"{kept['kind']}-")
        assert kept["kind"] in ("recorded", "scripted")


async def test_the_recorder_keeps_what_was_answered_and_no_key() -> None:
    calm = SCENARIOS[0]
    with (
        loopback_model([{"text": "Nothing changed."}]) as server,
        recorder(server.url) as kept,
        override_allow_model_requests(True),
    ):
        planner = LlmPlanner(openai_model("loopback", api_key="s3cr3t-key", base_url=kept.url), fall_back=False)
        outcome = await live(calm, planner)
        await planner.close()
    assert len(kept.answers) == len(server.requests) == len(outcome.sessions)
    assert "Nothing changed." in kept.answers[0][1]
    assert "s3cr3t-key" not in str(kept.answers)
