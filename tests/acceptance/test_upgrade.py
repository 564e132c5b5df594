"""An upgrade as operators do it: the release before is at work while the tables are migrated, and goes on beside the new.

The release before is the code as it stood before the newest migration was added, taken from this repository's history.
"""

import os
import subprocess
import tarfile
from collections import Counter
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import pytest

from tests.acceptance.conftest import System, environment
from tests.processes import Process, Target, free_port, rubato, running, serves, target, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent
MIGRATIONS = "rubato/adapters/postgres/migrations/versions"
START_S = 60


def git(*args: str) -> bytes:
    """Ask git about this repository; skip where there is none, or not enough of it."""
    try:
        answer = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"the release before cannot be had: git {args[0]} failed ({type(error).__name__})")
    return answer.stdout


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """Return a folder with the code of the release before."""
    newest = max(path.name for path in (ROOT / MIGRATIONS).glob("[0-9]*.py"))
    added = git("log", "--diff-filter=A", "--format=%H", "--", f"{MIGRATIONS}/{newest}").split()
    if not added:
        pytest.skip(f"the release before cannot be had: {newest} is not in the history here")
    archive = git("archive", f"{added[-1].decode()}^", "core", "planner", "tools", "api", "worker", "evals", "rubato")
    folder = tmp_path / "before"
    with tarfile.open(fileobj=BytesIO(archive)) as packed:
        packed.extractall(folder, filter="data")
    assert not (folder / MIGRATIONS / newest).exists()
    return folder


def slots(served: Target) -> Counter[str]:
    """Count requests by slot."""
    return Counter(headers["webhook-id"] for _, _, headers, _ in served.seen)


@pytest.mark.skipif(
    not os.environ.get("RUBATO_TEST_LONG"), reason="it starts seven processes of two releases: `make upgrade` runs it"
)
@pytest.mark.timeout(600)
def test_a_worker_of_the_release_before_goes_on_while_and_after_the_tables_are_migrated(
    empty_database_url: str, before: Path, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        served = stack.enter_context(target())
        port = free_port()
        env = environment(empty_database_url, port)
        old = {**env, "PYTHONPATH": str(before)}
        system = System(f"http://127.0.0.1:{port}", env, tmp_path, served, stack)

        def start(name: str, *args: str, whose: dict[str, str]) -> Process:
            where = before if "PYTHONPATH" in whose else tmp_path
            started = running(rubato(*args), tmp_path / f"{name}.log", whose, where)
            return stack.enter_context(started)

        def worker(name: str, whose: dict[str, str]) -> Process:
            own = str(free_port())
            process = start(name, "worker", "--only", "run", whose={**whose, "RUBATO_WORKER_PORT": own})
            wait_for(f"the {name} worker", serves(f"http://127.0.0.1:{own}/readyz"), within_s=START_S)
            return process

        migrating = start("migrate-old", "migrate", whose=old)
        assert migrating.popen.wait(START_S) == 0, migrating.output()
        api = start("api-old", "api", whose=old)
        wait_for("the old API", serves(f"{system.url}/readyz"), within_s=START_S)
        first = worker("old", old)
        for number in range(10):
            system.register(name=f"job {number}", baselineIntervalMs=1000, minIntervalMs=1000)
        wait_for("the old worker to run", lambda: len(served.seen) >= 20, within_s=START_S)

        migrating = start("migrate-new", "migrate", whose=env)
        assert migrating.popen.wait(START_S) == 0, migrating.output()
        count = len(served.seen)
        wait_for("the old worker to go on", lambda: len(served.seen) >= count + 20, within_s=START_S)
        second = worker("new", env)
        assert system.api("GET", "/jobs").status == 200  # the old API on the new tables
        assert api.stop() == 0
        start("api-new", "api", whose=env)
        wait_for("the new API", serves(f"{system.url}/readyz"), within_s=START_S)
        wait_for("both to have run", lambda: len(workers_of(system)) == 2, within_s=START_S)
        assert first.stop() == 0
        count = len(served.seen)
        wait_for("the new worker to go on alone", lambda: len(served.seen) >= count + 20, within_s=START_S)
        assert second.stop() == 0
        assert set(slots(served).values()) == {1}
        failed = system.api("GET", "/runs?status=failed").body["data"]
        assert failed == []


def workers_of(system: System) -> set[str]:
    """Return which workers made the newest runs."""
    return {run["workerId"] for run in system.api("GET", "/runs?limit=60").body["data"] if run.get("workerId")}
