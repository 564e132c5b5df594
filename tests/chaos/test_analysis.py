"""The judgement can fail: a doctored ledger is found out, each way of lying by its own name."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.ids import webhook_id
from tests.chaos.analysis import judge, percentile
from tests.chaos.director import Record
from tests.chaos.evidence import Evidence, Fault, Held, LostAttempt, Request, Row, Watched, read_ledger

EPOCH = datetime(2026, 1, 5, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
JOB = Watched("job_a", EPOCH, 2 * SECOND)
ONCE = Watched("job_b", EPOCH, 5 * SECOND, at_most_once=True)


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def worker(pid: int) -> str:
    return f"wrk_a_host_{pid}_0123abcd"


@dataclass
class Scene:
    """Two jobs over ten seconds; launch 1 (pid 101) is killed at 4.1 s, and launch 2 (pid 102) sends its run again."""

    requests: dict[int, Request] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    attempts: list[LostAttempt] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def run(self, name: str, job: Watched, slot_s: float, *, launch: int = 2, sent_s: float | None = None) -> None:
        """Add a run that went well."""
        sent_s = slot_s + 0.01 if sent_s is None else sent_s
        token = self.request(job, slot_s, sent_s, launch=launch)
        self.rows[name] = Row(
            run_id=name,
            job_id=job.job_id,
            scheduled_for=at(slot_s),
            status="succeeded",
            worker_id=worker(100 + launch),
            started_at=at(sent_s - 0.005),
            finished_at=at(sent_s + 0.2),
            token=token,
        )

    def request(self, job: Watched, slot_s: float, sent_s: float, *, launch: int) -> int:
        """Add a line of the ledger."""
        token = max(self.requests, default=0) + 1
        slot = webhook_id(job.job_id, at(slot_s), "scheduled")
        self.requests[token] = Request(token, slot, launch, at(sent_s), at(sent_s + 0.1))
        return token

    def change(self, name: str, **fields: object) -> None:
        """Doctor a row."""
        self.rows[name] = replace(self.rows[name], **fields)  # type: ignore[arg-type]  # fields by name

    def evidence(self) -> Evidence:
        rows, requests = list(self.rows.values()), list(self.requests.values())
        pids = {1: 101, 2: 102}
        return Evidence([JOB, ONCE], at(10), requests, rows, self.attempts, self.faults, pids, self.changed)


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    for slot_s in (0, 2):
        made.run(f"a{slot_s}", JOB, slot_s, launch=1)
    made.request(JOB, 4, 4.01, launch=1)
    made.run("a4", JOB, 4, sent_s=9.5)
    made.change("a4", attempt=2)
    made.attempts.append(LostAttempt("a4", worker(101), 1, "lost", at(4.005)))
    made.rows["a6"] = Row("a6", JOB.job_id, at(6), "skipped", finished_at=at(9.7), skipped_count=2, skipped_until=at(8))
    made.run("a10", JOB, 10)
    for slot_s in (0, 5, 10):
        made.run(f"b{slot_s}", ONCE, slot_s)
    held = Held("a4", webhook_id(JOB.job_id, at(4), "scheduled"))
    made.faults.append(Fault("kill", at(4.1), at(4.1), 1, (held,)))
    return made


def test_an_honest_ledger_passes(scene: Scene) -> None:
    told = judge(scene.evidence())
    assert told.findings == {}
    assert (told.due, told.sent, told.committed, told.skipped) == (9, 8, 7, 2)
    assert (told.doubled, told.open_at_faults, told.taken_over) == (1, 1, 1)
    assert told.recovery_s == [pytest.approx(5.4)]


def lose_a_run(scene: Scene) -> None:
    del scene.rows["a2"]
    scene.requests = {token: each for token, each in scene.requests.items() if each.arrived_at != at(2.01)}


def leave_a_run_running(scene: Scene) -> None:
    scene.change("a2", status="running", finished_at=None, token=None)


def shorten_a_gap(scene: Scene) -> None:
    scene.change("a6", skipped_until=at(6))


def miscount_a_gap(scene: Scene) -> None:
    scene.change("a6", skipped_count=3)


def call_a_success_a_failure(scene: Scene) -> None:
    scene.change("a2", status="failed", token=None)
    del scene.rows["a6"], scene.rows["a10"]


def send_twice_without_a_fault(scene: Scene) -> None:
    scene.request(JOB, 10, 10.3, launch=2)


def forget_the_kill(scene: Scene) -> None:
    scene.faults.clear()


def forget_to_record_long_before_the_kill(scene: Scene) -> None:
    scene.faults[0] = replace(scene.faults[0], at=at(9), until=at(9))


def send_after_a_stop(scene: Scene) -> None:
    scene.faults[0] = Fault("stop", at(3), at(3.9), 1)
    scene.attempts[0] = replace(scene.attempts[0], started_at=at(3.95))


def send_an_uncertain_run_again(scene: Scene) -> None:
    scene.request(ONCE, 5, 5.005, launch=1)
    scene.faults.append(Fault("kill", at(5.01), at(5.01), 1))


def record_the_older_answer(scene: Scene) -> None:
    scene.change("a4", token=3)


def record_another_workers_answer(scene: Scene) -> None:
    scene.change("a10", worker_id=worker(101))


def record_the_answer_of_another_slot(scene: Scene) -> None:
    scene.change("a10", token=scene.rows["b10"].token)


def record_nothing(scene: Scene) -> None:
    scene.change("a10", token=None)


def change_an_ended_run(scene: Scene) -> None:
    scene.changed.append("a0: was succeeded, is failed")


def send_early(scene: Scene) -> None:
    token = scene.rows["a10"].token
    assert token is not None
    scene.requests[token] = replace(scene.requests[token], arrived_at=at(9.999999))
    scene.change("a10", started_at=at(9.99))


def leave_the_grid(scene: Scene) -> None:
    scene.run("a7", JOB, 7)


def send_what_no_run_knows(scene: Scene) -> None:
    scene.request(JOB, 3, 3.1, launch=2)


def never_take_it_up(scene: Scene) -> None:
    scene.change("a4", status="running", finished_at=None, token=None)
    scene.requests = {token: each for token, each in scene.requests.items() if each.arrived_at != at(9.5)}


@pytest.mark.parametrize(
    ("doctor", "named"),
    [
        (lose_a_run, "lost slots"),
        (leave_a_run_running, "lost slots"),
        (shorten_a_gap, "lost slots"),
        (call_a_success_a_failure, "lost slots"),
        (miscount_a_gap, "skipped rows with a wrong count"),
        (send_twice_without_a_fault, "doubled without a cause"),
        (forget_the_kill, "doubled beyond the bound"),
        (forget_to_record_long_before_the_kill, "doubled without a cause"),
        (send_after_a_stop, "doubled without a cause"),
        (send_an_uncertain_run_again, "at-most-once slots sent twice"),
        (record_the_older_answer, "stale writes accepted"),
        (record_another_workers_answer, "stale writes accepted"),
        (record_the_answer_of_another_slot, "stale writes accepted"),
        (record_nothing, "stale writes accepted"),
        (change_an_ended_run, "ended runs that changed"),
        (send_early, "requests before their slot"),
        (leave_the_grid, "runs off the grid"),
        (send_what_no_run_knows, "requests without a run"),
        (never_take_it_up, "runs of killed workers not taken up"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_doctored_ledger_is_found_out(scene: Scene, doctor: Callable[[Scene], None], named: str) -> None:
    doctor(scene)
    assert named in judge(scene.evidence()).findings


def test_fires_that_backoff_leaves_out_are_not_lost(scene: Scene) -> None:
    scene.change("a2", status="failed", token=None)
    for name in ("a4", "a6"):
        del scene.rows[name]
    scene.requests = {
        token: each for token, each in scene.requests.items() if each.arrived_at not in (at(4.01), at(9.5))
    }
    scene.faults.clear()
    scene.attempts.clear()
    scene.run("a6", JOB, 6)
    scene.run("a8", JOB, 8)
    assert judge(scene.evidence()).findings == {}
    del scene.rows["a6"]
    assert "lost slots" in judge(scene.evidence()).findings


def test_a_job_that_is_set_aside_owes_no_slots_after_the_run_that_was_given_up(scene: Scene) -> None:
    scene.change("a10", status="failed", token=None, is_given_up=True)
    told = judge(replace(scene.evidence(), until=at(14)))
    assert (told.parked, [lost.split()[0] for lost in told.lost]) == (1, [])
    scene.change("a10", is_given_up=False)
    assert len(judge(replace(scene.evidence(), until=at(14))).lost) == 1


def test_a_request_marked_before_a_stop_and_written_after_it_is_told_apart(scene: Scene) -> None:
    scene.faults[0] = Fault("stop", at(4.006), at(4.009), 1)
    told = judge(scene.evidence())
    assert told.findings == {}
    scene.faults[0] = Fault("stop", at(3.0), at(4.0), 1)
    scene.attempts[0] = replace(scene.attempts[0], started_at=at(2.99))
    told = judge(scene.evidence())
    assert (told.findings, told.sent_on_waking) == ({}, 1)


def test_a_record_sees_an_ended_run_change_or_go(scene: Scene) -> None:
    record = Record()
    rows = list(scene.rows.values())
    for row in rows:
        record.compare(row)
    record.compare_all(rows)
    assert record.changed == []
    record.compare_all([replace(rows[0], finished_at=at(60)), *rows[2:]])
    assert len(record.changed) == 2


def test_the_targets_ledger_is_read_with_its_senders(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    ledger.write_text(
        '{"asked":1,"at":1767614400123456789,"id":"msg_a","by":"Rubato/0.1.0+launch12"}\n'
        '{"asked":2,"at":1767614401000000000,"id":null,"by":"curl/8"}\n'
        '{"answered":1,"at":1767614402000000000}\n'
    )
    one, two = read_ledger(ledger)
    assert (one.launch, one.webhook_id, one.answered_at) == (12, "msg_a", EPOCH + 2 * SECOND)
    assert one.arrived_at == EPOCH + timedelta(microseconds=123456)
    assert (two.launch, two.webhook_id, two.answered_at) == (None, "", None)


def test_a_percentile_of_nothing_is_zero_and_of_one_is_that_one() -> None:
    assert (percentile([], 0.99), percentile([3.0], 0.5), percentile([1.0, 2.0, 3.0], 0.99)) == (0.0, 3.0, 3.0)
