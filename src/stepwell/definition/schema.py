"""The JSON Schema (2020-12) of native documents, for editors. Made from the models that documents are read into."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from stepwell.definition.building_bodies import DEFAULT_TYPE
from stepwell.definition.document import StepDoc, UndoDoc, WorkflowDoc
from stepwell.definition.settings import SETTINGS
from stepwell.definition.shapes import Doc

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = "#/$defs/"


def workflow_schema() -> dict[str, Any]:
    """The schema. What an editor cannot know (names, edges, expressions) is left to `stepwell validate`."""
    models: list[type[Doc]] = [WorkflowDoc, *SETTINGS.values()]
    _, made = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCE + "{model}")
    definitions: dict[str, Any] = made["$defs"]
    for model in (StepDoc, UndoDoc):
        _add_settings(definitions[model.__name__])
    root = definitions.pop(WorkflowDoc.__name__)
    schema = {"$schema": _DIALECT, **root, "title": "stepwell workflow", "$defs": definitions}
    _tidy(schema)
    return schema


def _add_settings(step: dict[str, Any]) -> None:
    """Let the settings depend on the type."""
    step["properties"]["type"] = {
        "description": step["properties"]["type"]["description"],
        "default": DEFAULT_TYPE,
        "anyOf": [{"enum": sorted(SETTINGS)}, {"type": "string"}, {"type": "null"}],
    }
    step["allOf"] = [_settings_of(kind, model.__name__) for kind, model in SETTINGS.items()]


def _settings_of(kind: str, model: str) -> dict[str, Any]:
    condition: dict[str, Any] = {"properties": {"type": {"const": kind}}, "required": ["type"]}
    if kind == DEFAULT_TYPE:
        condition = {"properties": {"type": {"enum": [kind, None]}}}
    settings = {"anyOf": [{"$ref": _REFERENCE + model}, {"type": "null"}]}
    return {"if": condition, "then": {"properties": {"config": settings, "with": settings}}}


def _tidy(value: Any) -> None:
    """Take out what says nothing to a user: titles made from names in the code, and `default: null`."""
    for part in value if isinstance(value, list) else ():
        _tidy(part)
    if not isinstance(value, dict):
        return
    for name, part in value.get("properties", {}).items():
        if part.get("default", ...) is None:
            del part["default"]
        if str(part.get("title", "")).lower().replace(" ", "_").strip("_") == name.lower():
            del part["title"]
    if str(value.get("title", "")).endswith(("Doc", "Settings")):
        del value["title"]
    if "patternProperties" in value:
        _name_keys(value)
    for part in value.values():
        _tidy(part)


def _name_keys(mapping: dict[str, Any]) -> None:
    """Refuse keys that are no names, where pydantic only says what belongs under those that are."""
    ((pattern, part),) = mapping.pop("patternProperties").items()
    mapping["propertyNames"] = {**mapping.get("propertyNames", {}), "pattern": pattern}
    mapping["additionalProperties"] = part
