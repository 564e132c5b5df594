"""Guards taken away one at a time: with each, some family gets through, and the suite must say so."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

import core.governor
import core.usecases.commit_plan
import planner.llm
import planner.prompt
import tools.proposing
from core.entities import Bounds, Hint, IntervalBaseline, Limits, RuleState
from core.record import evolve
from core.sessions import PlanningContext
from rubato.adapters.memory.store import MemoryStore
from tests.hostile import invariants
from tests.hostile.orders import FASTEST, LONGEST_PAUSE
from tests.hostile.payloads import Payload, payloads, status
from tests.hostile.world import FOREIGN, Tally, World, attack
from tests.unit.loop import ALL

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Mutant:
    """A guard that is missing, and the attack that must get through."""

    name: str
    patch: Patch
    attack: Callable[[], Awaitable[None]]


def family(name: str, **options: Any) -> Callable[[], Awaitable[None]]:
    """Return the attack of a family, on a job that may be steered in every way unless the options say otherwise."""

    async def run() -> None:
        for number, payload in enumerate(payloads(name)):
            await attack(payload, number, Tally(), **{"grants": ALL, **options})

    return run


async def pausing() -> None:
    payload = Payload("pause", (status("pause"),), (LONGEST_PAUSE,), each_session=True)
    slow = IntervalBaseline(timedelta(hours=2))
    world = await World(payload, grants=ALL, baseline=slow, bounds=Bounds()).open()
    spans = []
    for _ in range(40):
        await world.round()
        schedule = (await world.present()).schedule
        if schedule.paused_by is not None and schedule.paused_until is not None:
            spans.append((world.loop.clock.at, schedule.paused_until))
    invariants.check_pauses(spans, 0.25)


async def hurrying() -> None:
    payload = Payload("hurry", (status("faster"),), (FASTEST,))
    world = await World(payload, limits=Limits(accelerated_runs_per_day=5), grants=ALL).open()
    for _ in range(30):
        await world.round()
    gaps = [(await world.present()).schedule.accelerated_runs]
    invariants.demand(max(gaps) <= 5, "more accelerated runs than a day allows")


def everywhere(target: Any, name: str, value: Any) -> Patch:
    return lambda patch: patch.setattr(target, name, value)


def grants_ignored(patch: pytest.MonkeyPatch) -> None:
    deliberation = core.governor._Deliberation
    granted = property(lambda self: evolve(self.job.definition, authority=ALL), lambda self, definition: None)
    patch.setattr(deliberation, "definition", granted)
    patch.setattr(tools.proposing, "_beyond_grants", lambda *args: None)


def reasons_prompted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(planner.prompt, "_hint", lambda hint, now: hint.reason or "")


def address_prompted(patch: pytest.MonkeyPatch) -> None:
    inner = planner.prompt.describe_job
    patch.setattr(planner.llm, "describe_job", lambda context: f"{context.job.definition.action.url}\n{inner(context)}")


def walls_down(patch: pytest.MonkeyPatch) -> None:
    inner = MemoryStore._context

    def context(self: MemoryStore, job: Any, recent_runs: int) -> PlanningContext:
        seen = inner(self, job, recent_runs)
        theirs = [run for run in self._runs.values() if run.tenant_id == FOREIGN and run.finished_at]
        return evolve(seen, siblings=[*seen.siblings, *(("beside", run) for run in theirs)])

    patch.setattr(MemoryStore, "_context", context)


def hints_astray(patch: pytest.MonkeyPatch) -> None:
    inner = core.usecases.commit_plan._hints

    def astray(*args: Any) -> list[Hint]:
        return [evolve(hint, tenant_id=FOREIGN) for hint in inner(*args)]

    patch.setattr(core.usecases.commit_plan, "_hints", astray)


def rules_accepted(patch: pytest.MonkeyPatch) -> None:
    inner = core.usecases.commit_plan.new_rule

    def accepted(snapshot: Any, draft: Any, author: Any, state: Any, ids: Any, **more: Any) -> Any:
        return inner(snapshot, draft, author, RuleState.ACCEPTED, ids, **more)

    patch.setattr(core.usecases.commit_plan, "new_rule", accepted)


def excerpts_uncut(patch: pytest.MonkeyPatch) -> None:
    for name in ("EXCERPT_BYTES", "PROMPT_BYTES"):
        patch.setattr(planner.prompt, name, 10**6)


def pauses_unlimited(patch: pytest.MonkeyPatch) -> None:
    for place in (core.governor, tools.proposing):
        patch.setattr(place, "pause_left", lambda *args: timedelta(days=1))


def limits_lifted(patch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS", "TOOL_CALLS", "TOKENS"):
        patch.setattr(planner.llm, name, 10**6)


MUTANTS = [
    Mutant(
        "bounds", everywhere(core.governor._Deliberation, "_clamp", lambda self, at, regular: at), family("override")
    ),
    Mutant("grants", grants_ignored, family("override", grants=None)),
    Mutant("pause share", pauses_unlimited, pausing),
    Mutant("day's allowance", everywhere(core.governor._Deliberation, "_accelerations_on", lambda *args: 0), hurrying),
    Mutant(
        "hint lifetime",
        everywhere(core.usecases.commit_plan, "_expiry", lambda seen, proposal: seen.now + timedelta(days=30)),
        family("authority"),
    ),
    Mutant(
        "clean reasons",
        everywhere(tools.proposing, "clean_text", lambda text, longest: text),
        family("invisible_unicode"),
    ),
    Mutant(
        "one hint a kind",
        everywhere(core.usecases.commit_plan, "supersede", lambda *args: []),
        family("oscillation", rounds=4),
    ),
    Mutant("forgotten reasons", reasons_prompted, family("second_order")),
    Mutant("addresses kept back", address_prompted, family("exfiltration")),
    Mutant("tenant walls in prompts", walls_down, family("siblings")),
    Mutant("tenant walls in hints", hints_astray, family("foreign_ids")),
    Mutant("session limits", limits_lifted, family("token_burn")),
    Mutant("capped prompts", excerpts_uncut, family("flooding")),
    Mutant("a person's word on rules", rules_accepted, family("rules")),
]
