"""A day in five minutes: what the demo target answers at each second of it, as pure functions of that second.

Calm, a queue that fills, an incident with errors and Retry-After, recovery, an announced maintenance, calm again.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DAY_S = 300
FILLING_S, INCIDENT_S, RECOVERY_S, NOTICE_S, MAINTENANCE_S, CALM_S = 12, 75, 115, 160, 185, 215
LOW, HIGH = 3, 900


@dataclass(frozen=True, slots=True)
class Reply:
    """What the target answers."""

    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = ()


def phase_at(elapsed_s: float) -> str:
    """Return the phase of the day."""
    second = elapsed_s % DAY_S
    phases = (
        (FILLING_S, "calm"),
        (INCIDENT_S, "filling"),
        (RECOVERY_S, "incident"),
        (NOTICE_S, "recovering"),
        (MAINTENANCE_S, "notice"),
        (CALM_S, "maintenance"),
        (DAY_S, "calm"),
    )
    return next(name for end, name in phases if second < end)


def queue_depth_at(elapsed_s: float) -> int:
    """Return how many orders wait."""
    second = elapsed_s % DAY_S
    if second < FILLING_S or second >= NOTICE_S:
        return LOW
    if second < INCIDENT_S:
        return round(LOW + (HIGH - LOW) * (second - FILLING_S) / (INCIDENT_S - FILLING_S))
    if second < RECOVERY_S:
        return HIGH
    return round(HIGH - (HIGH - LOW) * (second - RECOVERY_S) / (NOTICE_S - RECOVERY_S))


def queue_reply(elapsed_s: float, now: datetime) -> Reply:
    """Answer the order queue's watcher."""
    phase, second = phase_at(elapsed_s), elapsed_s % DAY_S
    if phase == "maintenance":
        back = _whole_second_after(now + timedelta(seconds=CALM_S - second))
        return Reply(503, _json({"message": f"Scheduled maintenance until {back:%Y-%m-%dT%H:%M:%SZ}"}))
    if phase == "incident" and int(second) % 20 >= 12:
        return Reply(503, _json({"status": "overloaded"}), (("retry-after", "5"),))
    body: dict[str, object] = {"checked_at": now.isoformat(timespec="seconds")}
    if phase in ("calm", "notice"):
        body["status"] = "idle"
    else:
        body["queue_depth"] = queue_depth_at(elapsed_s)
    if phase == "notice":
        body["notice"] = "Maintenance is about to begin; orders wait meanwhile."
    return Reply(200, _json(body))


def reports_reply(elapsed_s: float, now: datetime) -> Reply:
    """Answer the report check: it fails during the incident."""
    if phase_at(elapsed_s) == "incident":
        return Reply(500, _json({"error": "the report could not be built"}))
    return Reply(200, _json({"status": "ok", "rows": 1200, "built_at": now.isoformat(timespec="minutes")}))


def deploy_reply(elapsed_s: float, now: datetime) -> Reply:
    """Answer the deployment's smoke test."""
    return Reply(200, _json({"status": "ok", "release": "2026.11"}))


ROUTES = {"/queue": queue_reply, "/reports": reports_reply, "/deploy": deploy_reply}


def _whole_second_after(at: datetime) -> datetime:
    """Return the instant rounded up: who comes back at the announced second must find it over."""
    return (at + timedelta(microseconds=999_999)).astimezone(UTC).replace(microsecond=0)


def _json(body: dict[str, object]) -> str:
    return json.dumps(body)
