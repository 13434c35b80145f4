"""The small parts that document models are made of: durations, names, choices of shape, and "or an expression".

Models describe a document as it is written. What pydantic finds wrong is put into our own words in `reading`; errors
raised here carry a code of `codes` already.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    Tag,
    TypeAdapter,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from stepwell.base.durations import parse_duration
from stepwell.definition.text import shortened

NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]*$"
"""Steps and variables: what an expression can write after a dot."""

WORKFLOW_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_.-]*$"
MAX_NAME = 200
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,199}")

T = TypeVar("T")

_SEMVER = re.compile(
    r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?"
    r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)


class Doc(BaseModel):
    """A mapping of a document. Keys that are not named are findings; nothing is converted (`"3"` is not 3)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    def given(self, *names: str) -> tuple[str, ...]:
        """Those of the fields `names` that the document gives a value other than null."""
        return tuple(name for name in names if getattr(self, name) is not None)


def optional(description: str, **more: Any) -> Any:
    """An optional key; null means the same as leaving it out."""
    return Field(default=None, description=description, **more)


def required(description: str, **more: Any) -> Any:
    """A key that must be there."""
    return Field(description=description, **more)


def is_expression(value: object) -> bool:
    """Whether `value` is a text with an expression in it, which may stand in place of a typed value."""
    return isinstance(value, str) and "{{" in value


def is_certain(when: object) -> bool:
    """Whether a condition, as it is written, always holds."""
    if isinstance(when, str):
        return when.strip().removeprefix("{{").removesuffix("}}").strip() in ("true", "True")
    return when is True


class OrExpression:
    """Marks a type whose place may be taken by a text with `{{ ... }}` in it; what it yields is checked when run."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        def accept(value: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            return value if is_expression(value) else inner(value)

        return core_schema.no_info_wrap_validator_function(accept, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"type": "string", "pattern": r"\{\{", "title": "Expression"}]}


if TYPE_CHECKING:
    Apart = Annotated[T, ...]
else:

    class Apart:
        """`Apart[X]`: a part that is read by itself later. Nothing is built for it here, until the schema is asked for.

        Otherwise the models of all its parts would be built with each model around it: three times over for a step,
        which takes longer than reading a small document.
        """

        def __class_getitem__(cls, part: Any) -> Any:
            return Annotated[part, cls()]

        def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
            def describe(schema: CoreSchema, inner: GetJsonSchemaHandler) -> JsonSchemaValue:
                return inner(TypeAdapter(source).core_schema)

            return core_schema.any_schema(metadata={"pydantic_js_annotation_functions": [describe]})


# Durations


def _duration(value: Any) -> int:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise wrong("bad-duration", str(error)) from None


def _positive_duration(value: Any) -> int:
    duration = _duration(value)
    if duration == 0:
        raise wrong("bad-duration", "must be longer than zero")
    return duration


_DURATION_SCHEMA = WithJsonSchema({
    "title": "Duration",
    "description": "Seconds, or a text such as 30s, 5m, 1h30m, 500ms, 7d, PT5M.",
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^\\s*[0-9P]"}],
})  # fmt: skip

Duration = Annotated[int, PlainValidator(_duration), _DURATION_SCHEMA]
"""Microseconds once read; zero is allowed."""

Timeout = Annotated[int, PlainValidator(_positive_duration), _DURATION_SCHEMA]
"""Microseconds once read; more than zero."""

DurationOrExpression = Annotated[Duration, OrExpression()]
TimeoutOrExpression = Annotated[Timeout, OrExpression()]


# Numbers and words

Count = Annotated[int, Field(ge=1)]
CountOrExpression = Annotated[int, Field(ge=1), OrExpression()]
BoolOrExpression = Annotated[bool, OrExpression()]
MappingOrExpression = Annotated[dict[str, Any], OrExpression()]
ListOrExpression = Annotated[list[Any], OrExpression()]
Priority = Annotated[Literal["low", "normal", "high", "urgent"], OrExpression()]

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=MAX_NAME)]
WorkflowName = Annotated[str, Field(pattern=WORKFLOW_NAME_PATTERN, max_length=MAX_NAME)]
Variables = dict[Name, Any]


def _version(value: Any) -> str:
    if isinstance(value, str) and len(value) <= MAX_NAME and _SEMVER.fullmatch(value):
        return value
    shown = shortened(repr(value))
    problem = f"{shown} is not a semantic version (three numbers: MAJOR.MINOR.PATCH)"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        problem = f"the number {shown} is not a semantic version (a text of three numbers: MAJOR.MINOR.PATCH)"
    suggested = _suggested_version(str(value))
    raise wrong("bad-version", problem, f'for instance "{suggested}"')


def _suggested_version(text: str) -> str:
    numbers = re.findall(r"(?<![0-9])[0-9]{1,9}(?![0-9])", text[:MAX_NAME])[:3]
    return ".".join(str(int(number)) for number in numbers + ["0"] * (3 - len(numbers))) if numbers else "1.0.0"


Version = Annotated[
    str,
    PlainValidator(_version),
    WithJsonSchema({"type": "string", "pattern": f"^{_SEMVER.pattern}$", "title": "Semantic version"}),
]

_CPU = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?|[0-9]{1,9}m")
_MEMORY = re.compile(r"[0-9]{1,15}(\.[0-9]{1,3})?(k|M|G|T|Ki|Mi|Gi|Ti)?")


def _quantity(pattern: re.Pattern[str], examples: str) -> Any:
    def check(value: Any) -> str | int | float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
        if number or (isinstance(value, str) and pattern.fullmatch(value)):
            return value  # type: ignore[no-any-return]
        problem = f"{shortened(str(value))!r} is not an amount; expected {examples}"
        raise wrong("bad-quantity", problem)

    schema = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": f"^({pattern.pattern})$"}]}
    return Annotated[Any, PlainValidator(check), WithJsonSchema(schema)]


CpuQuantity = _quantity(_CPU, "a number of processors such as 2, 0.5 or 500m")
MemoryQuantity = _quantity(_MEMORY, "a number of bytes such as 512Mi, 2Gi or 1000000")


_UNITS = {"m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def amount(quantity: str | float) -> float:
    """How many processors or bytes a quantity of a document is."""
    if not isinstance(quantity, str):
        return quantity
    digits = quantity.rstrip("mkKMGTi")
    return float(digits) * _UNITS.get(quantity[len(digits) :], 1.0)


# One of several shapes

TEXT, LIST, FLAG, NUMBER = "<text>", "<list>", "<flag>", "<number>"
"""Tags of shapes; a shape that is a model is tagged with the model's name in angle brackets. No key looks like that."""


def shape_tag(model: type[Doc]) -> str:
    """The tag that stands for `model` in the location of an error."""
    return f"<{model.__name__}>"


def shapes(expected: str, **tags: str) -> Discriminator:
    """Chooses between shapes by what a value is.

    Args:
        expected: for the message when it is none of them.
        tags: by kind of value (`text`, `list`, `mapping`, `number`, `boolean`) the tag of the shape.
    """

    def choose(value: Any) -> str | None:
        return tags.get(_kind(value))

    return Discriminator(choose, custom_error_type="wrong-shape", custom_error_message=expected)


def _kind(value: Any) -> str:
    match value:
        case str():
            return "text"
        case list():
            return "list"
        case dict() | BaseModel():
            return "mapping"
        case bool():
            return "boolean"
        case int():
            return "number"
        case _:
            return "other"


Text = Annotated[str, Tag(TEXT)]
Names = Annotated[Text | Annotated[list[str], Tag(LIST)], shapes("a name or a list of names", text=TEXT, list=LIST)]


def as_names(value: str | list[str] | None) -> tuple[str, ...]:
    """The names in a value of type `Names`."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def upper_case_hint(*allowed: str) -> BeforeValidator:
    """Explains that a word of `allowed` is written in capitals."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and value not in allowed and value.upper() in allowed:
            problem = f"{value!r} is written in capitals"
            raise wrong("wrong-value", problem, f"write {value.upper()}")
        return value

    return BeforeValidator(check)


def wrong(code: str, problem: str, hint: str | None = None) -> PydanticCustomError:
    """An error of pydantic that carries one of our codes and our own words."""
    context = {"problem": problem} if hint is None else {"problem": problem, "hint": hint}
    return PydanticCustomError(code, "{problem}", context)
