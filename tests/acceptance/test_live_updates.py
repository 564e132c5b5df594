"""A process that stops does not wait for those who follow it."""

import signal

import httpx2

from tests.acceptance.conftest import KEY, System


def test_a_stream_ends_whole_when_its_process_is_told_to_stop(system: System) -> None:
    address, headers = f"{system.url}/api/v1/events", {"x-api-key": KEY}
    with httpx2.stream("GET", address, headers=headers, timeout=30, trust_env=False) as answer:
        lines = answer.iter_lines()
        next(lines)
        system.processes["api"].popen.send_signal(signal.SIGTERM)
        list(lines)  # raises where the line is cut instead, as it is when the server runs out of patience
    assert system.processes["api"].stop() == 0
