"""No request leaves loopback: the suite's own guard is on, and it bites."""

import asyncio
import os
import socket

import pytest
from pydantic_ai import models

from tests.conftest import LeavesThisMachineError

ELSEWHERE = "192.0.2.1"  # reserved for documentation; nothing answers there


def test_a_connection_to_another_machine_is_refused_before_it_is_made() -> None:
    with socket.socket() as probe, pytest.raises(LeavesThisMachineError):
        probe.connect((ELSEWHERE, 80))
    with socket.socket() as probe, pytest.raises(LeavesThisMachineError):
        probe.connect_ex((ELSEWHERE, 443))


async def test_asyncio_is_guarded_too() -> None:
    with pytest.raises(LeavesThisMachineError):
        await asyncio.open_connection(ELSEWHERE, 80)


def test_no_model_may_be_asked_and_no_key_is_there() -> None:
    assert models.ALLOW_MODEL_REQUESTS is False
    assert "OPENAI_API_KEY" not in os.environ
