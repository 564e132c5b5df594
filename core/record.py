"""Records: frozen dataclasses that are cheap to make and to copy. The worker makes about thirty of them a run."""

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

Kind = TypeVar("Kind", bound=type)
Record = TypeVar("Record")

_ABSENT: Any = object()
_new, _set = object.__new__, object.__setattr__


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(kind: Kind) -> Kind:
    """Make a class a frozen dataclass that takes its fields as one dict.

    Frozen dataclasses write every field through a guard of their own, which is three times the cost.
    """
    made: Any = dataclass(frozen=True)(kind)
    made.__init__ = _init_of(made)
    return made  # type: ignore[no-any-return]  # the same class


def evolve(record: Record, **changes: Any) -> Record:
    """Return a copy of a record with some fields changed. Raises TypeError for a field that is not there."""
    held = record.__dict__
    filled = held | changes
    if len(filled) != len(held):
        unknown = ", ".join(sorted(changes.keys() - held.keys()))
        raise TypeError(f"{type(record).__name__} has no field {unknown}")
    copy: Record = _new(type(record))
    _set(copy, "__dict__", filled)
    return copy


def _init_of(kind: Any) -> Callable[..., None]:
    given: dict[str, Any] = {"_set": _set, "_ABSENT": _ABSENT}
    parameters, values = [], []
    for each in fields(kind):
        parameter, value = _parameter(each, given)
        parameters.append(parameter)
        values.append(f"{each.name!r}: {value}")
    source = f"def __init__(self, {', '.join(parameters)}): _set(self, '__dict__', {{{', '.join(values)}}})"
    exec(source, given)  # noqa: S102 - of field names only, as dataclasses make theirs
    init: Callable[..., None] = given["__init__"]
    init.__qualname__ = f"{kind.__qualname__}.__init__"
    init.__module__ = kind.__module__
    return init


def _parameter(each: "Field[Any]", given: dict[str, Any]) -> tuple[str, str]:
    """Return a field's parameter and the value it comes to; put their defaults among the `given` names."""
    name, default = each.name, f"_default_{each.name}"
    if each.default_factory is not MISSING:
        given[default] = each.default_factory
        return f"{name}=_ABSENT", f"{default}() if {name} is _ABSENT else {name}"
    if each.default is not MISSING:
        given[default] = each.default
        return f"{name}={default}", name
    return name, name
