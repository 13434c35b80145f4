"""The handlers of all built-in step types and registered tasks, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stepwell.base.errors import ConfigurationError
from stepwell.definition.model import CONTROL_TYPES, LEAF_TYPES
from stepwell.ports.models import ModelProvider
from stepwell.ports.notices import Notifier
from stepwell.ports.services import ServiceRegistry
from stepwell.ports.work import TaskContext, TaskHandler, TaskResult
from stepwell.tasks.addresses import AddressGuard
from stepwell.tasks.input import InputHandler
from stepwell.tasks.offline_model import OfflineModel
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


BUILTIN_TYPES: Final = frozenset({
    "http", "service_call", "validation", "notify", "process", "ai", "output", "python", "transform", "input",
})  # fmt: skip
"""The step types that a worker does anywhere; others need something of the configuration."""


def builtin_types(tasks: TaskRegistry, rules: RuleRegistry) -> set[str]:
    """The types that `builtin_handlers` has handlers for.

    Raises:
        ConfigurationError: (code `duplicate-name`) a task or a rule has the name of a built-in one.
    """
    _check_names(tasks, rules)
    return {*BUILTIN_TYPES, *tasks.names()}


def builtin_handlers(
    services: ServiceRegistry,
    tasks: TaskRegistry,
    rules: RuleRegistry,
    *,
    guard: AddressGuard | None = None,
    channels: Mapping[str, Any] | None = None,
    notifiers: Mapping[str, Notifier] | None = None,
    models: ModelProvider | None = None,
    directory: Path | None = None,
) -> dict[str, TaskHandler]:
    """A handler for each built-in step type that a worker does, and for each registered task under its name.

    Args:
        guard: says where steps may connect to. What is configured, such as a service, may be on a private network.
        channels: the URLs of the channels for notifications, by name; may be `SecretText` and `SecretRef`.
        notifiers: who delivers over channels with URLs of a scheme, beside the built-in ones.
        models: who is asked by steps of type `ai`; a stand-in that works offline when None.
        directory: where steps may write files; None for nowhere.

    Raises:
        ConfigurationError: (code `duplicate-name`) a task or a rule has the name of a built-in one.
    """
    _check_names(tasks, rules)

    guard = guard or AddressGuard()

    @cache
    def client_with(guard: AddressGuard) -> HttpClient:
        from stepwell.tasks.client import HttpClient

        return HttpClient(guard)

    client, trusting = partial(client_with, guard), partial(client_with, guard.for_configured())

    deferred: dict[str, Callable[[], TaskHandler]] = {
        "http": lambda: _http(client),
        "service_call": lambda: _service_call(services, trusting),
        "validation": lambda: _validation(rules, services, trusting),
        "notify": lambda: _notify(channels or {}, notifiers or {}, trusting),
        "process": _process,
        "ai": lambda: _ai(models or OfflineModel()),
        "output": lambda: _output(client, directory),
    }
    return {
        **{name: DeferredHandler(make) for name, make in deferred.items()},
        "python": PythonHandler(tasks),
        "transform": TransformHandler(),
        "input": InputHandler(),
        **{name: TaskFunctionHandler(tasks.get(name)) for name in tasks.names()},
    }


def _http(client: Callable[[], HttpClient]) -> TaskHandler:
    from stepwell.tasks.http import HttpHandler

    return HttpHandler(client())


def _service_call(services: ServiceRegistry, client: Callable[[], HttpClient]) -> TaskHandler:
    from stepwell.tasks.service_call import ServiceCallHandler

    return ServiceCallHandler(services, client())


def _validation(rules: RuleRegistry, services: ServiceRegistry, client: Callable[[], HttpClient]) -> TaskHandler:
    from stepwell.tasks.validation import ValidationHandler

    return ValidationHandler(rules, services, client())


def _notify(
    channels: Mapping[str, Any], notifiers: Mapping[str, Notifier], client: Callable[[], HttpClient]
) -> TaskHandler:
    from stepwell.tasks.notifiers import LogNotifier, WebhookNotifier
    from stepwell.tasks.notify import NotifyHandler
    from stepwell.tasks.notify_apprise import AppriseNotifier

    webhook = WebhookNotifier(client)
    known = {"log": LogNotifier(), "json": webhook, "jsons": webhook, **notifiers}
    return NotifyHandler(channels, known, AppriseNotifier())


def _process() -> TaskHandler:
    from stepwell.tasks.process import ProcessHandler

    return ProcessHandler()


def _ai(models: ModelProvider) -> TaskHandler:
    from stepwell.tasks.ai import AiHandler

    return AiHandler(models)


def _output(client: Callable[[], HttpClient], directory: Path | None) -> TaskHandler:
    from stepwell.tasks.output import OutputHandler

    return OutputHandler(client, directory)


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
