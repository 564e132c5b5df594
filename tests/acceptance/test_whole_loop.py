"""End to end on real processes: registration, execution, a model's tool call, a clamp, an explanation, and back."""

from tests.acceptance.conftest import System
from tests.loopback_model import LoopbackModel, loopback_model
from tests.processes import wait_for


def test_a_models_hint_is_clamped_explained_and_gone_at_its_expiry(system: System, model: LoopbackModel) -> None:
    system.start("worker", RUBATO_PLANNER="llm", OPENAI_API_KEY="none", OPENAI_BASE_URL=model.url)
    job = system.register(
        baselineIntervalMs=60_000, minIntervalMs=2_000, description="every 30 s while the queue fills"
    )
    assert job["nextRunSource"] == "baseline_interval"

    first = wait_for("the first run", lambda: next((run for run in system.runs(job) if run["finishedAt"]), None))
    assert (first["status"], first["statusCode"], first["trigger"]) == ("succeeded", 200, "scheduled")
    assert first["decision"]["source"] == "baseline_interval"

    hint = wait_for("the hint", lambda: (system.api("GET", f"/jobs/{job['id']}/hints").body["data"] or [None])[0])
    assert (hint["kind"], hint["intervalMs"], hint["author"]) == ("interval", 500, "planner")
    assert hint["applied"] > hint["proposed"]

    explained = system.explanation(job)
    assert (explained["source"], explained["hintId"]) == ("hint_interval", hint["id"])
    assert [clamp["bound"] for clamp in explained["clamps"]] == ["min_interval"]
    assert "the queue is filling" in explained["reason"]
    assert "minimum interval of 2 s" in explained["reason"]
    assert explained["activeHints"][0]["id"] == hint["id"]

    request = model.requests[0]
    assert request["path"] == "/v1/chat/completions"
    tools = {tool["function"]["name"] for tool in request["body"]["tools"]}
    assert {"propose_interval", "propose_next_time", "pause_until"} <= tools
    (session,) = [s for s in system.api("GET", f"/jobs/{job['id']}/sessions").body["data"] if s["hintIds"]]
    assert session["toolCalls"][0]["verdict"] == "clamped"
    assert (session["requests"], session["tokens"]["total"]) == (1, 110)

    def back_to_baseline() -> bool:
        answer: bool = system.explanation(job)["source"] == "baseline_interval"
        return answer

    wait_for("the hint's expiry", back_to_baseline, within_s=20)
    runs = [run for run in system.runs(job) if run["status"] == "succeeded"]
    assert 2 <= len(runs) <= 5  # eight seconds hold five starts that are two seconds apart, and fewer on a busy machine

    def hint_states() -> list[str]:
        return [each["state"] for each in system.api("GET", f"/jobs/{job['id']}/hints?state=all").body["data"]]

    wait_for("the hint to be expired", lambda: hint_states() == ["expired"])
    used = {window["name"]: window["used"] for window in system.api("GET", "/quota").body["data"]}
    assert used["tokens_per_day"] == 110 * len(model.requests)
    metrics = system.processes["worker"].output()
    assert "planner session" in metrics


def test_with_its_model_server_gone_every_job_goes_on_at_its_baseline(system: System) -> None:
    with loopback_model([{"text": "Nothing."}]) as server:
        url = server.url
    system.start("worker", RUBATO_PLANNER="llm", OPENAI_API_KEY="none", OPENAI_BASE_URL=url)
    job = system.register(baselineIntervalMs=1_000, maxIntervalMs=1_000)
    wait_for("three runs", lambda: len([run for run in system.runs(job) if run["status"] == "succeeded"]) >= 3)
    sessions = wait_for("sessions", lambda: system.api("GET", f"/jobs/{job['id']}/sessions").body["data"])
    assert all("could not be used" in session["error"] for session in sessions)
    assert system.explanation(job)["source"] == "baseline_interval"
    slots = [run["scheduledFor"] for run in system.runs(job)]
    assert len(slots) == len(set(slots))
