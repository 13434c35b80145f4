"""Step types that plug-ins bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult

if TYPE_CHECKING:
    import jsonschema_rs


class CheckedHandler(TaskHandler):
    """A plug-in's handler, given only settings that satisfy the schema it declares.

    Args:
        schema: a JSON Schema 2020-12 of the rendered settings.
    """

    def __init__(self, handler: TaskHandler, schema: Mapping[str, Any]) -> None:
        import jsonschema_rs  # no installed package may bring a schema

        self._handler = handler
        self._validator = jsonschema_rs.validator_for(dict(schema), validate_formats=True)

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """As the handler does.

        Raises:
            TaskError: (type `invalid_config`) the settings are wrong; it is not tried again.
        """
        problems = [_words(error) for error in self._validator.iter_errors(config)]
        if problems:
            raise TaskError("invalid_config", f"the settings of the step are wrong: {'; '.join(problems[:5])}")
        return await self._handler.run(config, context)

    async def close(self) -> None:
        if hasattr(self._handler, "close"):  # it need have no more than `run`
            await self._handler.close()


def _words(error: jsonschema_rs.ValidationError) -> str:
    """Where, and what was expected. The value is not repeated: it may be a secret."""
    where = ".".join(str(part) for part in error.instance_path)
    wanted = f"it does not satisfy `{'.'.join(str(part) for part in error.schema_path)}`"
    return f"{where}: {wanted}" if where else wanted
