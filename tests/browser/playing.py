"""Plays the story on a stage: both loops on PostgreSQL, instant by instant, with the targets and the model of the story."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic_ai import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from core.entities import Author, CronBaseline, HintKind, TargetAction
from core.identity import KeyDraft, Role, Scope
from core.notices import QUIET, WATCHED, ChannelKind
from core.ports.accounts import Principal
from core.ports.dispatcher import HttpRequest, HttpResult
from core.ports.store import RunFilter
from core.quota import Price
from core.record import evolve
from core.sessions import Plan, PlanningContext
from core.usecases.manage_channels import ChannelDraft, ManageChannels
from core.usecases.manage_hints import HintDraft, ManageHints
from core.usecases.manage_jobs import ManageJobs
from core.usecases.plan_due import PlanDue
from core.usecases.run_due import RunDue
from core.usecases.turn_switches import TurnSwitches
from planner.llm import LlmPlanner, OfflinePlanner
from rubato.adapters.clock import SystemClock
from rubato.adapters.cron import CroniterCron
from rubato.adapters.postgres.accounts import PostgresAccounts
from rubato.adapters.postgres.allowances import PostgresAllowances
from rubato.adapters.postgres.audit import PostgresAudit
from rubato.adapters.postgres.engine import Engine, connect
from rubato.adapters.postgres.flags import PostgresFlags
from rubato.adapters.postgres.keys import PostgresKeys
from rubato.adapters.postgres.members import PostgresMembers
from rubato.adapters.postgres.notices import PostgresNotices
from rubato.adapters.postgres.quota import PostgresQuota
from rubato.adapters.postgres.store import PostgresStore
from rubato.adapters.targets.registry import Registry
from rubato.adapters.targets.runner import LocalTargets
from rubato.adapters.targets.shipped import log_message
from tests.browser import story
from tests.browser.stage import KEY, PEPPER, Stage
from tests.unit.fakes import EventLog, SequentialIds

_NEXT = "SELECT least(min(ready_at), min(plan_ready_at)) FROM public.schedules"
_MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class Targets:
    """The dispatcher of the story."""

    stage: Stage

    async def send(self, request: HttpRequest) -> HttpResult:
        return story.answer(request, self.stage.at)

    async def close(self) -> None:
        return None


@dataclass(slots=True)
class Planners:
    """A model for the order queue while it is long; the offline policy for all else."""

    offline: OfflinePlanner = field(default_factory=OfflinePlanner)
    llm: LlmPlanner = field(init=False)
    calls: story.Calls = ()

    def __post_init__(self) -> None:
        self.llm = LlmPlanner(FunctionModel(self._say, model_name=story.MODEL), fall_back=False)

    @property
    def worst_case_tokens(self) -> int:
        """As the model's: the guard sees every session."""
        return self.llm.worst_case_tokens

    async def plan(self, context: PlanningContext) -> Plan:
        body = context.runs[0].response_excerpt if context.runs else None
        is_long = context.job.definition.key == "orders" and json.loads(body or "{}").get("queue_depth", 0) > 500
        has_hint = any(hint.author is Author.PLANNER for hint in context.hints)
        self.calls = story.CONCLUDES if has_hint else story.PROPOSES
        return await (self.llm if is_long else self.offline).plan(context)

    def _say(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        tool, arguments = self.calls[sum(isinstance(each, ModelResponse) for each in messages)]
        usage = RequestUsage(input_tokens=1240 + 310 * len(messages), output_tokens=96)
        return ModelResponse([ToolCallPart(tool, arguments)], usage=usage, model_name=story.MODEL)


@dataclass(slots=True)
class Told:
    """What the story made: jobs' ids by their key, the secret of an invitation to sign in as an admin, the newest
    session of the model and the newest run of a failing job."""

    tenant_id: str
    jobs: dict[str, str]
    invitation: str
    session: str
    failed_run: str


async def play(stage: Stage) -> Told:
    """Tell the whole story; the clock stands at its end afterwards."""
    engine = connect(stage.url, application="story")
    clock, ids, cron, events = SystemClock(), SequentialIds(), CroniterCron(), EventLog()
    store, quota = PostgresStore(engine, ids), PostgresQuota(engine, ids)
    owner = await PostgresAccounts(engine, ids, pepper=PEPPER.encode()).bootstrap(KEY, tenant="demo", user="ada")
    jobs, hints = ManageJobs(store, cron, ids), ManageHints(store, cron, ids)
    prices = {story.MODEL: Price(0.25, 2.0)}
    plans = PlanDue(store, Planners(), quota, cron, clock, ids, events, prices=prices)
    worker = RunDue(
        store,
        Targets(stage),
        cron,
        clock,
        ids,
        events,
        worker_id="worker-1",
        targets=LocalTargets(Registry([log_message]), clock),
    )

    async def until(at: datetime) -> None:
        """Run and plan everything that falls due up to an instant."""
        while (due := await stage.connection.fetchval(_NEXT)) is not None and due <= at:
            await stage.put(max(due, stage.at))
            await worker.run_once()
            await worker.drain(5)
            await plans.run_once()
        await stage.put(at)

    known = {}
    for definition in story.JOBS:
        known[definition.key], _ = await jobs.register(owner.tenant_id, definition, by=owner.user_id)
    await until(story.at(12, 5))
    people = People(owner, ids, engine)
    invitation = await people.arrive(stage)
    await until(story.at(12, 15))
    flags = TurnSwitches(store, PostgresFlags(engine), cron)
    await flags.turn(owner.tenant_id, "shadow", by=owner.user_id, reason="watching the new prompt for an hour")
    await until(story.at(12, 25))
    await flags.turn(owner.tenant_id, "on", by=owner.user_id, reason="the proposals were sound")
    await until(story.at(12, 35))
    again = evolve(story.JOBS[9], action=TargetAction("system.log_message", {"message": "the ledger is open for 2026"}))
    again = evolve(again, baseline=CronBaseline("*/20 * * * *"))
    ledger = known["ledger"].id
    await jobs.new_version(owner.tenant_id, ledger, lambda old: again, of=1, by=owner.user_id)
    await until(story.at(13, 10))
    rebuilt = "the index is being rebuilt; back tomorrow morning"
    await jobs.pause(owner.tenant_id, known["search"].id, reason=rebuilt, by=owner.user_id)
    await until(story.at(14, 5))
    slow = HintDraft(HintKind.INTERVAL, "the storm has passed", interval=30 * _MINUTE, ttl=120 * _MINUTE)
    await hints.write(owner.tenant_id, known["weather"].id, slow)
    await until(story.NOW)
    await PostgresAllowances(engine).set({"tokens_per_day": 16_000}, tenant=owner.tenant_id)
    await tell(PostgresNotices(engine))
    sessions = await store.sessions(owner.tenant_id, job_id=known["orders"].id, limit=100)
    spoken = next(
        each.id for each in sessions.items if any(call.tool == "propose_interval" for call in each.plan.calls)
    )
    runs = await store.runs(owner.tenant_id, RunFilter(known["payments"].id), limit=1)
    await engine.dispose()
    made = {str(key): job.id for key, job in known.items()}
    return Told(owner.tenant_id, made, invitation, spoken, runs.items[0].id)


async def tell(notices: PostgresNotices) -> None:
    """Tell of what is wrong: the pager hears it at once, the chat does not answer, the mail waits."""
    await notices.find([], quiet=QUIET)
    for delivery in await notices.claim(limit=20, lease=_MINUTE):
        if delivery.channel.kind is ChannelKind.WEBHOOK:
            await notices.delivered(delivery.notice)
        elif delivery.channel.kind is ChannelKind.SLACK:
            await notices.failed(delivery.notice, "HTTP 503", again_in=_MINUTE)


@dataclass(slots=True)
class People:
    """A tenant's people, their keys, and what they want to be told."""

    owner: Principal
    ids: SequentialIds
    engine: Engine

    async def arrive(self, stage: Stage) -> str:
        """Make keys, with a line each in the audit, channels and invitations; return an admin's invitation."""
        owner, ids = self.owner, self.ids
        keys = PostgresKeys(self.engine, ids, pepper=PEPPER.encode(), prefix="cron_")
        audit = PostgresAudit(self.engine, ids)
        drafts = (
            KeyDraft("CI pipeline"),
            KeyDraft("Grafana", frozenset({Scope.METRICS_READ}), timedelta(days=90)),
            KeyDraft("Night shift's script", frozenset({Scope.JOBS_READ}), timedelta(hours=2)),
        )
        for number, draft in enumerate(drafts):
            entry = await audit.open(owner, stage.at, "createApiKey", {}, f"req_story{number}")
            made = await keys.create(owner, draft)
            await audit.close(owner, entry, status=201, detail={"keyId": made.key.id, "scopes": sorted(draft.scopes)})
            await stage.pass_(_MINUTE)
        store = PostgresStore(self.engine, ids)
        channels = ManageChannels(store, PostgresNotices(self.engine), ids, lambda url: (), has_mail=True)
        told = (
            ChannelDraft("On call", ChannelKind.WEBHOOK, "https://pager.example.com/hooks/7c1f", WATCHED),
            ChannelDraft("#shop-ops", ChannelKind.SLACK, "https://chat.example.com/services/T0/B0/x", WATCHED[:3]),
            ChannelDraft("Finance", ChannelKind.EMAIL, "finance@example.com", WATCHED, failure_streak=5),
        )
        for channel in told:
            await channels.add(owner.tenant_id, channel)
        members = PostgresMembers(self.engine, ids, pepper=PEPPER.encode())
        await members.invite(owner, Role.MEMBER, note="Maya, fulfilment", lifetime_s=7 * 86_400)
        _, token = await members.invite(owner, Role.ADMIN, note="Mona, operations", lifetime_s=7 * 86_400)
        return token
