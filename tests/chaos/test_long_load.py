"""The herd and the soak in small, and that their judgement can fail; `make herd` and `make soak` are the same at length."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.analysis import Judgement
from tests.chaos.herd import herd_report, run_herd
from tests.chaos.soak import Sample, Soaked, slope, soak_report


@pytest.mark.timeout(200)
async def test_a_herd_runs_once_each_and_never_early(database_url: str, tmp_path: Path) -> None:
    herd = await run_herd(database_url, tmp_path, jobs=1000, seed=3)
    print(herd_report(herd))  # noqa: T201 - shown when it fails
    assert herd.is_whole
    assert len(herd.lateness_s) == 1000


def soaked(*samples: Sample) -> Soaked:
    return Soaked(list(samples), Judgement(), [])


def sample(at_s: float) -> Sample:
    rows = {"schedules": 200, "runs": 1000, "attempts": 0, "decisions": 0}
    return Sample(at_s, 120.0, 8, 30, rows, dict.fromkeys(rows, 50), dict.fromkeys(rows, 1.0))


def test_a_flat_soak_passes_and_its_table_says_so() -> None:
    flat = soaked(*(sample(at_s) for at_s in range(0, 600, 5)))
    assert all(good for good, _ in flat.verdicts().values())
    assert "NO" not in soak_report(flat)


@pytest.mark.parametrize(
    ("grown", "named"),
    [
        (lambda at_s: replace(sample(at_s), rss_mib=120 + at_s / 30), "RSS is flat"),
        (lambda at_s: replace(sample(at_s), connections=8 + int(at_s) // 60), "connections are flat"),
        (lambda at_s: replace(sample(at_s), open_files=30 + int(at_s) // 10), "descriptors are flat"),
        (lambda at_s: replace(sample(at_s), dead={"schedules": int(at_s) * 10, "runs": 0}), "dead rows are bounded"),
    ],
    ids=["memory", "connections", "descriptors", "dead rows"],
)
def test_what_grows_is_named(grown: object, named: str) -> None:
    assert callable(grown)
    found = soaked(*(grown(at_s) for at_s in range(0, 600, 5))).verdicts()
    assert [what for what, (good, _) in found.items() if not good] == [named]


def test_a_soak_whose_ledger_is_wrong_fails() -> None:
    wrong = Soaked([sample(0), sample(5)], Judgement(lost=["a slot"]), [])
    assert not wrong.verdicts()["the ledger is right"][0]


def test_the_slope_of_a_line_is_found_and_that_of_a_point_is_none() -> None:
    assert slope([(0, 1.0), (1, 3.0), (2, 5.0)]) == pytest.approx(2.0)
    assert slope([(7, 1.0)]) == 0.0
