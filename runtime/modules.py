"""What users register, by import path: ``settings.modules`` names modules; what stands at their top level counts.

Every process imports the same modules for itself: a dictionary filled in one never reaches another (DESIGN.md 10).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import TypeVar

from runtime.errors import ConfigurationError

T = TypeVar("T")


def load_modules(paths: Sequence[str]) -> list[ModuleType]:
    """Import each module, in the order given.

    Raises :class:`ConfigurationError` naming the module that cannot be imported, and the cause.
    """
    return [_load(path) for path in paths]


def collect(modules: Iterable[ModuleType], kind: type[T]) -> list[T]:
    """The instances of ``kind`` at the modules' top levels, as written; one that several modules import counts once.

    Raises :class:`ConfigurationError` if two different ones have the same ``name``.
    """
    found: dict[int, T] = {}
    homes: dict[object, tuple[str, T]] = {}
    for module in modules:
        for value in vars(module).values():
            if not isinstance(value, kind) or id(value) in found:
                continue
            found[id(value)] = value
            name = getattr(value, "name", id(value))
            home, first = homes.setdefault(name, (module.__name__, value))
            if first is not value:
                raise ConfigurationError(
                    f"two of type {kind.__name__} are called {name!r}: in {home} and in {module.__name__}; rename one"
                )
    return list(found.values())


def _load(path: str) -> ModuleType:
    if not all(part.isidentifier() for part in path.split(".")):
        raise ConfigurationError(f"module {path!r} is no import path; write it like 'package.module'")
    try:
        return importlib.import_module(path)
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"module {path!r} cannot be imported: {cause}") from error
