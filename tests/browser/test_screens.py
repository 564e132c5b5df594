"""Every screen in a real browser: no error, no violation of its policy, nothing that axe finds, light, dark and narrow."""

import pytest

from tests.browser.browser import NARROW, WIDE, violations
from tests.browser.house import SCREENS, House

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser"), pytest.mark.timeout(400)]

LOOKS = (("light", WIDE), ("dark", NARROW))  # each scheme and each width once: axe takes a second or more


@pytest.mark.parametrize("name", SCREENS)
async def test_a_screen_is_without_fault(house: House, name: str) -> None:
    watched = await house.watched()
    page = watched.page
    await page.goto(house.address(SCREENS[name]))
    broken = []
    for scheme, size in LOOKS:
        await page.set_viewport_size(size)
        await page.emulate_media(color_scheme=scheme)
        broken += [f"{scheme} {size['width']}: {each}" for each in await violations(page, house.axe)]
        width = await page.evaluate("document.documentElement.scrollWidth")
        if width > size["width"]:
            broken.append(f"{scheme} {size['width']}: {width} pixels wide")
    faults = await watched.all_faults()
    await page.close()
    assert [*faults, *broken, *house.service.new_faults()] == []
