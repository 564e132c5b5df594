"""Chromium from Debian, a page that keeps whatever goes wrong on it, and axe."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, async_playwright

from tests.browser import story
from tests.debian import tool

AXE = Path(__file__).parent / "axe" / "axe.min.js"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
# Told by the browser itself, before any script of a page runs.
_WATCH_CSP = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.__violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));
"""
ZONE = "Europe/Berlin"  # of the viewer: an hour ahead of UTC on the story's day


@dataclass
class Watched:
    """A page, and what went wrong on it: console errors, uncaught exceptions, failed requests, answers beyond 399."""

    page: Page
    faults: list[str] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(f" {code} " in message.text for code in self.expected):
            self.faults.append(f"console: {message.text} {message.location.get('url', '')}")

    def _failed(self, request: Request) -> None:
        if request.resource_type != "eventsource" and "ERR_ABORTED" not in str(request.failure):
            self.faults.append(f"request: {request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.faults.append(f"answer: {response.status} {response.url}")

    async def all_faults(self) -> list[str]:
        """Return everything that went wrong since it was asked last, violations of the policy included."""
        violations = await self.page.evaluate("window.__violations ?? []")
        found, self.faults = [*self.faults, *(f"policy: {each}" for each in violations)], []
        return found


def axe_script() -> str:
    """Return axe, if it is the file whose checksum is committed."""
    text = AXE.read_text(encoding="utf-8")
    wanted = dict(reversed(line.split()) for line in (AXE.parent / "SHA256SUMS").read_text().splitlines())
    assert hashlib.sha256(text.encode()).hexdigest() == wanted[AXE.name], "axe.min.js is not the committed one"
    return text


async def violations(page: Page, axe: str) -> list[str]:
    """Return the rules of axe that the page breaks, and where."""
    if not await page.evaluate("() => 'axe' in window"):
        await page.evaluate(axe)  # through the debugger: the page's policy stays as it is
    options = {"runOnly": {"type": "tag", "values": list(RULES)}, "resultTypes": ["violations"]}
    found: dict[str, Any] = await page.evaluate(
        "(options) => axe.run(document, options).then((found) => ({violations: found.violations}))", options
    )
    return [
        f"{each['id']}: {each['help']}: {json.dumps([node['target'] for node in each['nodes']][:4])}"
        for each in found["violations"]
    ]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start Debian's browser; there is no other to download."""
    path = tool("chromium", "chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        await browser.close()


async def context_of(browser: Browser, url: str, **options: Any) -> BrowserContext:
    """Open a profile of its own, whose clock stands at the story's end."""
    made = {"viewport": WIDE, "timezone_id": ZONE, "locale": "en-GB", "reduced_motion": "reduce", **options}
    context = await browser.new_context(base_url=url, **made)
    context.set_default_timeout(10_000)
    await context.add_init_script(_WATCH_CSP)
    await context.clock.set_fixed_time(story.NOW)  # timers go on: axe and htmx wait by them
    return context
