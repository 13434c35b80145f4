"""A step type: `type: slugify`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from stepwell import TaskContext, TaskHandler, TaskResult


class Slugify(TaskHandler):
    """Makes a text fit for an address: `Crème brûlée!` becomes `creme-brulee`.

    One object serves all steps, several at once.

    Args:
        settings: what the configuration says under `plugins.slugify`.
    """

    config_schema: Mapping[str, Any] = {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    }
    """Of the `config` of a step; checked by `stepwell validate`, and again when the expressions in it have values."""

    settings_schema: Mapping[str, Any] = {
        "type": "object",
        "properties": {"separator": {"type": "string", "minLength": 1, "maxLength": 1}},
        "additionalProperties": False,
    }
    """Of the settings in the configuration."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self._separator: str = (settings or {}).get("separator", "-")

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """The slug of `config["text"]`."""
        plain = unicodedata.normalize("NFKD", config["text"]).encode("ascii", "ignore").decode().lower()
        return TaskResult({"slug": self._separator.join(re.findall(r"[a-z0-9]+", plain))})
