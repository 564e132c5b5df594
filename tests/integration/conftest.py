"""Tests of what is sent run on both event loops: the standard library's, and uvloop, which workers use."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

ON_BOTH = {"test_dispatcher", "test_connections", "test_hostile_targets", "test_isolated"}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    usual = {"asyncio": asyncio.new_event_loop}
    return {**usual, "uvloop": uvloop.new_event_loop} if item.path.stem in ON_BOTH else usual
