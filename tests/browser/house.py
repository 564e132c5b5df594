"""Everything that the browser's tests stand on: the story on its stage, the service, the browser, and who is signed in."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Browser, BrowserContext

from tests.browser import story
from tests.browser.browser import Watched, axe_script, chromium, context_of
from tests.browser.playing import Told, play
from tests.browser.stage import Service, service, staged


@dataclass(slots=True)
class House:
    """The story's names, the service, the browser, and a profile that is signed in as an admin."""

    told: Told
    service: Service
    browser: Browser
    signed_in: BrowserContext
    axe: str

    async def watched(self, context: BrowserContext | None = None) -> Watched:
        """Open a page."""
        return Watched(await (context or self.signed_in).new_page())

    def address(self, path: str) -> str:
        """Return a path with the story's jobs in their places."""
        return path.format(**self.told.jobs, session=self.told.session, run=self.told.failed_run)


@asynccontextmanager
async def opened(server_url: str, folder: Path) -> AsyncIterator[House]:
    """Tell the story, serve it, and sign in by its invitation, as somebody does who was sent the link."""
    (folder / "data").mkdir()
    (folder / "data" / "eval.json").write_text(story.REPORT)
    async with staged(server_url, story.BEGINS) as stage, chromium() as browser:
        with service(stage.url, folder) as served:
            told = await play(stage)
            served.wait()
            context = await context_of(browser, served.url)
            await sign_in(context, served.url, told.invitation)
            yield House(told, served, browser, context, axe_script())
            await context.close()


async def sign_in(context: BrowserContext, url: str, invitation: str) -> None:
    """Open an invitation's link, which works once; GitHub consents, and sends the browser back."""
    page = await context.new_page()
    await page.goto(f"/api/auth/sign-in/social/github?invitation={invitation}&redirect=/")
    await page.wait_for_url(f"{url}/")
    await page.close()


SCREENS: Mapping[str, str] = {  # every screen by the name of its picture
    "overview": "/",
    "job": "/jobs/{orders}",
    "why": "/jobs/{orders}/why",
    "session": "/sessions/{session}",
    "runs": "/runs",
    "run": "/runs/{run}",
    "failures": "/failures",
    "quota": "/quota",
    "evals": "/evals",
    "cron": "/cron",
    "cron-job": "/cron/{ledger}",
    "keys": "/keys",
    "settings": "/settings",
    "members": "/settings/members",
    "channels": "/settings/channels",
    "usage": "/settings/usage",
    "audit": "/settings/audit",
}
