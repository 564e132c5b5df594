"""Models: any OpenAI-compatible server, with a fallback that always answers."""

from collections.abc import Callable

import httpx2
from pydantic_ai import ModelAPIError
from pydantic_ai.models import Model, create_async_httpx2_client
from pydantic_ai.models.fallback import FallbackModel

REQUEST_S, CONNECT_S = 15.0, 3.0


def openai_model(name: str, *, api_key: str, base_url: str | None = None) -> Model:
    """Return a model served over chat completions. The SDK's own retries are off: the session has one deadline."""
    from pydantic_ai.models.openai import OpenAIChatModel  # half a second to import, and not every process asks a model
    from pydantic_ai.providers.openai import OpenAIProvider

    client = create_async_httpx2_client(timeout=httpx2.Timeout(REQUEST_S, connect=CONNECT_S))
    provider = OpenAIProvider(base_url=base_url, api_key=api_key, http_client=client)
    provider.client.max_retries = 0
    return OpenAIChatModel(name, provider=provider)


def with_fallback(primary: Model, fallback: Model, note: Callable[[ModelAPIError], None]) -> Model:
    """Return a model that asks `fallback` when the server cannot be used, telling `note` why."""

    def unusable(error: Exception) -> bool:
        if isinstance(error, ModelAPIError):
            note(error)
            return True
        return False

    return FallbackModel(primary, fallback, fallback_on=unusable)


async def close_model(model: Model) -> None:
    """Close a model's connections."""
    client = getattr(model, "client", None)  # models of tests have none
    if client is not None:
        await client.close()


def was_sent(error: BaseException) -> bool:
    """Tell whether the request of an error may have reached the server: not if there was no connection to send it
    by."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
            return False
        cause = cause.__cause__ or cause.__context__
    return True
