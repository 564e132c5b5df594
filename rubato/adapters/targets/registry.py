"""Targets by name: what may be called, with which payload."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from core.errors import ConfigurationError, Issue
from core.ports.targets import SYSTEM_TENANT, TargetInfo

NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
LONGEST_NAME = 100
Params = ParamSpec("Params")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, eq=False)
class Target(Generic[Params, Answer]):
    """A function that jobs may call as `handler(payload, context)`. Calling this calls it.

    `payload`: what the payload is validated into, before a job is accepted and before each call; None: any JSON value
    as it is. `is_maintenance`: for jobs of the system tenant only.
    """

    name: str
    handler: Callable[Params, Answer]
    payload: Any = None
    description: str = ""
    is_maintenance: bool = False

    def __call__(self, *args: Params.args, **kwargs: Params.kwargs) -> Answer:
        """Call the handler."""
        return self.handler(*args, **kwargs)

    def read(self, payload: Any) -> Any:
        """Return the payload as the handler takes it. Raises pydantic's ValidationError."""
        return payload if self.payload is None else _adapter(self.payload).validate_python(_or_empty(self, payload))


def target(
    name: str, *, payload: Any = None, description: str | None = None
) -> Callable[[Callable[Params, Answer]], Target[Params, Answer]]:
    """Make a function a target under this name: `@target("reports.daily", payload=DailyReport)`.

    The function takes the payload and a `Context`; it may be a coroutine or a plain function, and neither holds up the
    worker: coroutines run on an event loop of their own, plain functions on threads. What it returns is kept with the
    run, as JSON; what it raises makes the run `failed`. `payload`: a pydantic model, or any type pydantic can validate.
    `description`: the docstring's first line if left out.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise ConfigurationError(
            f'"{name}" is no name of a target; use two or more words of a-z, 0-9 and _ with dots between them, such as '
            "reports.daily."
        )

    def made(handler: Callable[Params, Answer]) -> Target[Params, Answer]:
        said = description if description is not None else (handler.__doc__ or "").strip().partition("\n")[0]
        return Target(name, handler, payload, said)

    return made


class Registry:
    """The targets of one process. Also the catalogue that the API shows."""

    def __init__(self, targets: Iterable[Target[..., Any]] = ()) -> None:
        self._targets: dict[str, Target[..., Any]] = {}
        for each in targets:
            self.add(each, "given")

    def add(self, each: Target[..., Any], origin: str) -> None:
        """Add one; the same again is no conflict. Raises ConfigurationError for another under a name that is taken."""
        known = self._targets.setdefault(each.name, each)
        if known is not each:
            raise ConfigurationError(f"Two targets are called {each.name}; the second is from {origin}. Rename one.")

    def get(self, name: str) -> Target[..., Any] | None:
        """Return a target, or None."""
        return self._targets.get(name)

    def names(self) -> list[str]:
        """Return every name."""
        return sorted(self._targets)

    def listed(self, tenant_id: str) -> list[TargetInfo]:
        """Return what a tenant's jobs may call."""
        mine = [each for each in self._targets.values() if not each.is_maintenance or tenant_id == SYSTEM_TENANT]
        return [
            TargetInfo(each.name, each.description, _schema(each)) for each in sorted(mine, key=lambda each: each.name)
        ]

    def check(self, tenant_id: str, target: str, payload: Any) -> list[Issue]:
        """Say what is wrong with a target and its payload."""
        found = self._targets.get(target)
        if found is None or (found.is_maintenance and tenant_id != SYSTEM_TENANT):
            known = ", ".join(info.name for info in self.listed(tenant_id)) or "none"
            detail = f'"{target[:100]}" is not a registered target; known: {known}.'
            return [Issue("/target", "unknown_target", detail)]
        try:
            found.read(payload)
        except ValidationError as error:
            return [_issue(each) for each in error.errors(include_url=False, include_context=False)]
        return []


def _or_empty(found: Target[..., Any], payload: Any) -> Any:
    """A model whose fields all have defaults needs no payload."""
    is_model = isinstance(found.payload, type) and issubclass(found.payload, BaseModel)
    return {} if payload is None and is_model else payload


def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _schema(found: Target[..., Any]) -> Mapping[str, Any] | None:
    return None if found.payload is None else _adapter(found.payload).json_schema()


def _issue(error: Mapping[str, Any]) -> Issue:
    """Translate one of pydantic's errors; its input is left out, which may be a secret."""
    path = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in error["loc"])
    name = str(error["loc"][-1]) if error["loc"] else "payload"
    return Issue(f"/payload{path}", str(error["type"]), f"{name}: {error['msg']}")
