"""Intervals, curves, the baseline, traces and the report: what is said, and that it can say the opposite."""

import dataclasses
import json
from io import StringIO
from pathlib import Path
from random import Random
from statistics import fmean

import pytest
from rich.console import Console

from core.errors import ConfigurationError
from evals import baseline, command, page, terminal
from evals.curves import Point, requests_at
from evals.intervals import Interval, bootstrap, gap_closed, mean_of, relative
from evals.summary import WorldSummary, harm
from evals.traces import as_world, read_recordings


def test_the_interval_of_a_mean_holds_the_truth_about_as_often_as_it_says() -> None:
    random, held = Random(1), 0
    for _ in range(120):
        interval = mean_of([random.gauss(10, 3) for _ in range(30)])
        held += interval.low <= 10 <= interval.high
    assert 0.88 <= held / 120 <= 0.99


def test_pairing_finds_a_small_difference_in_noise() -> None:
    random = Random(2)
    noise = [random.gauss(100, 30) for _ in range(30)]
    better = relative([each * 0.97 for each in noise], noise)
    assert better.is_below_zero
    assert better.mean == pytest.approx(-0.03)
    assert not relative(noise, noise).is_above_zero


def test_one_realisation_has_no_interval() -> None:
    assert bootstrap([(3.0,)], lambda rows: fmean(row[0] for row in rows)) == Interval(3.0, 3.0, 3.0)


def test_the_gap_closed_is_none_where_there_is_none() -> None:
    assert gap_closed([1.0], [1.0], [0.995]) is None
    closed = gap_closed([6.0, 6.0], [10.0, 10.0], [2.0, 2.0])
    assert closed is not None
    assert closed.mean == pytest.approx(0.5)


def test_requests_at_a_delay_lie_on_the_line_between_logarithms() -> None:
    curve = [Point(1.0, 100.0, 10.0), Point(2.0, 25.0, 40.0)]
    assert requests_at(curve, 20.0) == pytest.approx(50.0)
    assert requests_at(curve, 10.0) == pytest.approx(100.0)
    assert requests_at(curve, 41.0) is None


def summarised(tmp_path: Path, *extra: str) -> tuple[list[WorldSummary], Console]:
    """Play a tiny world, whole way through the command's own parts."""
    from evals.suite import Results, cells_of, play_cell
    from evals.worlds.catalogue import read_worlds

    worlds = [dataclasses.replace(read_worlds()[name], horizon_s=2 * 86400.0) for name in ("rate-limit", "poisson")]
    policies = ("fixed", "aimd", "offline")
    results = Results({world.name: world for world in worlds}, (0, 1), policies)
    for cell in cells_of(worlds, (0, 1), policies, sweep=True):
        results.add(play_cell(cell))
    from evals.summary import summarise

    return summarise(results), Console(width=160, record=True, file=StringIO())


def test_a_report_shows_gain_and_harm_in_the_terminal_and_on_the_page(tmp_path: Path) -> None:
    worlds, console = summarised(tmp_path)
    console.print(terminal.tables(worlds, details=True))
    text = console.export_text()
    assert "rate-limit" in text
    assert "No harm beyond chance" in text
    assert harm(worlds) == []
    assert "rate-limit" in harm(worlds, "aimd")
    html = page.render(worlds, [], command="rubato eval", when="2026-01-05", partial=False)
    assert html.count("<svg") >= 3
    assert "http" not in html.replace("http-equiv", "")
    assert "<script" not in html


def test_the_baseline_notices_what_got_worse_beyond_its_interval_and_nothing_else(tmp_path: Path) -> None:
    worlds, _ = summarised(tmp_path)
    file = tmp_path / "baseline.json"
    baseline.write(worlds, file)
    assert baseline.regressions(worlds, file) == []
    document = json.loads(file.read_text())
    for figure in ("mean", "low", "high"):
        document["rate-limit"]["against_fixed"][figure] -= 0.3
    document["gone"] = document["poisson"]
    file.write_text(json.dumps(document))
    found = baseline.regressions(worlds, file)
    assert [line.split(":")[0] for line in found] == ["gone", "rate-limit"]
    file.write_text("{")
    with pytest.raises(ConfigurationError, match="--write-baseline"):
        baseline.regressions(worlds, file)


def test_recorded_changes_become_a_world_whose_baseline_is_the_best_fixed_interval_for_their_rate(
    tmp_path: Path,
) -> None:
    file = tmp_path / "changes.csv"
    rows = [f"2026-01-{day:02}T0{hour}:00:00Z" for day in range(1, 29) for hour in (1, 5)]
    file.write_text("changed_at\n" + "\n".join(rows) + "\n")
    (recording,) = read_recordings(file)
    assert len(recording.changes) == len(rows) - 1
    world = as_world(recording)
    rate = len(recording.changes) / world.horizon_s
    assert (2 / (world.costs.delay * rate)) ** 0.5 == pytest.approx(7200.0)
    assert world.draw(0)[0].events == world.draw(1)[0].events


def test_checks_become_a_recording_an_endpoint_with_its_cadence(tmp_path: Path) -> None:
    file = tmp_path / "checks.csv"
    lines = [
        f"2026-01-05T0{hour}:00:00Z,{name},{state},200,5" for hour, state in enumerate("aabb") for name in ("x", "y")
    ]
    file.write_text("checked_at,endpoint,state,status_code,latency_ms\n" + "\n".join(lines))
    first, second = read_recordings(file)
    assert (first.name, len(first.changes), second.name) == ("checks:x", 1, "checks:y")
    assert "every 60 min" in first.censored


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("when\n2026", "line 1: the header is when"),
        ("", "line 1: the header is missing"),
        ("changed_at\n", "no changes"),
        ("changed_at\n2026-01-05T00:00:00Z\nsoon\n", 'line 3: "soon" is not'),
        ("changed_at\n2026-01-05T00:00:00Z\n2026-01-04T00:00:00Z\n", "line 3: earlier"),
        ("checked_at,endpoint,state,status_code,latency_ms\n2026-01-05T00:00:00Z,x\n", "line 2: 5 fields"),
        ("checked_at,endpoint,state,status_code,latency_ms\n2026-01-05T00:00:00Z,x,up,ok,1\n", 'line 2: "ok"'),
        ("checked_at,endpoint,state,status_code,latency_ms\n", "no checks"),
        ('{"jobId": 1}\n', "line 1: status is missing"),
        ('{"jobId": \n', "line 1: not a run as exported"),
    ],
)
def test_a_wrong_recording_is_told_where_and_why(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "recording.csv"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=reason):
        read_recordings(file)


def test_a_recording_with_hardly_a_change_says_that_there_is_no_history(tmp_path: Path) -> None:
    file = tmp_path / "changes.csv"
    file.write_text("changed_at\n2026-01-05T00:00:00Z\n2026-01-05T01:00:00Z\n")
    with pytest.raises(ConfigurationError, match="no history"):
        command.evaluate(command.Options(traces=(file,)), Console(file=StringIO()))
