"""Plug-ins: what installed packages add to an engine, found by their entry points.

An entry point's name is the name of what it brings: a step type, the scheme of a channel's URL, a source of secrets,
the scheme of a store's URL, the queue whose steps it has done. A plug-in that cannot be used is noted with the reason
and left out; nothing else suffers.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final, NamedTuple, cast

from stepwell.app.registries import Registries
from stepwell.base.errors import ConfigurationError
from stepwell.definition.model import CONTROL_TYPES, LEAF_TYPES
from stepwell.ports.notices import Notifier
from stepwell.ports.services import SecretSource
from stepwell.ports.store import Store
from stepwell.ports.work import TaskHandler
from stepwell.tasks.plugin import CheckedHandler

TASKS: Final = "stepwell.tasks"
NOTIFIERS: Final = "stepwell.notifiers"
SECRETS: Final = "stepwell.secrets"
STORES: Final = "stepwell.stores"
DISPATCHERS: Final = "stepwell.dispatchers"

GROUPS: Final[Mapping[str, str]] = {
    TASKS: "run",
    NOTIFIERS: "send",
    SECRETS: "get",
    STORES: "",
    DISPATCHERS: "run",
}
"""The groups of entry points, and the method that what they bring must have."""

Settings = Mapping[str, Any]
"""Of plug-ins by name: their own settings, or False for one that is switched off."""


class Plugin(NamedTuple):
    """One entry point.

    Attributes:
        package: the name and version of the package it comes with.
        value: what it leads to; None when that cannot be had.
        problem: why it cannot be used, or None.
    """

    group: str
    name: str
    package: str
    value: Any = None
    problem: str | None = None


class Plugins:
    """The plug-ins that there are.

    Args:
        found: as `discovered` finds them.
        settings: what the configuration says of them, by name.

    Raises:
        ConfigurationError: (code `invalid-configuration`) the configuration has settings for one that is not there.
    """

    def __init__(self, found: tuple[Plugin, ...], settings: Settings | None = None) -> None:
        self._settings = settings or {}
        names = {plugin.name for plugin in found}
        for name in self._settings:
            if name not in names:
                message = f"plugins.{name}: no installed package brings a plug-in of this name"
                raise ConfigurationError(message, hint=f"there {_listed(names)}")
        self.all = tuple(self._checked(plugin) for plugin in found)

    def register(self, registries: Registries) -> None:
        """Register the tasks and rules among them, but for those whose names are taken."""
        for plugin in self._usable(TASKS):
            if isinstance(plugin.value, ModuleType):
                registries.collect(plugin.value)
            elif inspect.isroutine(plugin.value) and plugin.name not in registries.tasks.names():
                registries.tasks.register(plugin.value, plugin.name)

    @property
    def broken(self) -> Mapping[str, Plugin]:
        """Those that cannot be used and bring step types, by name."""
        return {each.name: each for each in self.all if each.problem is not None and each.group == TASKS}

    def handlers(self) -> dict[str, TaskHandler]:
        """A new handler for each step type that is brought by a class or an object."""
        made: dict[str, TaskHandler] = {}
        for plugin in self._usable(TASKS):
            if not isinstance(plugin.value, ModuleType) and not inspect.isroutine(plugin.value):
                handler = cast("TaskHandler", self._made(plugin))
                schema = config_schema(plugin)
                made[plugin.name] = handler if schema is None else CheckedHandler(handler, schema)
        return made

    def schemas(self) -> dict[str, Mapping[str, Any]]:
        """The JSON Schemas of the settings of steps, by type, as far as they are declared."""
        found = ((each.name, config_schema(each)) for each in self._usable(TASKS))
        return {name: schema for name, schema in found if schema is not None}

    def notifiers(self) -> dict[str, Notifier]:
        """A new notifier for each scheme of a channel's URL."""
        return {each.name: cast("Notifier", self._made(each)) for each in self._usable(NOTIFIERS)}

    def secrets(self) -> list[SecretSource]:
        """New sources of secrets, in order of their names."""
        return [cast("SecretSource", self._made(each)) for each in self._usable(SECRETS)]

    def stores(self) -> dict[str, Callable[[str], Store]]:
        """What makes a store of its URL, by the URL's scheme."""
        return {each.name: each.value for each in self._usable(STORES)}

    def dispatchers(self) -> dict[str, TaskHandler]:
        """Who has the steps of a queue done, whatever their type, by the queue's name."""
        return {each.name: cast("TaskHandler", self._made(each)) for each in self._usable(DISPATCHERS)}

    def _usable(self, group: str) -> Iterator[Plugin]:
        return (each for each in self.all if each.group == group and each.problem is None)

    def _checked(self, plugin: Plugin) -> Plugin:
        """The plug-in, with what is wrong about it or its settings."""
        settings = self._settings.get(plugin.name, {})
        if plugin.problem is not None:
            return plugin
        if settings is False:
            return plugin._replace(problem="it is switched off in the configuration")
        problem = _problem(plugin) or _settings_problem(plugin, settings)
        if problem is None and plugin.group != STORES and inspect.isclass(plugin.value):
            problem = self._refusal(plugin)
        return plugin if problem is None else plugin._replace(problem=problem)

    def _refusal(self, plugin: Plugin) -> str | None:
        """Why no object can be made of it."""
        try:
            self._made(plugin)
        except Exception as error:  # whatever it does is its author's to mend
            return f"it cannot be made: {type(error).__name__}: {error}"
        return None

    def _made(self, plugin: Plugin) -> object:
        """The object itself, or a new one of the class; with its settings when there are any."""
        if not inspect.isclass(plugin.value):
            return plugin.value
        settings = self._settings.get(plugin.name)
        make = cast("Callable[..., object]", plugin.value)
        return make(settings) if settings else make()


def plugins_of(settings: Settings) -> Plugins:
    """What is installed, with the settings of the configuration.

    Raises:
        ConfigurationError: see `Plugins`.
    """
    return Plugins(discovered(), settings)


def config_schema(plugin: Plugin) -> Mapping[str, Any] | None:
    """The JSON Schema that a step type declares for the settings of its steps: its attribute `config_schema`."""
    return getattr(plugin.value, "config_schema", None)


@functools.cache
def discovered() -> tuple[Plugin, ...]:
    """Every plug-in that is installed, in order of group and name; those that cannot be imported with the reason."""
    every = importlib.metadata.entry_points()  # at once: each call reads what every installed package says
    entries = [entry for group in GROUPS for entry in every.select(group=group)]
    entries.sort(key=lambda entry: (entry.group, entry.name, _package(entry)))
    return tuple(_without_second([_loaded(entry) for entry in entries]))


def _loaded(entry: importlib.metadata.EntryPoint) -> Plugin:
    found = Plugin(entry.group, entry.name, _package(entry))
    try:
        return found._replace(value=entry.load())
    except Exception as error:  # whatever it does when it is imported is its author's to mend
        return found._replace(problem=f"it cannot be imported: {type(error).__name__}: {error}")


def _package(entry: importlib.metadata.EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "an unknown package"


def _without_second(found: list[Plugin]) -> Iterator[Plugin]:
    """Of two with the same name the first is used, and the other one says so."""
    first: dict[tuple[str, str], Plugin] = {}
    for plugin in found:
        earlier = first.setdefault((plugin.group, plugin.name), plugin)
        taken = plugin.problem is None and earlier is not plugin
        yield plugin._replace(problem=f"{earlier.package} brings the same name") if taken else plugin


def _problem(plugin: Plugin) -> str | None:
    """What is wrong with what the entry point leads to."""
    value = plugin.value
    if plugin.group == TASKS and plugin.name in LEAF_TYPES | CONTROL_TYPES:
        return f"{plugin.name!r} is a built-in step type"
    if plugin.group == STORES:
        return None if callable(value) else "expected something that makes a store of a URL"
    if plugin.group == TASKS and (isinstance(value, ModuleType) or inspect.isroutine(value)):
        return None
    method = GROUPS[plugin.group]
    if not callable(getattr(value, method, None)):
        also = ", a module or a function" if plugin.group == TASKS else ""
        return f"expected a class or an object with a method `{method}`{also}; saw {type(value).__name__}"
    return _schema_problem(config_schema(plugin), "config_schema")


def _settings_problem(plugin: Plugin, settings: Any) -> str | None:
    """What is wrong with what the configuration says of it."""
    schema = getattr(plugin.value, "settings_schema", None)
    if schema is None:
        return "the configuration has settings for it, and it takes none" if settings else None
    problem = _schema_problem(schema, "settings_schema")
    if problem is not None:
        return problem
    import jsonschema_rs

    errors = jsonschema_rs.validator_for(dict(schema)).iter_errors(settings)
    wrong = sorted({".".join(str(part) for part in ("plugins", plugin.name, *error.instance_path)) for error in errors})
    return f"its settings are wrong: {', '.join(wrong)}" if wrong else None


def _schema_problem(schema: Any, attribute: str) -> str | None:
    if schema is None:
        return None
    import jsonschema_rs

    try:
        jsonschema_rs.validator_for(dict(schema))
    except (ValueError, TypeError) as error:
        return f"its `{attribute}` is no JSON Schema: {str(error).splitlines()[0]}"
    return None


def _listed(names: set[str]) -> str:
    return f"are {', '.join(sorted(names))}" if names else "are none"
