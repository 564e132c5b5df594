"""No socket is ever opened towards a forbidden address, however it is written, named, redirected to or rebound.

Every connect of this process is recorded and refused, but for those to the loopback server of the test itself.
"""

import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest

from core.ports.dispatcher import HttpRequest, HttpResult
from rubato.adapters.http.dispatcher import HttpDispatcher
from rubato.adapters.http.guard import AddressPolicy
from tests.integration.apis import JOB, Face, face
from tests.integration.targets import OK, says, serving
from tests.ssrf import FORBIDDEN_ADDRESSES, FORBIDDEN_URLS, PUBLIC_ADDRESSES, PUBLIC_URLS

PUBLIC = "93.184.215.14"
SECOND = timedelta(seconds=1)


@dataclass
class Doorman:
    """Records where sockets are connected to, and lets nobody out but to `own_port`."""

    opened: list[str] = field(default_factory=list)
    own_port: int = 0

    def outside(self) -> list[str]:
        return [each for each in self.opened if each != f"127.0.0.1:{self.own_port}"]


@pytest.fixture
def doorman(monkeypatch: pytest.MonkeyPatch) -> Doorman:
    man, connect = Doorman(), socket.socket.connect

    def recorded(self: socket.socket, address: Any) -> None:
        man.opened.append(f"{address[0]}:{address[1]}")
        if address[:2] != ("127.0.0.1", man.own_port):
            raise ConnectionRefusedError(111, "refused by the test")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", recorded)
    monkeypatch.setattr(socket.socket, "connect_ex", recorded)
    return man


@pytest.fixture
async def api() -> AsyncIterator[Face]:
    async with face() as made:
        yield made


async def send(url: str, *answers: Sequence[str], allow: Sequence[str] = ()) -> list[HttpResult]:
    """Send once for each answer of the resolver, which any name gets."""
    now: list[Sequence[str]] = [()]

    async def resolver(host: str, port: int) -> Sequence[str]:
        return now[0]

    dispatcher, results = HttpDispatcher(AddressPolicy(allow), resolver=resolver), []
    for answer in answers or [()]:
        now[0] = answer
        results.append(await dispatcher.send(HttpRequest(url, timeout=SECOND)))
    await dispatcher.close()
    return results


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len(set(FORBIDDEN_URLS)) >= 100
    assert len(set(PUBLIC_URLS)) >= 50


async def test_no_forbidden_form_can_be_registered(api: Face, doorman: Doorman) -> None:
    for url in FORBIDDEN_URLS:
        answer = await api.call("POST", "/api/v1/jobs", {**JOB, "url": url})
        assert answer.status_code == 400, url
        pointers = {error["pointer"] for error in answer.json()["errors"]}
        assert pointers <= {"/url", ""}, url  # "": text that no database could hold
    assert await api.count_jobs() == 0
    assert doorman.opened == []


async def test_no_forbidden_form_can_be_edited_into_a_job_or_rehearsed(api: Face, doorman: Doorman) -> None:
    job = await api.job(key="k")
    for url in FORBIDDEN_URLS[::5]:
        for method, path, body in (
            ("PATCH", f"/api/v1/jobs/{job['id']}", {"url": url}),
            ("PUT", "/api/v1/jobs/by-key/k", {**JOB, "url": url}),
            ("POST", "/api/v1/jobs?validateOnly=true", {**JOB, "url": url}),
        ):
            assert (await api.call(method, path, body)).status_code == 400, (method, url)
    assert (await api.call("GET", f"/api/v1/jobs/{job['id']}")).json() == job
    assert doorman.opened == []


async def test_no_forbidden_form_is_dialled_though_it_were_registered(doorman: Doorman) -> None:
    for url in FORBIDDEN_URLS:
        (result,) = await send(url, [PUBLIC])
        assert result.error_code in ("blocked_address", "invalid_url"), url
        assert result.status_code is None
    assert doorman.opened == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_leads_inside(doorman: Doorman, status: int) -> None:
    for url in FORBIDDEN_URLS[status % 5 :: 5]:
        head = f"HTTP/1.1 {status} Moved\r\nlocation: {url}\r\nrefresh: 0;url={url}\r\ncontent-length: 0\r\n\r\n"
        if any(char in url for char in "\r\n\0\t"):
            continue
        async with serving(says(head.encode())) as good:
            doorman.own_port = good.port
            doorman.opened.clear()
            there = f"http://redirector.example:{good.port}/"
            (result,) = await send(there, ["127.0.0.1"], allow=["redirector.example"])
        assert result.status_code == status, (url, result.error)
        assert doorman.opened == [f"127.0.0.1:{good.port}"]


async def test_no_name_that_resolves_inside_is_dialled(doorman: Doorman) -> None:
    for address in FORBIDDEN_ADDRESSES:
        for answers in ([address], [PUBLIC, address], [address, PUBLIC], [PUBLIC, "2606:4700::1", address]):
            (result,) = await send("http://innocent.example/", answers)
            assert result.error_code in ("blocked_address", "connect"), (address, result)
            assert address not in (result.error or "")
    assert doorman.opened == []


async def test_a_name_that_is_rebound_between_two_looks_gains_nothing(doorman: Doorman) -> None:
    for address in FORBIDDEN_ADDRESSES:
        doorman.opened.clear()
        first, second, third = await send("http://rebinding.example/", [PUBLIC], [address], [PUBLIC])
        assert (first.error_code, third.error_code) == ("connect", "connect")
        assert second.error_code in ("blocked_address", "connect")
        assert doorman.opened == [f"{PUBLIC}:80"] * 2, address


async def test_every_public_form_is_registered_and_dialled_where_it_leads(api: Face, doorman: Doorman) -> None:
    for url in PUBLIC_URLS:
        answer = await api.call("POST", "/api/v1/jobs", {**JOB, "url": url})
        assert answer.status_code == 201, (url, answer.text)
        doorman.opened.clear()
        (result,) = await send(url, [PUBLIC])
        assert result.error_code == "connect", (url, result)
        (opened,) = doorman.opened
        assert ip_address(opened.rpartition(":")[0]) in {ip_address(each) for each in PUBLIC_ADDRESSES}


async def test_loopback_is_dialled_only_where_the_operator_opened_it(doorman: Doorman) -> None:
    async with serving(says(OK)) as good:
        doorman.own_port = good.port
        url = f"http://127.0.0.1:{good.port}/"
        assert [each.error_code for each in await send(url)] == ["blocked_address"]
        assert doorman.opened == []
        assert [each.status_code for each in await send(url, allow=["loopback"])] == [200]
        assert [each.error_code for each in await send("http://10.0.0.1/", allow=["loopback"])] == ["blocked_address"]
    assert doorman.outside() == []
