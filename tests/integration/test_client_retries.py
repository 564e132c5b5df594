"""What the client sends again, how often, and what it leaves alone. Loopback servers that answer as they were told."""

from collections.abc import Callable
from typing import Any

import pytest

from rubato.client import (
    AsyncClient,
    Client,
    ClientError,
    Conflict,
    JobSpec,
    KeySpec,
    RateLimited,
    Retries,
    ServiceFault,
    Unreachable,
)
from tests.integration.scripted import CUT, Scripted, scripted
from tests.processes import free_port

NOW = {"retry-after": "0"}
RUN: dict[str, Any] = {"status": "ok", "timestamp": "2027-01-01T00:00:00Z"}
SPEC = JobSpec(name="x", url="https://example.com", baseline_interval_ms=60_000)


def problem(status: int, code: str = "busy", **headers: str) -> Any:
    return (status, headers, {"status": status, "code": code, "title": "No", "detail": "Not now.", "requestId": "r"})


def client(server: Scripted, **retries: Any) -> Client:
    return Client(server.url, "cron_x", retries=Retries(**retries))


@pytest.mark.parametrize("first", [CUT, problem(503, **NOW), problem(429, **NOW), problem(502, **NOW)], ids=str)
def test_a_read_is_sent_again_until_it_is_answered(first: Any) -> None:
    with scripted(first, first, (200, {}, RUN)) as server, client(server) as caller:
        assert caller.get_health().status == "ok"
        assert len(server.asked) == 3


async def test_the_asynchronous_client_sends_again_too() -> None:
    with scripted(CUT, problem(503, **NOW), (200, {}, RUN)) as server:
        async with AsyncClient(server.url, "cron_x") as caller:
            assert (await caller.get_health()).status == "ok"
        assert len(server.asked) == 3


def test_a_post_keeps_its_idempotency_key_and_each_call_has_its_own() -> None:
    with scripted(CUT, problem(503, **NOW), problem(400)) as server, client(server) as caller:
        for _ in range(2):
            with pytest.raises(ClientError):
                caller.create_job(SPEC)
        keys = [headers["idempotency-key"] for _, _, headers in server.asked]
    assert len(keys) == 4
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]


def test_a_key_of_the_callers_is_taken() -> None:
    with scripted(problem(400)) as server, client(server) as caller:
        with pytest.raises(ClientError):
            caller.create_job(SPEC, idempotency_key="order-17")
        assert server.asked[0][2]["idempotency-key"] == "order-17"


def test_a_post_still_under_way_is_asked_for_again() -> None:
    under_way = problem(409, "idempotency_key_in_use", **NOW)
    with scripted(under_way, problem(409, "key_taken")) as server, client(server) as caller:
        with pytest.raises(Conflict) as refused:
            caller.create_job(SPEC)
        assert (refused.value.code, len(server.asked)) == ("key_taken", 2)


@pytest.mark.parametrize(
    ("ask", "reply"),
    [
        (lambda c: c.create_api_key(KeySpec(name="ci")), CUT),
        (lambda c: c.create_api_key(KeySpec(name="ci")), problem(503, **NOW)),
        (lambda c: c.update_job("job_1", {"name": "y"}, if_version=3), CUT),
        (lambda c: c.delete_job("job_1", if_version=3), CUT),
        (lambda c: c.get_job("job_1"), problem(500)),
        (lambda c: c.get_job("job_1"), problem(404)),
        (lambda c: c.create_job(SPEC), problem(400)),
    ],
    ids=["a key, cut", "a key, 503", "an edit of a version, cut", "its deletion, cut", "a fault", "404", "400"],
)
def test_what_twice_is_not_once_or_of_no_use_is_sent_once(ask: Callable[[Client], Any], reply: Any) -> None:
    with scripted(reply) as server, client(server) as caller:
        with pytest.raises(ClientError):
            ask(caller)
        assert len(server.asked) == 1


def test_attempts_have_an_end() -> None:
    with scripted(problem(503, **NOW)) as server, client(server, attempts=3) as caller:
        with pytest.raises(ServiceFault) as last:
            caller.get_health()
        assert (last.value.status, len(server.asked)) == (503, 3)


def test_a_wait_longer_than_the_caller_has_is_left_to_the_caller() -> None:
    with scripted(problem(429, **{"retry-after": "3600"})) as server, client(server) as caller:
        with pytest.raises(RateLimited) as refused:
            caller.get_health()
        assert (refused.value.retry_after_s, len(server.asked)) == (3600.0, 1)


def test_a_date_to_wait_for_is_taken_by_the_servers_own_clock() -> None:
    dates = {"date": "Fri, 01 Jan 2027 00:00:00 GMT", "retry-after": "Fri, 01 Jan 2027 01:00:00 GMT"}
    with scripted(problem(503, **dates)) as server, client(server) as caller, pytest.raises(ServiceFault) as refused:
        caller.get_health()
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s >= 3000


def test_nobody_there_is_said_with_what_to_do() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url, retries=Retries(attempts=1)) as caller, pytest.raises(Unreachable) as nobody:
        caller.create_job(SPEC)
    assert url in str(nobody.value)
    assert not nobody.value.was_sent
    assert "RUBATO_URL" in nobody.value.next_step


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((404, {"content-type": "text/html"}, "<h1>nginx</h1>"), "is this the service's address"),
        ((200, {}, {"other": 1}), "upgrade one of the two"),
    ],
    ids=["a proxy's page", "another shape"],
)
def test_a_page_of_something_else_is_no_answer_of_the_services(reply: Any, words: str) -> None:
    with scripted(reply) as server, client(server) as caller, pytest.raises(ClientError, match=words):
        caller.get_health()


def test_the_key_is_not_shown_with_the_client_or_its_errors() -> None:
    with scripted(problem(401)) as server, Client(server.url, "cron_hidden") as caller:
        with pytest.raises(ClientError) as refused:
            caller.get_health()
        assert "cron_hidden" not in repr(caller) + repr(refused.value) + str(refused.value)
