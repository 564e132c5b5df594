"""Ask a real model: `make check-llm` with OPENAI_BASE_URL (any OpenAI-compatible server), OPENAI_API_KEY, RUBATO_MODEL.

Lives through each scenario with the real loop and prints what the model did. Ends with 1 if a bound, a grant or a lifetime was
broken, or a session did not end well; a model that does something unwise within them is reported, not failed. `--record`
keeps the answers under tests/llm/sessions, where the suite replays them.
"""

import argparse
import asyncio
import json
import os
import sys
from datetime import timedelta
from pathlib import Path

from core.sessions import Outcome as Ended
from planner.llm import LlmPlanner
from planner.models import openai_model
from tests.llm.recorder import Recorder, recorder
from tests.llm.scenarios import SCENARIOS, Outcome, Scenario, live

SESSIONS = Path(__file__).parent / "sessions"
DEADLINE = timedelta(seconds=60)


def main() -> int:
    """Run the check."""
    parser = argparse.ArgumentParser(prog="make check-llm", description=__doc__)
    parser.add_argument("--record", action="store_true", help="keep the model's answers for the suite to replay")
    parser.add_argument("--only", choices=[scenario.name for scenario in SCENARIOS])
    options = parser.parse_args()
    base_url, key = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
    if not base_url and not key:
        print("Set OPENAI_BASE_URL to an OpenAI-compatible server (with its /v1), or OPENAI_API_KEY for OpenAI's own.")
        return 2
    model = os.environ.get("RUBATO_MODEL", "gpt-5-mini")
    outcomes = []
    for scenario in SCENARIOS:
        if options.only in (None, scenario.name):
            print(f"{scenario.name}: {scenario.intent}")
            with recorder(base_url or "https://api.openai.com/v1") as kept:
                outcomes.append(asyncio.run(_ask(scenario, model, key or "none", kept)))
            if options.record:
                _keep(scenario, model, kept)
    return _report(outcomes)


async def _ask(scenario: Scenario, model: str, key: str, kept: Recorder) -> Outcome:
    planner = LlmPlanner(openai_model(model, api_key=key, base_url=kept.url), DEADLINE, fall_back=False)
    try:
        return await live(scenario, planner, print)
    finally:
        await planner.close()


def _keep(scenario: Scenario, model: str, kept: Recorder) -> None:
    name = "".join(char if char.isalnum() else "-" for char in model)
    answers = [{"status": status, "body": body} for status, body in kept.answers]
    path = SESSIONS / f"recorded-{name}-{scenario.name}.json"
    written = {"kind": "recorded", "model": model, "scenario": scenario.name, "answers": answers}
    path.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"    kept in {path.name}")


def _report(outcomes: list[Outcome]) -> int:
    broken = [(outcome.scenario.name, line) for outcome in outcomes for line in outcome.broken]
    sessions = [session for outcome in outcomes for session in outcome.sessions]
    unwell = [each for each in sessions if each.plan.outcome is not Ended.COMPLETED]
    tokens = sum(each.plan.usage.tokens for each in sessions)
    print(f"{len(sessions)} sessions, {len(unwell)} did not end well, {tokens} tokens; broken: {len(broken)}")
    for name, line in broken:
        print(f"  {name}: {line}")
    for session in unwell:
        print(f"  {session.plan.outcome}: {session.plan.error}")
    return 1 if broken or unwell else 0


if __name__ == "__main__":
    sys.exit(main())
