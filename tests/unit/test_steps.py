"""The lean statement of a step must never leave a change unwritten."""

from dataclasses import fields

from core.entities import Planning, Schedule
from rubato.adapters.postgres import steps

WRITTEN = {"slot", "lease", "planning", "handled_through", "last_slot_at", "last_start_at", "counted_runs"}
WRITTEN |= {"failures", "failed_runs"}
FIXED = {"created_at"}
PLANNING_WRITTEN = {"seq", "ready_at", "gate"}


def test_every_field_of_a_schedule_is_written_by_a_step_or_keeps_it_from_being_one() -> None:
    kept = set(steps.UNCHANGED)
    names = {field.name for field in fields(Schedule)} - FIXED
    assert names == WRITTEN | {name for name in kept if "." not in name}
    planning = {name.removeprefix("planning.") for name in kept if "." in name}
    assert {field.name for field in fields(Planning)} == PLANNING_WRITTEN | planning
