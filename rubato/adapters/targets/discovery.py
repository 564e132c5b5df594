"""Finding targets: in installed packages by entry point, and in the modules that the settings name."""

import importlib
from collections.abc import Iterable
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from core.errors import ConfigurationError
from rubato.adapters.targets.registry import Registry, Target

GROUP = "rubato.targets"
OWN = "system."  # how the names of Rubato's own targets begin


def discover(modules: Iterable[str], own: Iterable[Target[..., Any]] = ()) -> Registry:
    """Return a registry of `own`, of what installed packages announce, and of the named modules.

    An entry point of the group `rubato.targets`, and each of `modules`, names a module; each target in its namespace is
    taken. Raises ConfigurationError for what cannot be imported or has none: a worker that started without a target
    would fail its runs one by one.
    """
    registry = Registry(own)
    for point in entry_points(group=GROUP):
        origin = f"the entry point {point.name} of {point.dist.name if point.dist else 'an installed package'}"
        _take(registry, _imported(point.module, origin), origin)
    for name in modules:
        origin = f"{name}, which RUBATO_TARGETS names"
        _take(registry, _imported(name, origin), origin)
    return registry


def _imported(name: str, origin: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ConfigurationError(
            f"The targets of {origin} cannot be loaded: {type(error).__name__}: {error}. "
            "Mend the module or leave it out."
        ) from error


def _take(registry: Registry, module: ModuleType, origin: str) -> None:
    found = [each for each in vars(module).values() if isinstance(each, Target)]
    if not found:
        raise ConfigurationError(f"There is no target in {origin}. Decorate a function with rubato.targets.target.")
    for each in found:
        if each.name.startswith(OWN):
            raise ConfigurationError(f"{each.name} in {origin}: names that begin with {OWN} are Rubato's own.")
        registry.add(each, origin)
