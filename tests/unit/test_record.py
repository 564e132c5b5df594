"""Records behave as the frozen dataclasses that they are."""

import copy
import pickle
from dataclasses import FrozenInstanceError, field, fields, replace

import pytest

from core.record import evolve, record


@record
class Point:
    """Two numbers, a list of its own and a constant."""

    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list)


def test_fields_are_given_by_place_or_name_or_default() -> None:
    assert Point(1) == Point(x=1, y=2, tags=[])
    assert [each.name for each in fields(Point)] == ["x", "y", "tags"]
    assert repr(Point(1, 3)) == "Point(x=1, y=3, tags=[])"


def test_no_two_share_what_a_factory_made() -> None:
    assert Point(1).tags is not Point(1).tags


@pytest.mark.parametrize("arguments", [{}, {"x": 1, "z": 2}])
def test_a_missing_or_unknown_field_is_an_error(arguments: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"Point\.__init__"):
        Point(**arguments)  # type: ignore[arg-type]  # the point of the test


def test_nothing_is_changed_in_place() -> None:
    point = Point(1)
    with pytest.raises(FrozenInstanceError):
        point.x = 2  # type: ignore[misc]  # the point of the test
    with pytest.raises(FrozenInstanceError):
        del point.x


def test_a_copy_differs_where_it_was_told_to_and_leaves_its_original() -> None:
    point = Point(1, tags=["a"])
    assert evolve(point, y=5) == replace(point, y=5) == Point(1, 5, ["a"])
    assert point == Point(1, 2, ["a"])
    with pytest.raises(TypeError, match="Point has no field z"):
        evolve(point, z=1)


def test_it_survives_copying_and_pickling() -> None:
    point = Point(1, tags=["a"])
    assert copy.deepcopy(point) == pickle.loads(pickle.dumps(point)) == point
