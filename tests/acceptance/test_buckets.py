"""Workers that share what is due by buckets, as processes."""

import signal
from collections import Counter

from tests.acceptance.conftest import System
from tests.processes import free_port, serves, wait_for


def test_workers_by_buckets_run_every_slot_once_and_take_over_from_one_that_is_killed(system: System) -> None:
    for name in ("one", "two"):
        port = str(free_port())
        system.start(name, "worker", "--only", "run", RUBATO_WORKER_PORT=port, RUBATO_CLAIMING="buckets")
        wait_for(f"worker {name}", serves(f"http://127.0.0.1:{port}/readyz"))
    names = [system.register(name=f"job {n}", baselineIntervalMs=3_600_000)["id"] for n in range(40)]

    def ended() -> list[dict[str, str]]:
        page: list[dict[str, str]] = system.api("GET", "/runs?status=succeeded&limit=200").body["data"]
        return page

    wait_for("every job's run", lambda: len(ended()) >= 40)
    assert Counter(run["jobId"] for run in ended()) == Counter(names)
    assert {run["workerId"] for run in ended()} > set()
    assert len(system.target.seen) == 40
    system.processes["one"].stop(signal.SIGKILL)
    for job in names:
        assert system.api("POST", f"/jobs/{job}/run").status == 202
    wait_for("the other one to run them all", lambda: len(ended()) >= 80, within_s=40)
    assert set(Counter(run["jobId"] for run in ended()).values()) == {2}
