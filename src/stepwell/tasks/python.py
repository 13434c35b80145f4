"""Steps that call registered Python functions: `python {task, args}`, and a task's own name as a step type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult
from stepwell.tasks.registry import TaskFunction, TaskRegistry
from stepwell.tasks.settings import read_settings


class _PythonSettings(msgspec.Struct, forbid_unknown_fields=True):
    task: str
    args: dict[str, Any] | None = None
    available: dict[str, Any] | None = None


class PythonHandler(TaskHandler):
    """`python {task: NAME, args: {...}, available: {...}}`.

    Of what is `available`, the task takes what has the name of one of its parameters; `args` win.
    """

    def __init__(self, tasks: TaskRegistry) -> None:
        self._tasks = tasks

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Call the task; the result is what it returns.

        Raises:
            NotFound: (code `unknown-task`). TaskError: (type `invalid_config`, `invalid_arguments`).
            Exception: whatever the function raises.
        """
        function, arguments = self.chosen(config)
        return TaskResult(await function.call(arguments, context))

    def chosen(self, config: Any) -> tuple[TaskFunction, Mapping[str, Any]]:
        """The function that a configuration names, and its arguments, not yet checked.

        Raises:
            NotFound: (code `unknown-task`). TaskError: (type `invalid_config`).
        """
        settings = read_settings(config, _PythonSettings, "python")
        function = self._tasks.get(settings.task)
        arguments = settings.args or {}
        if settings.available:
            arguments = {**function.signature.taken_from(settings.available), **arguments}
        return function, arguments


class TaskFunctionHandler(TaskHandler):
    """`type: NAME` of a registered task: the whole configuration is its arguments."""

    def __init__(self, function: TaskFunction) -> None:
        self._function = function

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Call the task; the result is what it returns.

        Raises:
            TaskError: (type `invalid_arguments`). Exception: whatever the function raises.
        """
        function, arguments = self.chosen(config)
        return TaskResult(await function.call(arguments, context))

    def chosen(self, config: Any) -> tuple[TaskFunction, Mapping[str, Any]]:
        """The function, and its arguments, not yet checked.

        Raises:
            TaskError: (type `invalid_arguments`).
        """
        if config is not None and not isinstance(config, dict):
            raise TaskError("invalid_arguments", f"{self._function.name!r} takes its arguments by name, in an object")
        return self._function, config or {}
