"""Traces as a collector receives them from real processes: a run in one trace, its session linked, nothing said."""

import pytest

from tests.acceptance.conftest import System
from tests.collector import collector
from tests.loopback_model import LoopbackModel
from tests.processes import wait_for

INTENT = "Every half second while the number of walruses rises."


@pytest.mark.parametrize("with_content", [False, True], ids=["without content", "with content"])
def test_a_run_is_one_trace_and_its_session_links_to_it(
    system: System, model: LoopbackModel, with_content: bool
) -> None:
    """R48: one trace spans claim -> dispatch -> settle and links the planner's session; content only if asked for."""
    with collector() as received:
        system.target.reply = (200, {"content-type": "application/json"}, b'{"walruses": 7, "note": "tusks-planted"}')
        system.start(
            "worker",
            RUBATO_OTLP_ENDPOINT=received.url,
            RUBATO_TRACE_CONTENT=str(with_content).lower(),
            RUBATO_PLANNER="llm",
            OPENAI_BASE_URL=model.url,
            OTEL_BSP_SCHEDULE_DELAY="200",
        )
        job = system.register(
            baselineIntervalMs=60_000, minIntervalMs=500, planner="on", authority={"tighten": True}, description=INTENT
        )
        session = wait_for("a session's span", lambda: received.named("planner session"), within_s=60)[0]
        run_id = str(session.attributes["rubato.run_id"])
        trace_id, root_id = session.links[0]
        wait_for("the run's trace", lambda: len(received.of_trace(trace_id)) >= 4, within_s=60)
        spans = received.of_trace(trace_id)
        assert spans.keys() == {"run", "claim", "dispatch", "settle"}
        root = spans["run"]
        assert (root.span_id, root.parent_id) == (root_id, "")
        assert {spans[name].parent_id for name in ("claim", "dispatch", "settle")} == {root_id}
        assert (root.attributes["rubato.job_id"], root.attributes["rubato.run_id"]) == (job["id"], run_id)
        assert root.attributes["rubato.outcome"] == "succeeded"
        assert spans["dispatch"].attributes["http.response.status_code"] == 200
        instants = [root.begun_ns, spans["dispatch"].begun_ns, spans["dispatch"].ended_ns, spans["settle"].ended_ns]
        assert instants == sorted(instants)
        assert root.resource["service.name"] == "rubato"

        first = system.target.seen[0][2]
        assert first["traceparent"] == f"00-{trace_id}-{spans['dispatch'].span_id}-01"

        within = [span for span in received.spans if span.trace_id == session.trace_id and span is not session]
        asked = [span for span in within if "gen_ai.request.model" in span.attributes]
        assert any(span.attributes.get("gen_ai.operation.name") == "chat" for span in asked), within
        assert any(span.attributes.get("gen_ai.tool.name") == "propose_interval" for span in within)
        told = b"".join(received.bodies)
        said = [words for words in (b"walrus", b"tusks-planted", b"the queue is filling") if words in told]
        assert bool(said) is with_content, said
        assert system.processes["worker"].stop() == 0


def test_without_a_collector_nothing_of_it_is_loaded_and_no_header_is_sent(system: System) -> None:
    system.start("worker")
    system.register(baselineIntervalMs=60_000)
    wait_for("a request", lambda: system.target.seen, within_s=60)
    assert "traceparent" not in system.target.seen[0][2]


def test_a_collector_that_is_away_delays_no_run_and_no_end(system: System) -> None:
    worker = system.start("worker", RUBATO_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_BSP_SCHEDULE_DELAY="100")
    system.register(baselineIntervalMs=1000)
    wait_for("three requests", lambda: len(system.target.seen) >= 3, within_s=60)
    assert worker.stop() == 0
