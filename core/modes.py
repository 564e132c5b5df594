"""Which mode a job is planned in: the lowest of three switches, for everybody, for its tenant, its own."""

from collections.abc import Iterable

from core.entities import Definition, Limits, PlannerMode

PLANNER = "planner"  # the flag's name
EVERYBODY = ""  # the scope of a flag for all tenants; else it is a tenant's id

_RISING = (PlannerMode.OFF, PlannerMode.SHADOW, PlannerMode.ON)


def mode_of(definition: Definition, limits: Limits) -> PlannerMode:
    """Return what planners and rules may do to a job: nothing, only on paper, or what its grants allow."""
    return definition.planner if limits.planner is PlannerMode.ON else lowest((definition.planner, limits.planner))


def lowest(modes: Iterable[PlannerMode]) -> PlannerMode:
    """Return the lowest of these; `on` if there are none."""
    return min(modes, key=_RISING.index, default=PlannerMode.ON)
