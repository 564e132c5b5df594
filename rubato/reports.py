"""The report that `rubato eval` leaves in the data folder, for the dashboard of an API that has the same folder."""

from pathlib import Path

FILE = "eval.json"
LARGEST = 8 * 1024 * 1024  # bytes; a full report has a few hundred thousand


def report_path(data_dir: Path) -> Path:
    """Return where the report goes; its folder is made."""
    data_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    return data_dir / FILE


def kept_report(data_dir: Path) -> bytes | None:
    """Return the report, or None where there is none, or something that is none of ours to read."""
    try:
        with (data_dir / FILE).open("rb") as file:
            return file.read(LARGEST)
    except OSError:
        return None
