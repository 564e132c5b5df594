"""The dashboard's frame: who sees it, its headers and files, its forms and errors."""

import hashlib
import re
from datetime import timedelta
from pathlib import Path

import pytest

from api.dashboard.drawing import words
from tests.unit.fakes import START
from tests.unit.loop import Loop
from tests.unit.pages import Markup, ask, get, lived, send

STATIC = Path(__file__).resolve().parents[2] / "api/dashboard/static"
VENDOR = STATIC / "vendor"


def test_the_vendored_files_are_those_of_their_checksums() -> None:
    listed = dict(line.split()[::-1] for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    found = {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in listed}
    assert found == listed
    assert {path.name for path in VENDOR.iterdir()} == {*listed, "SHA256SUMS"}


def test_our_files_ask_nobody_else() -> None:
    for file in STATIC.iterdir():
        if file.is_file():
            text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert "//" not in text.replace("// ", ""), f"{file.name} names another host"


async def test_every_file_that_a_page_names_is_served() -> None:
    loop = await lived()
    page = Markup((await get(loop)).text)
    names = [each["src"] for each in page.of("script")] + [each["href"] for each in page.of("link")]
    assert len(names) == 6
    for name in names:
        assert (await get(loop, str(name))).status_code == 200


def test_the_templates_hold_nothing_inline() -> None:
    for file in (STATIC.parent / "templates").iterdir():
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\bstyle=|\son\w+=", text), file.name
        assert "| safe" not in text
        assert "|safe" not in text


@pytest.mark.parametrize("path", ["/", "/sign-in", "/?nonsense=1"])
async def test_pages_may_load_and_run_our_own_files_only(path: str) -> None:
    answer = await get(await lived(), path, client="192.0.2.1" if path == "/sign-in" else "127.0.0.1")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("127.0.0.1:3000", "192.0.2.1"),
        ("rebound.example:3000", "127.0.0.1"),
        ("127.0.0.1.example", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
async def test_whoever_is_not_at_this_machine_under_its_own_name_has_to_sign_in(host: str, client: str) -> None:
    answer = await get(await lived(), "/?done=saved", host=host, client=client)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/%3Fdone%3Dsaved")


@pytest.mark.parametrize("host", ["localhost:3000", "127.0.0.1:3000", "[::1]:3000", "localhost"])
async def test_this_machine_sees_it_under_each_of_its_names(host: str) -> None:
    assert (await get(await lived(), host=host)).status_code == 200


async def test_without_a_local_owner_this_machine_has_to_sign_in_too() -> None:
    assert (await get(await lived(), local_owner=None)).status_code == 303


async def test_an_api_key_opens_no_page() -> None:
    assert (await get(await lived(), local_owner=None, headers={"x-api-key": "cron_a"})).status_code == 303


async def test_the_page_opens_no_door_to_the_api() -> None:
    assert (await get(await lived(), "/api/v1/jobs")).status_code == 401


async def test_the_sign_in_page_says_why_nobody_can() -> None:
    text = Markup((await get(Loop(), "/sign-in", local_owner=None)).text).text
    assert "GITHUB_CLIENT_ID" in text


@pytest.mark.parametrize("wanted", ["//evil.example", "/\\evil.example", "https://evil.example"])
async def test_the_sign_in_leads_to_no_other_site(wanted: str) -> None:
    answer = await get(Loop(), "/sign-in", params={"next": wanted})
    assert answer.headers["location"] == "/"


async def test_an_error_is_a_page_that_says_what_to_do() -> None:
    answer = await get(await lived(), "/?nonsense=1")
    assert answer.status_code == 400
    page = Markup(answer.text)
    assert "nonsense is not a parameter here" in page.text
    assert "/" in [each["href"] for each in page.of("a")]


async def test_signing_out_leads_to_the_way_in() -> None:
    answer = await send(Loop(), "/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


async def test_a_form_is_sent_as_forms_are() -> None:
    answer = await ask(Loop(), "POST", "/sign-out", json={})
    assert answer.status_code == 415


def test_instants_are_told_from_now() -> None:
    assert words.relative(START + timedelta(seconds=90), START) == "in 1 min 30 s"
    assert words.relative(START - timedelta(hours=26), START) == "1 d 2 h ago"
    assert words.relative(START + timedelta(milliseconds=400), START) == "now"


def test_every_status_has_a_shape_beside_its_colour() -> None:
    sprite = (STATIC.parent / "templates/sprite.html").read_text()
    for shape in {shape for _, shape in words.STATUSES.values()}:
        assert f'id="{shape}"' in sprite
