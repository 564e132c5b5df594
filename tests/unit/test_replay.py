"""Replay: counterfactuals over exported runs, with what they cannot show; and the export itself."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from evals import replay as replays
from evals.exported import read_runs
from evals.offline import DirectOfflinePlanner
from evals.traces import read_recordings
from rubato.exports import exported_runs
from tests.unit.fakes import START
from tests.unit.loop import TENANT, Loop, definition


def line(minute: int, body: str, **fields: object) -> str:
    at = (START + timedelta(minutes=minute)).isoformat()
    row = {
        "jobId": "job_1",
        "scheduledFor": at,
        "startedAt": at,
        "status": "succeeded",
        "statusCode": 200,
        "responseExcerpt": body,
        "baselineIntervalMs": 600_000,
        "tokens": 3,
    }
    return json.dumps({**row, **fields})


def stored(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "runs.jsonl"
    file.write_text("\n".join(lines) + "\n")
    return file


STEADY = [line(10 * n, "a" if n < 20 else "b") for n in range(40)]


def test_a_replay_counts_requests_delays_and_tokens_against_what_happened(tmp_path: Path) -> None:
    runs = read_runs(stored(tmp_path, *reversed(STEADY)))["job_1"]
    found = replays.replay(runs, {"offline": DirectOfflinePlanner()}, every=timedelta(minutes=40))
    happened, fixed, offline = found.ways
    assert (happened.requests, happened.delay_s, happened.tokens, found.changes) == (40, 0.0, 120, 1)
    assert (fixed.requests, fixed.delay_s) == (10, 0.0)
    assert offline.requests == 10
    assert "10.0 min apart" in found.censoring


def test_other_bounds_are_other_runs(tmp_path: Path) -> None:
    trouble = [line(10 * n, "down", status="failed", statusCode=500) for n in range(40, 44)]
    runs = read_runs(stored(tmp_path, *STEADY, *trouble))["job_1"]
    loose = replays.replay(runs, {"offline": DirectOfflinePlanner()})
    tight = replays.replay(runs, {"offline": DirectOfflinePlanner()}, least=timedelta(minutes=10))
    assert loose.ways[2].requests > tight.ways[2].requests == 44


def test_a_table_is_made_for_each_job_with_a_history(tmp_path: Path) -> None:
    file = stored(tmp_path, *STEADY, line(0, "x", jobId="job_2"))
    assert len(replays.tables(file)) == 1
    with pytest.raises(ConfigurationError, match="Known: job_1, job_2"):
        replays.tables(file, job_id="job_9")
    with pytest.raises(ConfigurationError, match="no history"):
        replays.tables(file, job_id="job_2")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([STEADY[0], "{"], "line 2: not a run"),
        ([STEADY[0], "[]"], "line 2: not a run"),
        (['{"jobId": "j"}'], "line 1: status is missing"),
        ([line(0, "a", startedAt="soon")], "line 1: not a run"),
        ([line(0, "a", status="skipped")], "no history"),
    ],
)
def test_wrong_lines_are_told_with_their_number(tmp_path: Path, lines: list[str], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        read_runs(stored(tmp_path, *lines))


async def test_exported_runs_can_be_replayed_and_played_as_a_trace(tmp_path: Path) -> None:
    loop = Loop()
    job = await loop.register(definition(every_s=60))
    await loop.register(definition(every_s=60, name="another"))
    for _ in range(12):
        await loop.until_slot(job)
        await loop.turn()
    lines = [each async for each in exported_runs(loop.store, TENANT, job_id=job.id)]
    assert len(lines) == 12
    assert all("http" not in each for each in lines)
    both = [each async for each in exported_runs(loop.store, TENANT)]
    assert len(both) > len(lines)
    file = stored(tmp_path, *lines)
    runs = read_runs(file)[job.id]
    assert [run.at for run in runs] == sorted(run.at for run in runs)
    assert runs[0].every_s == 60
    assert read_recordings(file)[0].cadence == timedelta(seconds=60)
    assert replays.replay(runs, {}).ways[0].requests == 12
