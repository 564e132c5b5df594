"""A job's definition as a form holds it, the patch that a form amounts to, and what an edit would change."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from core.entities import CronBaseline, Definition, HttpAction, IntervalBaseline, OnceBaseline

_MS = timedelta(milliseconds=1)
_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
_TICKS = ("tighten", "relax", "pause")


def exact(value: timedelta | None) -> str:
    """Write a duration to the millisecond, as forms read it: 90 s is 1m30s."""
    rest, written = (value or timedelta(0)) // _MS, ""
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        written += f"{count}{unit}" if count else ""
    return written


def fields_of(definition: Definition) -> dict[str, str]:
    """Return what the form of an edit begins with."""
    baseline, action = definition.baseline, definition.action
    fields = {
        "name": definition.name,
        "description": definition.description or "",
        "group": definition.group or "",
        "kind": "interval",
        "every": "",
        "cron": "",
        "timezone": "UTC",
        "run_at": "",
        "min": exact(definition.bounds.min_interval),
        "max": exact(definition.bounds.max_interval),
        "timeout": exact(action.timeout),
        "planner": definition.planner.value,
        "url": action.url if isinstance(action, HttpAction) else "",
        "method": action.method if isinstance(action, HttpAction) else "",
        "version": str(definition.version),
        **{name: "true" for name in _TICKS if getattr(definition.authority, name)},
    }
    if isinstance(baseline, IntervalBaseline):
        fields["every"] = exact(baseline.every)
    elif isinstance(baseline, CronBaseline):
        fields |= {"kind": "cron", "cron": baseline.expression, "timezone": baseline.timezone}
    elif isinstance(baseline, OnceBaseline):
        fields |= {"kind": "once", "run_at": baseline.run_at.strftime("%Y-%m-%dT%H:%M:%S")}
    return fields


def patch_of(form: Mapping[str, str], spans: Mapping[str, timedelta | None], *, is_http: bool) -> dict[str, Any]:
    """Return the merge-patch of a job that a form amounts to. `spans`: its durations, read."""
    baselines: Mapping[str, dict[str, Any]] = {
        "interval": {"baselineIntervalMs": _ms(spans["every"])},
        "cron": {"baselineCron": form.get("cron", "").strip() or None, "timezone": form.get("timezone") or "UTC"},
        "once": {"runAt": f"{form['run_at']}Z" if form.get("run_at") else None},
    }
    called = {"url": form.get("url", "").strip(), "method": form.get("method", "")} if is_http else {}
    return {
        "name": form.get("name", "").strip(),
        "description": form.get("description", "").strip() or None,
        "group": form.get("group", "").strip() or None,
        **baselines.get(form.get("kind", ""), {}),
        **called,
        "minIntervalMs": _ms(spans["min"]),
        "maxIntervalMs": _ms(spans["max"]),
        **({"timeoutMs": _ms(spans["timeout"])} if spans["timeout"] is not None else {}),
        "authority": {name: form.get(name) == "true" for name in _TICKS},
        "planner": form.get("planner", ""),
    }


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the fields of a definition that differ, by name, with what stood and what would stand there."""
    return [(name, _shown(old.get(name)), _shown(value)) for name, value in new.items() if old.get(name) != value]


def _shown(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _ms(value: timedelta | None) -> int | None:
    return None if value is None else value // _MS
