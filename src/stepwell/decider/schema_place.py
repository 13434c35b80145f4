"""What a JSON Schema says about the values at one place of a document.

The place is found by following a path into the document; what applies there is gathered from wherever the schema says
it: in properties and items, behind `$ref`, in the branches of `allOf`, `anyOf`, `if` and the like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from stepwell.base.patterns import compiled

Schema = Mapping[str, Any]

CERTAIN: Final = ("allOf",)
"""The keywords whose subschemas hold for a value whatever it is."""
POSSIBLE: Final = ("allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas")
"""The keywords whose subschemas may say something about it."""
_ANY_OTHER: Final = -1


class SchemaPlace:
    """All subschemas that apply to the values at one place.

    Attributes:
        schemas: the subschemas.
    """

    __slots__ = ("_combining", "_index", "_inner", "schemas")

    def __init__(self, schemas: list[Any], index: Mapping[str, Schema], combining: tuple[str, ...]) -> None:
        self._index = index
        self._combining = combining
        self._inner: dict[str | int, SchemaPlace] = {}
        self.schemas = list(self._applying(schemas))

    def at(self, part: str | int) -> SchemaPlace:
        """The place of a property, or of an item, of the values here."""
        key = self._key(part)
        place = self._inner.get(key) if key is not None else None
        if place is None:
            found = _items(self.schemas, part) if isinstance(part, int) else _properties(self.schemas, part)
            place = SchemaPlace(list(found), self._index, self._combining)
            if key is not None:
                self._inner[key] = place
        return place

    def _key(self, part: str | int) -> str | int | None:
        """Under what the place of this part is kept: one key for all about which the schema says the same, so that
        what is kept does not grow with the data; None when it is not kept."""
        if isinstance(part, int):
            return min(part, max((len(schema.get("prefixItems") or ()) for schema in self.schemas), default=0))
        if any(part in _mapping(schema, "properties") for schema in self.schemas):
            return part
        return None if any("patternProperties" in schema for schema in self.schemas) else _ANY_OTHER

    def _applying(self, schemas: list[Any]) -> Iterator[Schema]:
        waiting = schemas[::-1]
        seen = set[int]()
        while waiting:
            schema = waiting.pop()
            if not isinstance(schema, Mapping) or id(schema) in seen:
                continue
            seen.add(id(schema))
            yield schema
            references = [schema.get(keyword) for keyword in ("$ref", "$dynamicRef")]
            waiting += [self._index.get(unquote(each)) for each in references if isinstance(each, str)]
            for keyword in self._combining:
                waiting += _subschemas(schema.get(keyword), in_a_map=keyword == "dependentSchemas")


def schema_place(schema: Schema, combining: tuple[str, ...]) -> SchemaPlace:
    """The place of the whole document."""
    index: dict[str, Schema] = {}
    _note(schema, "#", index)
    return SchemaPlace([schema], index, combining)


def _note(schema: Any, pointer: str, index: dict[str, Schema]) -> None:
    """Note under which references every part of the schema can be found."""
    if isinstance(schema, Mapping):
        index[pointer] = schema
        for keyword, prefix in (("$id", ""), ("$anchor", "#"), ("$dynamicAnchor", "#")):
            if isinstance(schema.get(keyword), str):
                index.setdefault(prefix + schema[keyword], schema)
        for key, inner in schema.items():
            _note(inner, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}", index)
    elif isinstance(schema, list):
        for position, inner in enumerate(schema):
            _note(inner, f"{pointer}/{position}", index)


def _subschemas(value: Any, *, in_a_map: bool) -> list[Any]:
    if isinstance(value, list):
        return value
    if in_a_map:
        return list(value.values()) if isinstance(value, Mapping) else []
    return [value]


def _mapping(schema: Schema, keyword: str) -> Mapping[str, Any]:
    value = schema.get(keyword)
    return value if isinstance(value, Mapping) else {}


def _items(schemas: list[Schema], position: int) -> Iterator[Any]:
    for schema in schemas:
        first = schema.get("prefixItems")
        if isinstance(first, list) and position < len(first):
            yield first[position]
        else:
            yield from (schema.get("items"), schema.get("unevaluatedItems"))
        yield schema.get("contains")


def _properties(schemas: list[Schema], name: str) -> Iterator[Any]:
    for schema in schemas:
        named = [_mapping(schema, "properties").get(name)]
        named += [inner for pattern, inner in _mapping(schema, "patternProperties").items() if _fits(pattern, name)]
        yield from named
        if not any(inner is not None for inner in named):
            yield from (schema.get("additionalProperties"), schema.get("unevaluatedProperties"))


def _fits(pattern: str, name: str) -> bool:
    """Whether the name fits. A pattern that cannot be read here is taken to fit, so that no secret slips through."""
    readable = compiled(pattern)
    return readable is None or readable.search(name) is not None
