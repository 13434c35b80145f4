"""The handlers of all built-in step types and registered tasks, put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from stepwell.base.errors import ConfigurationError
from stepwell.definition.model import CONTROL_TYPES, LEAF_TYPES
from stepwell.ports import ServiceRegistry, TaskContext, TaskHandler, TaskResult
from stepwell.tasks.python import PythonHandler, TaskFunctionHandler
from stepwell.tasks.registry import RuleRegistry, TaskRegistry
from stepwell.tasks.rules import BUILT_IN
from stepwell.tasks.transform import TransformHandler

if TYPE_CHECKING:
    from stepwell.tasks.client import HttpClient


class DeferredHandler(TaskHandler):
    """A handler that is made when it is first used: its libraries take long to import."""

    def __init__(self, make: Callable[[], TaskHandler]) -> None:
        self._make = make
        self._handler: TaskHandler | None = None

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """As the handler does."""
        if self._handler is None:
            self._handler = self._make()
        return await self._handler.run(config, context)

    async def close(self) -> None:
        if self._handler is not None:
            await self._handler.close()


def builtin_handlers(
    services: ServiceRegistry, tasks: TaskRegistry, rules: RuleRegistry, *, allow_private: bool = True
) -> dict[str, TaskHandler]:
    """A handler for each built-in step type that a worker does, and for each registered task under its name.

    Args:
        allow_private: whether HTTP requests may go to loopback and private networks.

    Raises:
        ConfigurationError: (code `duplicate-name`) a task or a rule has the name of a built-in one.
    """
    _check_names(tasks, rules)

    @cache
    def client() -> HttpClient:
        from stepwell.tasks.client import HttpClient

        return HttpClient(allow_private=allow_private)

    def http() -> TaskHandler:
        from stepwell.tasks.http import HttpHandler

        return HttpHandler(client())

    def service_call() -> TaskHandler:
        from stepwell.tasks.service_call import ServiceCallHandler

        return ServiceCallHandler(services, client())

    def validation() -> TaskHandler:
        from stepwell.tasks.validation import ValidationHandler

        return ValidationHandler(rules, services, client())

    return {
        "http": DeferredHandler(http),
        "service_call": DeferredHandler(service_call),
        "validation": DeferredHandler(validation),
        "python": PythonHandler(tasks),
        "transform": TransformHandler(),
        **{name: TaskFunctionHandler(tasks.get(name)) for name in tasks.names()},
    }


def rule_names(rules: RuleRegistry) -> frozenset[str]:
    """The rules that a validation step may name without a service."""
    return frozenset({*BUILT_IN, *rules.names()})


def _check_names(tasks: TaskRegistry, rules: RuleRegistry) -> None:
    for name in tasks.names():
        if name in LEAF_TYPES or name in CONTROL_TYPES:
            message = f"a task cannot be called {name!r}: that is a built-in step type"
            raise ConfigurationError(message, code="duplicate-name")
    for name in rules.names():
        if name in BUILT_IN:
            message = f"a rule cannot be called {name!r}: that is a built-in rule"
            raise ConfigurationError(message, code="duplicate-name")
