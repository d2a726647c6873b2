"""The tools there are, by name."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

from runtime.errors import ConfigurationError
from runtime.tools.call import check_importable
from runtime.tools.tool import Tool


class Registry:
    """Tools by name; never changes after it is made."""

    __slots__ = ("_tools",)

    def __init__(self, tools: Iterable[Tool]) -> None:
        """Raises :class:`ConfigurationError` if two different tools have the same name, or if an isolated one cannot be
        imported by another process."""
        by_name: dict[str, Tool] = {}
        for tool in tools:
            if tool.isolation is not None:
                check_importable(tool)
            if by_name.setdefault(tool.name, tool) is not tool:
                raise ConfigurationError(f"two tools are called {tool.name!r}; rename one")
        self._tools = MappingProxyType(by_name)

    def all(self) -> tuple[Tool, ...]:
        """Every tool, in the order given."""
        return tuple(self._tools.values())

    def get(self, name: str) -> Tool | None:
        """The tool called ``name``; None if there is none, for a model may ask for anything."""
        return self._tools.get(name)

    def find(self, names: Iterable[str]) -> tuple[Tool, ...]:
        """The tools an agent lists, in its order.

        Raises :class:`ConfigurationError` naming those that do not exist.
        """
        wanted = tuple(names)
        missing = [name for name in wanted if name not in self._tools]
        if missing:
            unknown, known = ", ".join(map(repr, missing)), ", ".join(sorted(self._tools))
            raise ConfigurationError(f"no tool is called {unknown}; there are: {known or 'none'}")
        return tuple(self._tools[name] for name in wanted)
