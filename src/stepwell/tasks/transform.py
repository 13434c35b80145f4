"""`transform {value}`: a step whose result is a rendered value."""

from __future__ import annotations

from typing import Any

from stepwell.base.values import Sealed, SecretRef, SecretText, transform_leaves
from stepwell.ports.work import TaskContext, TaskHandler, TaskResult
from stepwell.tasks.settings import invalid_config


class TransformHandler(TaskHandler):
    """Returns `value` as it was rendered.

    What is secret in it stays secret, however short it is: so the sealed configuration is passed on, not the opened
    one.
    """

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Return the value.

        Raises:
            TaskError: (type `invalid_config`) there is no `value`, or something beside it.
        """
        if not isinstance(config, dict) or config.keys() != {"value"}:
            raise invalid_config("transform", "it takes one key, 'value'")

        def kept(leaf: Any) -> Any:
            return Sealed(context.open(leaf)) if isinstance(leaf, (Sealed, SecretRef, SecretText)) else leaf

        return TaskResult(transform_leaves(context.assignment.config["value"], kept))
