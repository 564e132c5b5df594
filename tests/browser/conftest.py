"""One database, one service and one browser for the whole session."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.browser.house import House, opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Everything that stands."""
    async with opened(postgres_url, tmp_path_factory.mktemp("browser")) as house:
        yield house
