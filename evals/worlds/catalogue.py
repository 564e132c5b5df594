"""Reading worlds.yaml: one mapping a world. A wrong one is named with its key and the reason."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from core.errors import ConfigurationError
from evals.worlds.changes import Burst, Diurnal, Poisson, Portfolio, Silent
from evals.worlds.trouble import Flapping, Incident, Maintenance, RateLimit
from evals.worlds.words import Deadline, Hostile, NextUpdate
from evals.worlds.world import Costs, Strict, Terms, World

FILE = Path(__file__).with_name("worlds.yaml")

AnyLaw = Annotated[
    Poisson
    | Portfolio
    | Diurnal
    | Burst
    | Silent
    | Incident
    | RateLimit
    | Maintenance
    | Flapping
    | NextUpdate
    | Deadline
    | Hostile,
    Field(discriminator="kind"),
]


class Entry(Strict):
    """One world of the file."""

    why: str
    law: AnyLaw
    job: Terms
    costs: Costs
    horizon: timedelta
    suites: tuple[Literal["quick", "full"], ...] = ("full",)
    null: bool = False
    twin_of: str | None = None


def read_worlds(path: Path = FILE) -> dict[str, World]:
    """Return the worlds of a file by name. Raises ConfigurationError with line or key and reason."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        reason = getattr(error, "problem", None) or "not YAML"
        raise ConfigurationError(f"{path}{where}: {reason}") from error
    if not isinstance(document, dict) or not document:
        raise ConfigurationError(f"{path}: a mapping of names to worlds is expected.")
    worlds = {str(name): _world(path, str(name), value) for name, value in document.items()}
    for world in worlds.values():
        if world.twin_of is not None and world.twin_of not in worlds:
            raise ConfigurationError(f"{path}: {world.name}: there is no world {world.twin_of} to be a twin of.")
    return worlds


def choose(known: dict[str, Any], names: tuple[str, ...], what: str) -> list[Any]:
    """Return those that are named. Raises ConfigurationError with the list of known ones."""
    for name in names:
        if name not in known:
            raise ConfigurationError(f'There is no {what} "{name}". Known: {", ".join(sorted(known))}.')
    return [known[name] for name in dict.fromkeys(names)]


def _world(path: Path, name: str, value: object) -> World:
    try:
        entry = Entry.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (name, *first["loc"]))
        raise ConfigurationError(f"{path}: {where}: {first['msg']}") from error
    if not entry.job.least <= entry.job.every <= entry.job.most:
        raise ConfigurationError(f"{path}: {name}.job: least <= every <= most is expected.")
    return World(
        name=name,
        why=entry.why,
        law=entry.law,
        terms=entry.job,
        costs=entry.costs,
        horizon_s=entry.horizon.total_seconds(),
        suites=frozenset(entry.suites),
        is_null=entry.null,
        twin_of=entry.twin_of,
    )
