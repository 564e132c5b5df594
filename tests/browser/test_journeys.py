"""What people come for, clicked through: from the sign-in to the sign-out, and nothing goes wrong on the way."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.browser import Watched, context_of
from tests.browser.house import House

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("browser"), pytest.mark.timeout(400)]


@pytest_asyncio.fixture(loop_scope="session")
async def watched(house: House) -> AsyncIterator[Watched]:
    """A page that must not have gone wrong by the end of the test."""
    made = await house.watched()
    yield made
    faults = await made.all_faults()
    await made.page.close()
    assert [*faults, *house.service.new_faults()] == []


async def test_somebody_signs_in_by_an_invitations_link_which_works_once_and_signs_out(
    house: House, watched: Watched
) -> None:
    page = watched.page
    await page.goto("/settings/members")
    await page.get_by_label("For", exact=True).fill("Ravi, night shift")
    await page.get_by_role("button", name="Make an invitation").click()
    link = await page.get_by_label("The invitation's address").input_value()
    house.service.github.user = {"id": 77, "login": "ravi", "name": "Ravi"}
    guest = await context_of(house.browser, house.service.url)
    theirs = await guest.new_page()
    await theirs.goto("/runs?status=failed")
    await expect(theirs).to_have_url(re.compile(r"/sign-in\?next="))
    await expect(theirs.get_by_role("heading", name="Sign in")).to_be_visible()
    await theirs.goto(f"{link}&redirect=/runs")
    await expect(theirs.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    await theirs.get_by_role("button", name="Sign out").click()
    await expect(theirs).to_have_url(re.compile(r"/sign-in$"))
    await theirs.goto("/runs")
    await expect(theirs).to_have_url(re.compile(r"/sign-in\?next="))
    house.service.github.user = {"id": 78, "login": "mallory", "name": "Mallory"}
    used = await theirs.goto(link)
    assert used is not None
    assert used.status == 409
    await guest.close()


async def test_a_job_is_found_and_says_why_it_runs_next(watched: Watched) -> None:
    page = watched.page
    await page.goto("/")
    await page.get_by_label("Search jobs by name or key").fill("order")
    await page.keyboard.press("Enter")
    await expect(page.locator("#jobs tbody tr")).to_have_count(1)
    await page.get_by_role("link", name="Order queue").click()
    await expect(page.get_by_text("held to the minimum interval of 30 s").first).to_be_visible()
    await page.get_by_role("link", name="Why then?").click()
    await expect(page).to_have_url(re.compile(r"/why$"))
    await expect(page.get_by_text("min interval").first).to_be_visible()


async def test_a_session_is_opened_from_its_job(house: House, watched: Watched) -> None:
    page = watched.page
    await page.goto(house.address("/jobs/{orders}"))
    await (
        page.get_by_role("region", name="Planner sessions")
        .get_by_role("row")
        .filter(has_text="queue_depth has risen")
        .first.get_by_role("link")
        .click()
    )
    await expect(page).to_have_url(re.compile(r"/sessions/ses_"))
    await expect(page.get_by_text("propose_interval").first).to_be_visible()
    await expect(page.get_by_text("gpt-5-mini").first).to_be_visible()


async def test_a_job_is_paused_with_a_reason_and_resumed(house: House, watched: Watched) -> None:
    page = watched.page
    await page.goto(house.address("/jobs/{bounces}"))
    await page.locator("summary", has_text="Pause").click()
    await page.get_by_label("Reason").first.fill("the mail server <moves>")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_role("status").filter(has_text="Paused.")).to_be_visible()
    await expect(page.get_by_text("the mail server <moves>").first).to_be_visible()
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_role("status").filter(has_text="Resumed.")).to_be_visible()


async def test_a_run_is_asked_for(house: House, watched: Watched) -> None:
    page = watched.page
    await page.goto(house.address("/jobs/{inventory}"))
    await page.get_by_role("button", name="Run now").click()
    await expect(page.get_by_text("A run was asked for")).to_be_visible()
    await page.get_by_role("link", name="All runs").click()
    await expect(page.get_by_role("row").filter(has_text="manual")).to_have_count(1)
    await page.get_by_role("row").filter(has_text="manual").get_by_role("link").first.click()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_text("Canceled. A request that is out")).to_be_visible()


async def test_an_edit_is_looked_at_before_it_is_saved(house: House, watched: Watched) -> None:
    page = watched.page
    await page.goto(house.address("/jobs/{vendor}"))
    await page.get_by_role("link", name="Edit", exact=True).click()
    await page.get_by_label("Every").fill("45m")
    await page.get_by_role("button", name="Preview").click()
    await expect(page.get_by_role("heading", name="What would change")).to_be_visible()
    await expect(page.locator("ins").first).to_be_visible()
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status").filter(has_text="Saved.")).to_be_visible()
    await expect(page.get_by_text("version 2")).to_be_visible()


async def test_a_hint_is_cleared(house: House, watched: Watched) -> None:
    page = watched.page
    await page.goto(house.address("/jobs/{weather}"))
    await page.get_by_role("button", name="Clear hints").click()
    await expect(page.get_by_role("status").filter(has_text="Cleared.")).to_be_visible()
    await expect(page.get_by_role("button", name="Clear hints")).to_have_count(0)


async def test_a_rule_is_accepted(house: House, watched: Watched) -> None:
    page = watched.page
    await page.goto(house.address("/jobs/{orders}"))
    await page.get_by_role("button", name="Accept").first.click()
    await expect(page.get_by_role("status").filter(has_text="Accepted.")).to_be_visible()


async def test_a_key_is_made_shown_once_and_revoked(house: House, watched: Watched) -> None:
    page = watched.page
    await page.goto("/keys")
    await page.get_by_label("Name").fill("Warehouse")
    await page.get_by_role("button", name="Make the key").click()
    value = await page.get_by_label("The key's value").input_value()
    assert value.startswith("cron_")
    answer = await page.request.get("/api/v1/jobs", headers={"x-api-key": value})
    assert answer.status == 200
    await page.get_by_role("link", name="I have kept it").click()
    assert value not in await page.content()
    row = page.get_by_role("row").filter(has_text="Warehouse")
    await row.get_by_text("Revoke", exact=True).click()
    await page.get_by_role("button", name="Revoke Warehouse").click()
    await expect(page.get_by_role("status").filter(has_text="Revoked.")).to_be_visible()
    await expect(page.get_by_text("Warehouse")).to_have_count(0)
    refused = await page.request.get("/api/v1/jobs", headers={"x-api-key": value})
    assert refused.status == 401


async def test_failures_lead_to_their_runs_and_these_to_the_answer(watched: Watched) -> None:
    page = watched.page
    await page.goto("/failures")
    await page.get_by_role("link", name="Payment settlement").first.click()
    await page.get_by_role("row").nth(1).get_by_role("link").first.click()
    await expect(page.get_by_role("group", name="Answer")).to_contain_text("<h1>502 Bad Gateway</h1>")


async def test_a_hostile_answer_stays_text(watched: Watched, house: House) -> None:
    page = watched.page
    await page.goto(house.address("/runs?job={vendor}"))
    await page.get_by_role("row").nth(1).get_by_role("link").first.click()
    await expect(page.get_by_role("group", name="Answer")).to_contain_text("<script>document.title")
    assert await page.title() != "owned"


async def test_a_cron_job_is_run_now_and_gets_a_new_version(watched: Watched, house: House) -> None:
    page = watched.page
    await page.goto("/cron")
    await page.get_by_role("link", name="certificates").click()
    await page.get_by_role("button", name="Run now").click()
    await expect(page.get_by_text("A run was asked for")).to_be_visible()
    await page.get_by_text("Make the next version").click()
    await page.get_by_role("textbox", name="Payload").fill('{"message": "renew the certificates"}')
    await page.get_by_role("button", name="Put it in force").click()
    await expect(page.get_by_text("version 2").first).to_be_visible()
    await expect(page.get_by_text("renew the certificates").first).to_be_visible()


async def test_times_are_the_viewers_with_utc_on_hover(watched: Watched, house: House) -> None:
    page = watched.page
    await page.goto(house.address("/runs/{run}"))
    time = page.locator("h1 time")
    await expect(time).to_have_text("2026-11-25 15:30:00")
    await expect(time).to_have_attribute("title", "2026-11-25 14:30:00 UTC")


async def test_the_screens_work_without_scripts(house: House) -> None:
    state = await house.signed_in.storage_state()
    plain = await context_of(house.browser, house.service.url, java_script_enabled=False, storage_state=state)
    page = await plain.new_page()
    await page.goto("/runs")
    await page.get_by_label("Status").select_option("failed")
    await page.get_by_role("button", name="Show").click()
    await expect(page.get_by_role("row").nth(1)).to_contain_text("failed")
    await page.goto("/keys")
    await page.get_by_text("Revoke", exact=True).first.click()
    await expect(page.get_by_role("button", name=re.compile("^Revoke "))).to_be_visible()
    await plain.close()


async def test_the_keyboard_reaches_the_content_and_every_action(watched: Watched) -> None:
    page = watched.page
    await page.goto("/settings/channels")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    focused = await page.evaluate("document.activeElement.closest('main') !== null")
    assert focused
