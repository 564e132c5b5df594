"""What is switched on: planning, in the lowest mode of three switches (for everybody, for its tenant, its own);
rules; and which kinds of baseline run at all."""

from collections.abc import Iterable

from core.entities import CronBaseline, Definition, IntervalBaseline, Limits, PlannerMode

PLANNER, RULES, CRON, INTERVAL = "planner", "rules", "cron", "interval"  # the flags' names
POSITIONS = {PLANNER: ("on", "shadow", "off"), RULES: ("on", "off"), CRON: ("on", "off"), INTERVAL: ("on", "off")}
EVERYBODY = ""  # the scope of a flag for all tenants; else it is a tenant's id

_RISING = (PlannerMode.OFF, PlannerMode.SHADOW, PlannerMode.ON)


def mode_of(definition: Definition, limits: Limits) -> PlannerMode:
    """Return what planners and rules may do to a job: nothing, only on paper, or what its grants allow."""
    return definition.planner if limits.planner is PlannerMode.ON else lowest((definition.planner, limits.planner))


def lowest(modes: Iterable[PlannerMode]) -> PlannerMode:
    """Return the lowest of these; `on` if there are none."""
    return min(modes, key=_RISING.index, default=PlannerMode.ON)


def is_switched_off(definition: Definition, tenant_id: str, off: frozenset[tuple[str, str]]) -> bool:
    """Tell whether a job's kind of baseline is off; `off`: (scope, name) of each switch of a kind that is."""
    match definition.baseline:
        case CronBaseline():
            name = CRON
        case IntervalBaseline():
            name = INTERVAL
        case _:
            return False
    return (EVERYBODY, name) in off or (tenant_id, name) in off
