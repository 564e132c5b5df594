"""The dashboard for tests: its pages over a memory store, asked as a browser on this machine would."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from typing import Any

import httpx2
from fastapi import FastAPI

from api.app import create_app
from api.live import Live
from api.paging import Cursors
from api.services import Services
from core.ports.accounts import Principal
from core.usecases.bulk import Bulk
from core.usecases.manage_channels import ManageChannels
from core.usecases.manage_rules import ManageRules
from rubato.adapters.ids import SystemIds
from rubato.adapters.memory.channels import MemoryChannels
from rubato.adapters.memory.definitions import MemoryDefinitions
from rubato.adapters.memory.feed import MemoryFeed
from rubato.adapters.memory.glances import MemoryGlances
from rubato.adapters.memory.insights import MemoryInsights
from rubato.adapters.memory.replies import MemoryReplies
from rubato.adapters.memory.usage import MemoryUsage
from rubato.adapters.targets.registry import Registry
from tests.unit.fakes import FakeSigning
from tests.unit.identities import no_identity
from tests.unit.loop import TENANT, Loop, definition, interval_proposal

OWNER = Principal(TENANT, "usr_owner", "admin")
EVIL = """<script>alert('x')</script><img src=x onerror=alert(1)>"&'"""


class NoAccounts:
    """Nobody has a key."""

    async def authenticate(self, api_key: str) -> Principal | None:
        return None

    async def bootstrap(self, api_key: str, *, tenant: str, user: str, tenant_id: str | None = None) -> Principal:
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

    def handle_endtag(self, tag: str) -> None:
        self.text += " "  # as a reader sees cells and paragraphs: apart

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def services(loop: Loop, *, local_owner: Principal | None = OWNER) -> Services:
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
        insights=MemoryInsights(loop.store),
        glances=MemoryGlances(loop.store),
        live=Live(MemoryFeed(loop.store), every_s=0.02),
        signing=FakeSigning(),
        cursors=Cursors(b"c" * 32),
        local_owner=local_owner,
    )


@cache
def _app() -> FastAPI:
    """Return the one application of a test process: to build it takes longer than most tests."""
    return create_app(services(Loop()))


async def ask(
    loop: Loop,
    method: str,
    path: str,
    *,
    host: str = "127.0.0.1:3000",
    client: str = "127.0.0.1",
    local_owner: Principal | None = OWNER,
    headers: Mapping[str, str] | None = None,
    **options: Any,
) -> httpx2.Response:
    """Ask the application, in this process. Redirects are not followed."""
    app = _app()
    app.state.services = services(loop, local_owner=local_owner)
    transport = httpx2.ASGITransport(app, client=(client, 50000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as browser:
        return await browser.request(method, path, headers={"host": host, **(headers or {})}, **options)


async def get(loop: Loop, path: str = "/", **options: Any) -> httpx2.Response:
    """Look at a page."""
    return await ask(loop, "GET", path, **options)


async def send(
    loop: Loop, path: str, *, site: str = "same-origin", fields: Mapping[str, str] | None = None, **options: Any
) -> httpx2.Response:
    """Send a form from a page. `site`: what the browser says of where it stood."""
    return await ask(loop, "POST", path, headers={"sec-fetch-site": site}, data=dict(fields or {}), **options)


async def lived() -> Loop:
    """Return a loop with one job that ran, and was hurried by the planner into its lower bound."""
    loop = Loop()
    job = await loop.register(replace(definition(), name="Order queue", description="Watch the queue."))
    loop.planner.script = [[interval_proposal(1, reason="the queue is filling")]]
    await loop.until_slot(job)
    await loop.turn()
    return loop
