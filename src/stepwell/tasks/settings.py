"""Reading a step's configuration into the shape its type expects."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from stepwell.base.durations import SECOND, parse_duration
from stepwell.ports.work import TaskError

HTTP_TIMEOUT: Final = 30 * SECOND
"""For an HTTP request that says nothing about how long it may take."""

Settings = TypeVar("Settings", bound=msgspec.Struct)


def read_settings(config: Any, shape: type[Settings], step_type: str) -> Settings:
    """The rendered configuration as a struct of type `shape`.

    Raises:
        TaskError: (type `invalid_config`) a key is missing, unknown, or of the wrong type.
    """
    try:
        return msgspec.convert({} if config is None else config, shape)
    except msgspec.ValidationError as error:
        raise invalid_config(step_type, str(error).replace("`", "'").replace("$.", "")) from None


def read_timeout(value: Any, otherwise: int, step_type: str) -> int:
    """A duration of the configuration in microseconds; `otherwise` when there is none.

    Raises:
        TaskError: (type `invalid_config`) it is not a duration.
    """
    if value is None:
        return otherwise
    try:
        return parse_duration(value)
    except ValueError as error:
        raise invalid_config(step_type, f"timeout: {error}") from None


def merged(objects: list[Any], step_type: str) -> dict[str, Any]:
    """The fields of all objects of `data_from` together; later ones win.

    Raises:
        TaskError: (type `validation_error`) one of them is no object.
    """
    fields: dict[str, Any] = {}
    for position, each in enumerate(objects):
        if not isinstance(each, dict):
            message = f"the data of this {step_type} step cannot be put together: number {position + 1} is no object"
            raise TaskError("validation_error", message)
        fields.update(each)
    return fields


def invalid_config(step_type: str, reason: str) -> TaskError:
    """The error for a configuration that a step type cannot work with."""
    return TaskError("invalid_config", f"the configuration of this {step_type} step is wrong: {reason}")
