"""Runs as they were exported: one JSON object a line, as `rubato export runs` writes them."""

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.errors import ConfigurationError

_ANSWERED = ("succeeded", "failed")


@dataclass(frozen=True, slots=True)
class ExportedRun:
    """One run. `body` None where the job keeps no responses; `tokens` of the session that it woke, if any."""

    job_id: str
    at: datetime
    status_code: int | None
    body: str | None
    retry_after: str | None
    every_s: float | None
    tokens: int = 0

    def says_the_same_as(self, other: "ExportedRun") -> bool:
        """Tell whether two answers were the same to the letter."""
        return (self.status_code, self.body) == (other.status_code, other.body)


def read_runs(path: Path) -> dict[str, list[ExportedRun]]:
    """Return each job's answered runs, oldest first. Raises ConfigurationError with the line and the reason."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    found: defaultdict[str, list[ExportedRun]] = defaultdict(list)
    for number, line in enumerate(lines, start=1):
        if line.strip():
            run = _read(path, number, line)
            if run is not None:
                found[run.job_id].append(run)
    if not found:
        raise ConfigurationError(f"{path}: no answered runs; there is no history to replay.")
    for runs in found.values():
        runs.sort(key=lambda run: run.at)
    return dict(found)


def _read(path: Path, number: int, line: str) -> ExportedRun | None:
    try:
        row = json.loads(line)
        if row["status"] not in _ANSWERED:
            return None
        at = datetime.fromisoformat(row["startedAt"] or row["scheduledFor"])
        every_ms = row.get("baselineIntervalMs")
        return ExportedRun(
            job_id=str(row["jobId"]),
            at=at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC),
            status_code=row["statusCode"],
            body=row.get("responseExcerpt"),
            retry_after=row.get("retryAfter"),
            every_s=every_ms / 1000 if every_ms is not None else None,
            tokens=int(row.get("tokens") or 0),
        )
    except KeyError as error:
        raise ConfigurationError(f"{path}, line {number}: {error.args[0]} is missing.") from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{path}, line {number}: not a run as exported ({error}).") from error
