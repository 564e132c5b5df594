"""One database, one service and one browser for the whole session."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext

from tests.browser import story
from tests.browser.browser import Watched, axe_script, chromium, context_of
from tests.browser.playing import Told, play
from tests.browser.stage import Service, service, staged


@dataclass(slots=True)
class House:
    """Everything that stands: the story's names, the service, the browser, and a profile that is signed in."""

    told: Told
    service: Service
    browser: Browser
    signed_in: BrowserContext
    axe: str

    async def watched(self, context: BrowserContext | None = None) -> Watched:
        """Open a page."""
        return Watched(await (context or self.signed_in).new_page())


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Tell the story, serve it, and sign in by its invitation, as somebody does who was sent the link."""
    folder = tmp_path_factory.mktemp("browser")
    axe = axe_script()
    async with staged(postgres_url, story.BEGINS) as stage, chromium() as browser:
        told = await play(stage)
        with service(stage.url, folder) as served:
            context = await context_of(browser, served.url)
            await sign_in(context, served, told.invitation)
            yield House(told, served, browser, context, axe)
            await context.close()


async def sign_in(context: BrowserContext, served: Service, invitation: str) -> None:
    """Open an invitation's link; GitHub consents, and sends the browser back."""
    page = await context.new_page()
    await page.goto(f"/api/auth/sign-in/social/github?invitation={invitation}&redirect=/")
    await page.wait_for_url(f"{served.url}/")
    await page.close()
