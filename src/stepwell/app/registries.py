"""The Python functions that one engine knows, and importing the modules that hold them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from stepwell.base.errors import ConfigurationError
from stepwell.tasks.registry import RuleRegistry, TaskRegistry


class Registries:
    """Tasks and validation rules."""

    def __init__(self, tasks: Iterable[Callable[..., Any]] = (), modules: Iterable[ModuleType] = ()) -> None:
        self.tasks = TaskRegistry()
        self.rules = RuleRegistry()
        for function in tasks:
            self.tasks.register(function)
        for module in modules:
            self.collect(module)

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
