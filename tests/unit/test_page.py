"""The page: what it shows, to whom, and that nothing a target or a user wrote becomes markup."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import httpx2
import pytest

from api.app import create_app
from api.paging import Cursors
from api.services import Services
from core.entities import Authority, CronBaseline, Definition, HttpAction, OnceBaseline
from core.ports.accounts import Principal
from core.ports.dispatcher import HttpRequest, HttpResult
from core.usecases.bulk import Bulk
from core.usecases.manage_channels import ManageChannels
from core.usecases.manage_rules import ManageRules
from planner.llm import OfflinePlanner
from rubato.adapters.ids import SystemIds
from rubato.adapters.memory.channels import MemoryChannels
from rubato.adapters.memory.definitions import MemoryDefinitions
from rubato.adapters.memory.replies import MemoryReplies
from rubato.adapters.memory.usage import MemoryUsage
from rubato.adapters.targets.registry import Registry
from tests.unit.fakes import START, FakeSigning
from tests.unit.identities import no_identity
from tests.unit.loop import TENANT, Loop, definition, interval_proposal

STATIC = Path(__file__).resolve().parents[2] / "api/dashboard/static"
EVIL = """<script>alert('x')</script><img src=x onerror=alert(1)>"&'"""


class NoAccounts:
    """Nobody has a key."""

    async def authenticate(self, api_key: str) -> Principal | None:
        return None

    async def bootstrap(self, api_key: str, *, tenant: str, user: str) -> Principal:
        raise AssertionError("the page bootstraps nothing")


class Markup(HTMLParser):
    """Collects tags with their attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def services(loop: Loop, *, anonymous_tenant: str | None = TENANT) -> Services:
    """Return what the page stands on, over the loop's memory store."""

    async def metrics() -> tuple[bytes, str]:
        return b"", "text/plain"

    def observe(*, method: str, route: str, status: int, duration_s: float) -> None:
        return None

    return Services(
        jobs=loop.jobs,
        hints=loop.hints,
        rules=ManageRules(loop.store, loop.cron, SystemIds()),
        bulk=Bulk(loop.store, loop.cron),
        explain=loop.explain,
        channels=ManageChannels(loop.store, MemoryChannels(loop.store), SystemIds(), lambda url: [], has_mail=False),
        store=loop.store,
        quota=loop.quota,
        flags=loop.flags,
        switches=loop.switches,
        accounts=NoAccounts(),
        identity=no_identity(),
        clock=loop.clock,
        definitions=MemoryDefinitions(loop.store),
        targets=Registry(),
        planner=None,
        check_url=lambda url: [],
        check_headers=lambda headers: [],
        seal=lambda plain, stored: plain,
        metrics=metrics,
        observe=observe,
        replies=MemoryReplies(loop.clock, loop.ids),
        usage=MemoryUsage(loop.store),
        signing=FakeSigning(),
        cursors=Cursors(b"c" * 32),
        anonymous_tenant=anonymous_tenant,
    )


async def get(
    loop: Loop,
    path: str = "/",
    *,
    host: str = "127.0.0.1:3000",
    client: str = "127.0.0.1",
    anonymous_tenant: str | None = TENANT,
    headers: Mapping[str, str] | None = None,
) -> httpx2.Response:
    """Ask the application, in this process."""
    app = create_app(services(loop, anonymous_tenant=anonymous_tenant))
    transport = httpx2.ASGITransport(app, client=(client, 50000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as browser:
        return await browser.get(path, headers={"host": host, **(headers or {})})


async def lived() -> Loop:
    """Return a loop with one job that ran, and was hurried by the planner into its lower bound."""
    loop = Loop()
    job = await loop.register(replace(definition(), name="Order queue", description="Watch the queue."))
    loop.planner.script = [[interval_proposal(1, reason="the queue is filling")]]
    await loop.until_slot(job)
    await loop.turn()
    return loop


def _always(result: HttpResult, request: HttpRequest) -> HttpResult:
    return result


async def test_a_job_is_shown_with_its_intent_tempo_hint_and_reason() -> None:
    page = Markup((await get(await lived())).text)
    text = " ".join(page.text.split())
    for words in (
        "Order queue",
        "Watch the queue.",
        "baseline every 1 min",
        "held by min interval",
        "every 1 s, says the planner",
        "the queue is filling",
        "Next run in 10 s",
    ):
        assert words in text, f"{words!r} is not in {text!r}"
    (band,) = [each for each in page.of("svg") if each.get("role") == "img"]
    assert band["aria-label"] == "Interval now 10 s, between 10 s and 10 min; baseline 1 min"
    assert len([each for each in page.of("path") if each.get("class") == "now faster"]) == 2  # legend and band


async def test_a_session_is_shown_with_what_it_did_and_why() -> None:
    loop = Loop(planner=OfflinePlanner())  # type: ignore[arg-type]  # a port, typed by its usual fake here
    loop.dispatcher.plan = lambda request: HttpResult(status_code=200, duration_ms=1, body='{"depth": 7}')
    job = await loop.register(definition(description="every 20 s while depth is above 5"))
    await loop.until_slot(job)
    await loop.turn()
    text = Markup((await get(loop)).text).text
    assert "propose_interval: accepted" in text
    assert "depth is above 5, as the owner asked" in text


async def test_runs_are_told_apart_by_words_and_shape_not_by_colour_alone() -> None:
    loop = Loop()
    job = await loop.register()
    for code in (200, 500):
        result = HttpResult(status_code=code, duration_ms=5)
        loop.dispatcher.plan = partial(_always, result)
        await loop.until_slot(job)
        await loop.run_turn()
    page = Markup((await get(loop)).text)
    marks = [each for each in page.of("li") if each.get("class") in ("ok", "bad")]
    assert [(each["class"], (each["title"] or "").split(" UTC ")[1]) for each in marks] == [
        ("ok", "succeeded HTTP 200"),
        ("bad", "failed HTTP 500"),
    ]


async def test_whatever_was_written_is_shown_as_text() -> None:
    loop = Loop()
    hostile = replace(definition(), name=EVIL, description=EVIL, action=HttpAction("http://target.test/"))
    loop.dispatcher.plan = lambda request: HttpResult(status_code=None, duration_ms=1, error=EVIL)
    loop.planner.script = [[interval_proposal(20, reason=EVIL)]]
    job = await loop.register(hostile)
    await loop.until_slot(job)
    await loop.turn()
    page = Markup((await get(loop)).text)
    assert page.text.count("<script>alert('x')</script>") >= 3
    assert [each.get("src") for each in page.of("script")] == ["/dashboard/static/page.js"]
    assert not page.of("img")


@pytest.mark.parametrize("path", ["/", "/dashboard/live"])
async def test_nothing_is_inline_and_nothing_comes_from_elsewhere(path: str) -> None:
    answer = await get(await lived(), path)
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    page = Markup(answer.text)
    for tag, attrs in page.tags:
        assert "style" not in attrs, f"an inline style in {tag}"
        assert not [name for name in attrs if name.startswith("on")], f"an inline handler in {tag}"
        for name in ("src", "href"):
            assert (attrs.get(name) or "/").startswith("/")
    assert not re.search(r"<style|<script(?![^>]*\bsrc=)", answer.text)
    assert answer.headers["cache-control"] == "no-store"


def test_the_files_of_the_page_ask_nobody_else() -> None:
    for file in STATIC.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("// ", ""), f"{file.name} names another host"


async def test_every_file_that_the_page_names_is_served() -> None:
    loop = await lived()
    page = Markup((await get(loop)).text)
    names = [each["src"] for each in page.of("script")] + [each["href"] for each in page.of("link")]
    assert len(names) == 3
    for name in names:
        assert (await get(loop, str(name))).status_code == 200


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("127.0.0.1:3000", "192.0.2.1"),
        ("rebound.example:3000", "127.0.0.1"),
        ("127.0.0.1.example", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/dashboard/live"])
async def test_only_this_machine_under_its_own_name_sees_the_page(path: str, host: str, client: str) -> None:
    assert (await get(await lived(), path, host=host, client=client)).status_code == 404


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1:3000", "[::1]:3000", "localhost"])
async def test_this_machine_sees_it_under_each_of_its_names(host: str) -> None:
    assert (await get(await lived(), host=host)).status_code == 200


@pytest.mark.parametrize("path", ["/", "/dashboard/live", "/dashboard/static/page.js"])
async def test_without_an_anonymous_tenant_there_is_no_page(path: str) -> None:
    assert (await get(await lived(), path, anonymous_tenant=None)).status_code == 404


async def test_the_page_opens_no_door_to_the_api() -> None:
    assert (await get(await lived(), "/api/v1/jobs")).status_code == 401


@pytest.mark.parametrize(
    "made",
    [
        definition(baseline=CronBaseline("every 600")),
        definition(baseline=OnceBaseline(START + timedelta(minutes=5))),
    ],
    ids=["cron", "once"],
)
async def test_every_kind_of_baseline_is_shown(made: Definition) -> None:
    loop = Loop()
    await loop.register(made)
    page = Markup((await get(loop)).text)
    assert "Next run" in page.text
    bands = [each for each in page.of("svg") if each.get("role") == "img"]
    assert len(bands) == (0 if isinstance(made.baseline, OnceBaseline) else 1)


async def test_a_cron_job_that_a_hint_hurries_is_marked_as_faster() -> None:
    loop = Loop()
    job = await loop.register(definition(baseline=CronBaseline("every 600"), authority=Authority(tighten=True)))
    await loop.until_slot(job)
    await loop.run_turn()
    before = Markup((await get(loop)).text)
    loop.planner.script = [[interval_proposal(30)]]
    await loop.plans.run_once()
    after = Markup((await get(loop)).text)
    assert [len([each for each in page.of("path") if each["class"] == "now faster"]) for page in (before, after)] == [
        1,
        2,
    ]


async def test_a_paused_job_says_so_and_promises_no_run() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.jobs.pause(TENANT, job.id, reason="we are moving house")
    text = " ".join(Markup((await get(loop)).text).text.split())
    assert "paused" in text
    assert "No run is scheduled" in text
    assert "we are moving house" in text


async def test_an_empty_page_says_how_to_begin() -> None:
    assert "POST /api/v1/jobs" in (await get(Loop())).text
