"""The report that `rubato eval` leaves for the dashboard."""

from pathlib import Path

from rubato.reports import kept_report, report_path


def test_a_report_is_found_where_it_was_left(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert kept_report(folder) is None
    report_path(folder).write_bytes(b"{}")
    assert kept_report(folder) == b"{}"
