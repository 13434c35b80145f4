"""Step types that reach into the machine: there only when the operator's configuration gives them something to use.

A definition can name a program, a database or a folder only where the configuration has one; what has none is refused
when the definition is validated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from stepwell.app.configuration import Configuration
from stepwell.app.registries import Registries
from stepwell.base.errors import ConfigurationError
from stepwell.expression.errors import ExpressionError, ExpressionSyntaxError
from stepwell.expression.scope import Scope
from stepwell.expression.template import compile_template
from stepwell.policy.process_limits import ShellLimits
from stepwell.ports.models import ModelProvider
from stepwell.ports.work import TaskHandler
from stepwell.tasks.builtin import DeferredHandler
from stepwell.tasks.file_names import DEFAULT_ROOT

NEEDED: Final[Mapping[str, str]] = {
    "shell": "`shell: {}`, with the limits of programs",
    "sql": "`databases: {NAME: URL}`",
    "file": "`files: {directory: PATH}` or `files: {roots: {NAME: PATH}}`",
}
"""What the configuration must have for steps of these types, by type."""


def capable_handlers(configuration: Configuration) -> dict[str, TaskHandler]:
    """A handler for each of these types that the configuration allows.

    Raises:
        ConfigurationError: an expression in it is wrong or reads anything but secrets.
    """
    handlers: dict[str, TaskHandler] = {}
    if configuration.shell is not None:
        handlers["shell"] = DeferredHandler(lambda: _shell(configuration))
    if configuration.databases:
        databases = _urls("databases", configuration.databases)
        handlers["sql"] = DeferredHandler(lambda: _sql(databases))
    if roots := roots_of(configuration):
        handlers["file"] = DeferredHandler(lambda: _file(roots))
    return handlers


def roots_of(configuration: Configuration) -> dict[str, Any]:
    """The folders that steps may work in, by name.

    Raises:
        ConfigurationError: an expression in it is wrong or reads anything but secrets.
    """
    roots = _urls("files.roots", configuration.files.roots)
    if configuration.files.directory is not None:
        roots.setdefault(DEFAULT_ROOT, configuration.files.directory)
    return roots


def models_of(
    configuration: Configuration, registries: Registries, open_secrets: Callable[[Any], Any]
) -> ModelProvider | None:
    """Who asks the configured language models; None when there are none.

    Args:
        open_secrets: gives a value with all that is secret in it opened.

    Raises:
        ConfigurationError: an expression in it is wrong or reads anything but secrets.
    """
    section = configuration.ai
    if section is None:
        return None
    from stepwell.tasks.pydantic_ai_models import AiLimits, ModelChoice, PydanticAiModels

    written = {name: each.api_key for name, each in section.models.items() if each.api_key is not None}
    keys = _urls("ai.models", written)
    choices = {
        name: ModelChoice(model=each.model, api_key=keys.get(name), base_url=each.base_url)
        for name, each in section.models.items()
    }
    limits = AiLimits(**section.limits.model_dump())
    tasks = registries.tasks
    return PydanticAiModels(
        choices,
        section.asked,
        limits,
        lambda: {name: tasks.get(name).function for name in tasks.names()},
        open_secrets,
    )


def _urls(section: str, written: Mapping[str, str]) -> dict[str, Any]:
    """The URLs by name; `{{ secrets.NAME }}` in them is left for the worker to look up."""
    found: dict[str, Any] = {}
    for name, url in written.items():
        try:
            found[name] = compile_template(url).render(Scope({}))
        except (ExpressionError, ExpressionSyntaxError):
            message = f"{section}.{name}: the expression in it cannot be used"
            raise ConfigurationError(message, hint="only {{ secrets.NAME }} may be used here") from None
    return found


def _shell(configuration: Configuration) -> TaskHandler:
    from stepwell.tasks.shell import ShellHandler

    section = configuration.shell
    assert section is not None, "there is a handler only when there is a section"
    directory = Path(section.directory).expanduser() if section.directory is not None else None
    return ShellHandler(ShellLimits(**section.model_dump(exclude={"directory"})), directory)


def _sql(databases: Mapping[str, Any]) -> TaskHandler:
    from stepwell.tasks.sql import SqlHandler

    return SqlHandler(databases)


def _file(roots: Mapping[str, Any]) -> TaskHandler:
    from stepwell.tasks.file import FileHandler

    return FileHandler(roots)
