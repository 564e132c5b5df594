"""Where one session's calls are collected: proposals staged, verdicts recorded, nothing written."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from core.entities import HintKind
from core.rules import RuleDraft
from core.sessions import Conclusion, PlanningContext, Proposal, ToolCall, Verdict


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool tells the model, and what the verdict on its call was."""

    verdict: Verdict
    message: str


@dataclass(slots=True)
class Workbench:
    """One session at one job. Tools take no ids: the job is bound here, and no other can be named."""

    context: PlanningContext
    shortest_look: timedelta = timedelta(minutes=1)  # that a planner may ask for; less would buy a session a run
    staged: list[Proposal] = field(default_factory=list)
    rules: list[RuleDraft] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    conclusion: Conclusion | None = None

    def stage(self, proposal: Proposal) -> None:
        """Stage a proposal; it replaces an earlier one of its kind (and a clearing, an earlier clearing)."""
        self.staged = [
            earlier for earlier in self.staged if (earlier.kind, earlier.clear) != (proposal.kind, proposal.clear)
        ]
        self.staged.append(proposal)

    def record(self, call_id: str, tool: str, arguments: Any, answer: Answer) -> Answer:
        """Keep a call with its verdict, and hand the answer on."""
        self.calls.append(ToolCall(call_id, tool, arguments, answer.verdict, answer.message))
        return answer

    def has_staged(self, kind: HintKind) -> bool:
        """Tell whether a hint of that kind is staged."""
        return any(proposal.kind is kind and not proposal.clear for proposal in self.staged)
