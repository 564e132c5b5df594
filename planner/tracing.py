"""GenAI spans of the agent: model requests and tool calls, without what was said unless that is asked for."""

from opentelemetry.trace import TracerProvider
from pydantic_ai import InstrumentationSettings

from planner.agent import agent


def record_spans(provider: TracerProvider, *, with_content: bool) -> None:
    """Let every session of this process make spans. `with_content`: prompts, answers and tool arguments too, which
    hold what targets answered and what users wrote."""
    agent.instrument = InstrumentationSettings(
        tracer_provider=provider,
        include_content=with_content,
        include_binary_content=with_content,
        include_model_request_parameters=False,
    )
