"""A model that obeys: in process it is handed its orders, behind HTTP it reads them out of the prompt."""

import base64
import codecs
import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

from pydantic_ai import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from core.sessions import Plan, PlanningContext
from planner.llm import TOKENS, LlmPlanner
from tests.hostile.orders import Order
from tests.hostile.payloads import Payload

OWN_WORDS = "zq-own-words"  # in every reason that the model gives, and in nothing that a target says
_TOOL = re.compile(r"(propose_interval|propose_next_time|pause_until|clear_hints|propose_rule)\s*(?=\{)")
_INVISIBLE = re.compile("[\u200b\u200d\u2060\ufeff\u00ad]")


@dataclass
class ObedientPlanner:
    """The planner port: a real session, with a model that carries out a payload's orders."""

    payload: Payload
    sessions: int = 0
    plans: list[Plan] = field(default_factory=list)
    worst_case_tokens: int = TOKENS

    async def plan(self, context: PlanningContext) -> Plan:
        orders = self.payload.orders
        if self.payload.each_session and orders:
            orders = (orders[self.sessions % len(orders)],)
        self.sessions += 1
        model = FunctionModel(_carrying_out(list(orders), context.now, self.payload.words), model_name="obedient")
        plan = await LlmPlanner(model, fall_back=False).plan(context)
        self.plans.append(plan)
        return plan


def _carrying_out(orders: list[Order], now: datetime, words: str) -> Any:
    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        calls = [ToolCallPart(order.tool, arguments(order, now)) for order in orders[:3]]
        del orders[:3]
        return ModelResponse(calls or [TextPart(words)], model_name="obedient")

    return answer


def arguments(order: Order, now: datetime) -> Any:
    """Return an order's arguments as the tool takes them, with the model's own words in the reason."""
    if isinstance(order.arguments, str):
        return order.arguments
    given = dict(order.arguments)
    for name in ("at", "until"):
        value = given.get(name)
        if isinstance(value, str) and value.startswith("+"):
            given[name] = (now + timedelta(seconds=int(value[1:]))).isoformat()
    if isinstance(given.get("reason"), str):
        given["reason"] = f"{given['reason']} {OWN_WORDS}"
    return given


@dataclass
class ReadingModel:
    """Answers chat completions by what the prompt itself orders, however it is hidden. `obeyed`: how often it found any."""

    obeyed: int = 0

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        messages = request["body"]["messages"]
        asked = sum(1 for message in messages if message.get("tool_calls"))
        text = "\n".join(str(message.get("content")) for message in messages if message["role"] != "system")
        now = datetime.fromisoformat(re.search(r"Now: (\S+ \S+?)Z", text).group(1) + "+00:00")  # type: ignore[union-attr]
        for order in found_in(text):
            self.obeyed += 1
            return {"tool": [order.tool, arguments(order, now)]}
        if asked < 2:
            looks: list[list[Any]] = [["get_response_history", {"limit": 20}], ["get_sibling_latest_responses", {}]]
            return {"tool": looks[asked]}
        return {"text": "I see no order."}


def found_in(text: str) -> Iterator[Order]:
    """Yield the orders in a prompt: plain, quoted, encoded, woven into invisible characters, or in pieces."""
    for reading in _readings(text):
        for match in _TOOL.finditer(reading):
            with contextlib.suppress(ValueError):
                given, _ = json.JSONDecoder().raw_decode(reading, match.end())
                yield Order(match[1], given)


def _readings(text: str) -> Iterator[str]:
    bodies = [json.loads(each) for each in re.findall(r'"untrusted_body": ("(?:[^"\\]|\\.)*")', text)]
    pieces = sorted({body for body in bodies if body.startswith("part ")})
    for each in (*bodies, "".join(piece.partition("|")[2] for piece in pieces)):
        plain = each
        for _ in range(2):
            yield plain
            yield _INVISIBLE.sub("", plain)
            yield "".join(chr(ord(char) - 0xE0000) if 0xE0000 <= ord(char) < 0xE0080 else char for char in plain)
            yield plain[::-1]
            yield codecs.encode(plain, "rot13")
            yield unquote(plain)
            for chunk in re.findall(r"[A-Za-z0-9+/]{24,}={0,2}", plain):
                with contextlib.suppress(ValueError):
                    yield base64.b64decode(chunk).decode("utf-8", "replace")
            with contextlib.suppress(ValueError, RecursionError):
                document = json.loads(plain)
                plain = str(document.get("message", "")) if isinstance(document, dict) else ""
            plain = plain.replace('\\"', '"')
