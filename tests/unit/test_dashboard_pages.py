"""The overview, a job, why it runs next, a session: what they show, and that nothing foreign becomes markup."""

import re
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from api.dashboard.screens.why import ranked
from core.entities import (
    Authority,
    Candidate,
    CronBaseline,
    Decision,
    Definition,
    HintState,
    HttpAction,
    Job,
    OnceBaseline,
    RunStatus,
    Source,
)
from core.ports.dispatcher import HttpRequest, HttpResult
from core.ports.store import JobFilter, RunFilter
from planner.llm import OfflinePlanner
from tests.unit.fakes import START
from tests.unit.loop import TENANT, Loop, definition, interval_proposal
from tests.unit.pages import OWNER, Markup, get, lived, send

EVIL = """<script>alert('x')</script><img src=x onerror=alert(1)>"&'"""
STRANGER = replace(OWNER, tenant_id="tenant_b")


def flat(html: str) -> str:
    return " ".join(Markup(html).text.split())


def only(page: Markup, tag: str, name: str) -> list[dict[str, str | None]]:
    return [each for each in page.of(tag) if name in (each.get("class") or "").split()]


async def the_job(loop: Loop) -> Job:
    (job,) = (await loop.store.jobs(TENANT, JobFilter(), limit=2)).items
    return job


async def test_a_row_shows_a_jobs_intent_tempo_and_hint() -> None:
    html = (await get(await lived())).text
    text = flat(html)
    for words in (
        "Order queue",
        "Watch the queue.",
        "every 1 s, says the planner",
        "in 10 s",
        "faster than every 1 min",
    ):
        assert words in text, f"{words!r} is not in {text!r}"
    (band,) = only(Markup(html), "svg", "band")
    assert band["aria-label"] == "Interval now 10 s, between 10 s and 10 min; baseline 1 min"


async def test_the_four_answers_come_first() -> None:
    loop = await lived()
    broken = await loop.register(definition(name="Broken"))
    loop.dispatcher.plan = lambda request: HttpResult(status_code=500, duration_ms=1)
    await loop.until_slot(broken)
    await loop.run_turn()
    text = flat((await get(loop)).text)
    assert re.search(r"Late now 0.*Failing now [12].*Steered by AI now 1.*Budget left", text)
    shown = flat((await get(loop, "/?show=steered")).text)
    assert "Order queue" in shown
    assert "Broken" not in shown


async def test_runs_are_told_apart_by_words_and_shape_not_by_colour_alone() -> None:
    loop = Loop()
    job = await loop.register()
    for code in (200, 500):
        result = HttpResult(status_code=code, duration_ms=5)
        loop.dispatcher.plan = partial(_always, result)
        await loop.until_slot(job)
        await loop.run_turn()
    page = Markup((await get(loop)).text)
    (strip,) = only(page, "svg", "strip")
    assert "Newest 2 runs: 1 succeeded, 1 failed." in (strip["aria-label"] or "")
    assert len(only(page, "g", "bad")) == 1
    assert "failed: HTTP 500" in page.text


def _always(result: HttpResult, request: HttpRequest) -> HttpResult:
    return result


async def test_a_list_is_narrowed_and_paged() -> None:
    loop = Loop()
    for number in range(27):
        await loop.register(
            definition(name=f"job-{number:02}", group="even" if number % 2 == 0 else "odd", labels={"n": str(number)})
        )
    first = Markup((await get(loop)).text)
    (next_page,) = [each for each in first.of("a") if each.get("rel") == "next"]
    rest = Markup((await get(loop, str(next_page["href"]))).text)
    names = set(re.findall(r"job-\d\d", first.text + rest.text))
    assert len(names) == 27
    assert set(re.findall(r"job-\d\d", flat((await get(loop, "/?q=B-1")).text))) == {f"job-1{n}" for n in range(10)}
    assert "job-03" not in flat((await get(loop, "/?group=even")).text)
    assert set(re.findall(r"job-\d\d", flat((await get(loop, "/?label=n:7")).text))) == {"job-07"}
    assert "No job matches" in flat((await get(loop, "/?q=nothing")).text)


async def test_an_empty_overview_says_how_to_begin() -> None:
    assert "POST /api/v1/jobs" in flat((await get(Loop())).text)


async def test_a_paused_job_says_so_and_promises_no_run() -> None:
    loop = Loop()
    job = await loop.register()
    await loop.jobs.pause(TENANT, job.id, reason="we are moving house")
    for path in ("/", f"/jobs/{job.id}"):
        text = flat((await get(loop, path)).text)
        assert "paused" in text
        assert "we are moving house" in text
        assert "Resume" in text or path == "/"


@pytest.mark.parametrize(
    "made",
    [definition(baseline=CronBaseline("every 600")), definition(baseline=OnceBaseline(START + timedelta(minutes=5)))],
    ids=["cron", "once"],
)
async def test_every_kind_of_baseline_is_shown(made: Definition) -> None:
    loop = Loop()
    job = await loop.register(made)
    is_once = isinstance(made.baseline, OnceBaseline)
    for path in ("/", f"/jobs/{job.id}"):
        assert len(only(Markup((await get(loop, path)).text), "svg", "band")) == (0 if is_once else 1)


async def test_a_cron_job_that_a_hint_hurries_is_marked_as_faster() -> None:
    loop = Loop()
    job = await loop.register(definition(baseline=CronBaseline("every 600"), authority=Authority(tighten=True)))
    await loop.until_slot(job)
    await loop.run_turn()
    before = Markup((await get(loop)).text)
    loop.planner.script = [[interval_proposal(30)]]
    await loop.plans.run_once()
    after = Markup((await get(loop)).text)
    assert [len(only(page, "path", "faster")) for page in (before, after)] == [0, 1]


async def test_a_job_is_drawn_on_one_time_axis() -> None:
    loop = await lived()
    job = await the_job(loop)
    page = Markup((await get(loop, f"/jobs/{job.id}")).text)
    (drawing,) = only(page, "svg", "timeline")
    assert "1 runs, 1 hints" in (drawing["aria-label"] or "")
    (bar,) = only(page, "a", "bar")
    assert "every 1 s, says the planner" in (bar["aria-label"] or "")
    assert only(page, "path", "applied")
    assert only(page, "line", "instant")
    text = flat((await get(loop, f"/jobs/{job.id}")).text)
    assert "held by min interval" in text
    assert "the queue is filling" in text


async def test_a_hint_that_is_chosen_shows_its_runs_and_its_session() -> None:
    loop = await lived()
    job = await the_job(loop)
    (hint,) = (await loop.store.hints(TENANT, job_id=job.id, limit=9)).items
    page = Markup((await get(loop, f"/jobs/{job.id}?hint={hint.id}")).text)
    assert f"/sessions/{hint.session_id}" in [each["href"] for each in page.of("a")]
    assert only(page, "a", "chosen")


async def test_why_next_ranks_the_candidates_and_shows_each_clamp() -> None:
    loop = await lived()
    job = await the_job(loop)
    html = (await get(loop, f"/jobs/{job.id}/why")).text
    text = flat(html)
    explained = await loop.explain.explanation(TENANT, job.id)
    assert explained.decision.reason in text
    assert only(Markup(html), "tr", "won")
    assert re.search(r"min interval .* → ", text)
    assert '"nextRunAt":' in text


def test_the_winner_is_ranked_first() -> None:
    fell, won = (
        Candidate(Source.HINT_INTERVAL, None, "expired", "hint_1"),
        Candidate(Source.BASELINE_CRON, None, "wins"),
    )
    decision = Decision(START, Source.BASELINE_CRON, None, "because", (fell, won))
    assert [(each["rank"], each["of"], each["won"]) for each in ranked(decision)] == [(1, won, True), (2, fell, False)]


async def test_a_session_is_shown_with_what_it_did_and_what_came_of_it() -> None:
    loop = Loop(planner=OfflinePlanner())  # type: ignore[arg-type]  # a port, typed by its usual fake here
    loop.dispatcher.plan = lambda request: HttpResult(status_code=200, duration_ms=1, body='{"depth": 7}')
    job = await loop.register(definition(description="every 20 s while depth is above 5"))
    await loop.until_slot(job)
    await loop.turn()
    (session,) = (await loop.store.sessions(TENANT, limit=9)).items
    text = flat((await get(loop, f"/sessions/{session.id}")).text)
    for words in (
        "propose_interval",
        "accepted",
        "depth is above 5, as the owner asked",
        "every 20 s",
        '"interval_ms": 20000',
    ):
        assert words in text, f"{words!r} is not in {text!r}"


async def hostile() -> tuple[Loop, list[str]]:
    """Return a loop in which everybody wrote markup, and every page that shows any of it."""
    loop = Loop()
    loop.store.add_tenant(STRANGER.tenant_id)
    loop.dispatcher.plan = lambda request: HttpResult(status_code=None, duration_ms=1, error=EVIL, body=EVIL)
    loop.planner.script = [[interval_proposal(20, reason=EVIL)]]
    job = await loop.register(
        definition(
            name=EVIL, description=EVIL, group=EVIL, labels={EVIL: EVIL}, action=HttpAction("http://target.test/")
        )
    )
    await loop.until_slot(job)
    await loop.turn()
    await loop.jobs.pause(TENANT, job.id, reason=EVIL)
    (hint, *_) = (await loop.store.hints(TENANT, job_id=job.id, limit=9)).items
    (session,) = (await loop.store.sessions(TENANT, limit=9)).items
    at = f"/jobs/{job.id}"
    return loop, ["/", at, f"{at}?hint={hint.id}", f"{at}/why", f"{at}/edit", f"{at}/rules", f"/sessions/{session.id}"]


async def test_whatever_was_written_is_shown_as_text() -> None:
    loop, paths = await hostile()
    for path in paths:
        page = Markup((await get(loop, path)).text)
        assert {each.get("src") for each in page.of("script")} <= {
            "/dashboard/static/theme.js",
            "/dashboard/static/vendor/htmx.min.js",
            "/dashboard/static/dashboard.js",
        }, path
        assert [each.get("src") for each in page.of("img")] == ["/dashboard/static/icon.svg"], path
        for tag, attrs in page.tags:
            assert not [name for name in attrs if name.startswith("on") or name == "style"], f"{path}: {tag}"
            for name in ("src", "href", "action"):
                assert (attrs.get(name) or "/").startswith(("/", "#")), f"{path}: {tag} leads elsewhere"
    assert "<script>alert('x')</script>" in Markup((await get(loop)).text).text


async def test_another_tenants_things_are_not_there() -> None:
    loop, paths = await hostile()
    for path in paths[1:]:
        assert (await get(loop, path, local_owner=STRANGER)).status_code == 404, path
    assert "No jobs yet" in flat((await get(loop, local_owner=STRANGER)).text)


ACTIONS = ("pause", "resume", "run", "hints", "hints/clear", "edit", "rules")


@pytest.mark.parametrize("action", ACTIONS)
async def test_no_form_reaches_another_tenants_job(action: str) -> None:
    loop = await lived()
    job = await the_job(loop)
    sent = {"every": "30s", "name": "x", "kind": "interval", "do": "save"}
    assert (await send(loop, f"/jobs/{job.id}/{action}", fields=sent, local_owner=STRANGER)).status_code == 404
    assert await the_job(loop) == job


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
@pytest.mark.parametrize("action", ACTIONS)
async def test_no_form_of_another_site_is_carried_out(action: str, site: str) -> None:
    loop = await lived()
    job = await the_job(loop)
    answer = await send(loop, f"/jobs/{job.id}/{action}", site=site, fields={"every": "30s"})
    assert answer.status_code == 403
    assert "site's own pages" in answer.text.replace("&#39;", "'")
    assert await the_job(loop) == job


async def test_a_job_is_paused_with_a_reason_and_resumed() -> None:
    loop = await lived()
    job = await the_job(loop)
    answer = await send(loop, f"/jobs/{job.id}/pause", fields={"reason": "a migration", "for": "1h"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job.id}?done=paused")
    paused = (await the_job(loop)).schedule
    assert (paused.pause_reason, paused.paused_until) == ("a migration", loop.clock.now() + timedelta(hours=1))
    await send(loop, f"/jobs/{job.id}/resume")
    assert (await the_job(loop)).schedule.pause_reason is None


async def test_a_run_is_asked_for_once() -> None:
    loop = await lived()
    job = await the_job(loop)
    told = [(await send(loop, f"/jobs/{job.id}/run")).headers["location"] for _ in range(2)]
    assert told == [f"/jobs/{job.id}?done=asked", f"/jobs/{job.id}?done=overlapped"]
    runs = (await loop.store.runs(TENANT, RunFilter(job_id=job.id), limit=9)).items
    assert {RunStatus.CLAIMED, RunStatus.SKIPPED} <= {run.status for run in runs}


async def test_a_tempo_is_pinned_and_cleared() -> None:
    loop = await lived()
    job = await the_job(loop)
    await send(loop, f"/jobs/{job.id}/hints", fields={"kind": "interval", "every": "1 min 30 s", "for": "pin"})
    pin = (await loop.store.hints(TENANT, job_id=job.id, limit=1)).items[0]
    assert (pin.interval, pin.expires_at) == (timedelta(seconds=90), None)
    await send(loop, f"/jobs/{job.id}/hints/clear")
    hints = (await loop.store.hints(TENANT, job_id=job.id, limit=9)).items
    assert all(hint.state is not HintState.ACTIVE for hint in hints)


@pytest.mark.parametrize("every", ["soon", "", "-5s", "0s"])
async def test_a_tempo_that_is_none_is_refused_with_what_to_do(every: str) -> None:
    loop = await lived()
    job = await the_job(loop)
    answer = await send(loop, f"/jobs/{job.id}/hints", fields={"kind": "interval", "every": every})
    assert answer.status_code == 400
    assert "every" in answer.text or "intervalMs" in answer.text


async def test_an_edit_is_previewed_with_its_difference_and_then_saved() -> None:
    loop = await lived()
    job = await the_job(loop)
    page = Markup((await get(loop, f"/jobs/{job.id}/edit")).text)
    fields = {
        str(each["name"]): each.get("value") or ""
        for each in page.of("input")
        if "hidden" in each.values() or "text" in each.values() or "url" in each.values() or "checked" in each
    }
    fields |= {"kind": "interval", "every": "2m", "method": "GET", "planner": "on", "description": "Watch the queue."}
    preview = await send(loop, f"/jobs/{job.id}/edit", fields={**fields, "do": "preview"})
    assert preview.status_code == 200, flat(preview.text)
    text = flat(preview.text)
    assert "baselineIntervalMs 60000 120000" in text
    assert "minIntervalMs" not in text
    assert await the_job(loop) == job
    saved = await send(loop, f"/jobs/{job.id}/edit", fields={**fields, "do": "save"})
    assert saved.headers["location"] == f"/jobs/{job.id}?done=saved"
    assert (await the_job(loop)).definition.version == 2
    late = await send(loop, f"/jobs/{job.id}/edit", fields={**fields, "every": "3m", "do": "save"})
    assert late.status_code == 412


async def test_a_form_that_is_wrong_comes_back_with_what_is_wrong() -> None:
    loop = await lived()
    job = await the_job(loop)
    sent = {
        "name": "Kept",
        "kind": "interval",
        "every": "never",
        "url": "http://target.test/",
        "method": "GET",
        "planner": "on",
    }
    answer = await send(loop, f"/jobs/{job.id}/edit", fields=sent)
    assert answer.status_code == 400
    page = Markup(answer.text)
    assert "Kept" in [each.get("value") for each in page.of("input")]
    assert [each["id"] for each in page.of("input") if each.get("aria-invalid")] == ["f-every"]


async def test_a_rule_is_made_of_the_intent_with_its_matches_in_history() -> None:
    loop = Loop()
    loop.dispatcher.plan = lambda request: HttpResult(status_code=200, duration_ms=1, body='{"depth": 7}')
    job = await loop.register(definition(description="every 20 s while depth is above 5"))
    await loop.until_slot(job)
    await loop.run_turn()
    page = Markup((await get(loop, f"/jobs/{job.id}/rules")).text)
    assert "it matches 1" in " ".join(page.text.split())
    (draft,) = [each["value"] for each in page.of("input") if each.get("name") == "draft"]
    made = await send(loop, f"/jobs/{job.id}/rules", fields={"draft": str(draft)})
    assert made.status_code == 303
    (rule,) = await loop.store.rules(TENANT, job.id)
    assert "Matches in history" in flat((await get(loop, f"/rules/{rule.id}")).text)
    assert (await get(loop, f"/rules/{rule.id}", local_owner=STRANGER)).status_code == 404
    for word, state in (("reject", "rejected"), ("accept", "accepted")):
        await send(loop, f"/rules/{rule.id}/{word}")
        assert (await loop.store.rule(TENANT, rule.id)).state == state
    await send(loop, f"/rules/{rule.id}/delete")
    assert await loop.store.rules(TENANT, job.id) == []
    assert (await send(loop, f"/jobs/{job.id}/rules", fields={"draft": "other"})).status_code == 404
