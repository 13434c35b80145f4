"""The Python functions that one engine knows, and importing the modules that hold them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from stepwell.base.errors import ConfigurationError
from stepwell.ports.models import ModelProvider
from stepwell.ports.work import TaskHandler
from stepwell.tasks.executors import Executor, StepExecutorFactory, checked_executor, checked_name, handlers_of
from stepwell.tasks.registry import RuleRegistry, TaskRegistry

if TYPE_CHECKING:
    from stepwell.app.packs import Pack


class Registries:
    """Tasks, validation rules and executors.

    Attributes:
        packs: those that were read, by the folder that was named; see `stepwell.app.packs`.

    Args:
        tasks: functions to be registered.
        modules: whose marked functions are registered.
        executors: by the name of their type, beside those that `StepExecutorFactory` has at this moment.
        models: asks language models; the offline provider when None.

    Raises:
        ConfigurationError: (code `duplicate-name`, `invalid-executor`, ...) one of them is none, or has another's name.
    """

    def __init__(
        self,
        tasks: Iterable[Callable[..., Any]] = (),
        modules: Iterable[ModuleType] = (),
        executors: Mapping[str, Executor] | None = None,
        models: ModelProvider | None = None,
    ) -> None:
        self.tasks = TaskRegistry()
        self.rules = RuleRegistry()
        self.models = models
        self.packs: dict[str, list[Pack]] = {}
        self.executors = StepExecutorFactory.registered()
        for name, executor in (executors or {}).items():
            self.executors[checked_name(name)] = checked_executor(executor)
        for function in tasks:
            self.tasks.register(function)
        for module in modules:
            self.collect(module)

    def handlers_of_executors(self) -> dict[str, TaskHandler]:
        """A handler for each executor, by the name of its type.

        Raises:
            ConfigurationError: (code `duplicate-name`) a task has the name of one; (code `invalid-executor`) a class
                cannot be called without arguments.
        """
        for name in self.tasks.names():
            if name in self.executors:
                message = f"a task and an executor are both called {name!r}"
                raise ConfigurationError(message, code="duplicate-name", hint="give one of them another name")
        return handlers_of(self.executors)

    def collect(self, module: ModuleType) -> None:
        """Register every marked function of a module."""
        self.tasks.collect(module)
        self.rules.collect(module)


def import_module(name: str) -> ModuleType:
    """Import a module by its dotted name, or a `.py` file by its path; the current folder is searched too.

    Raises:
        ConfigurationError: code `import-failed`, with what went wrong.
    """
    try:
        if name.endswith(".py"):
            path = Path(name)
            if not path.is_file():
                raise ConfigurationError(f"there is no file {name}", code="import-failed")
            sys.path.insert(0, str(path.resolve().parent))
            return importlib.import_module(path.stem)
        if str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(name)
    except ConfigurationError:
        raise
    except Exception as error:  # whatever the module does when it is imported is its author's to mend
        raise ConfigurationError(
            f"the module {name!r} cannot be imported: {type(error).__name__}: {error}",
            code="import-failed",
            hint="give a dotted module name, or the path of a .py file",
        ) from None
