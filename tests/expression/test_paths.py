"""Names, fields and indices; what is missing, and what opts out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from stepwell.expression.errors import ExpressionError, UnavailableOutput, Undefined
from stepwell.expression.scope import Lookup
from tests.expression.rendering import evaluate, failed, holds

INPUT = {"user": {"name": "Ada", "tags": ["x", "y"], "profile": None}, "n": 5, "items": [1, 2, 3], "a-b": 1, "": 2}


class Steps(Lookup):
    """Two steps: one that completed, and one that did not run."""

    def __getitem__(self, name: str) -> Any:
        return {"done": Step({"id": "u1"}), "later": Step(None), "create-user": Step({"id": 2})}[name]

    def names(self) -> Iterable[str]:
        return ("done", "later", "create-user")


class Step(Lookup):
    def __init__(self, output: dict[str, object] | None) -> None:
        self._output = output

    def __getitem__(self, name: str) -> Any:
        if name == "completed":
            return self._output is not None
        if name == "output":
            if self._output is None:
                raise UnavailableOutput("steps.later.output is not there: the step has not run")
            return self._output
        raise KeyError(name)

    def names(self) -> Iterable[str]:
        return ("completed", "output")

    def as_data(self) -> object:
        return {"completed": self["completed"]}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("input.n", 5),
        ("input['n']", 5),
        ('input["user"].name', "Ada"),
        ("input.user.tags[1]", "y"),
        ("input.user.tags.1", "y"),
        ("input.user.tags[-1]", "y"),
        ("input.user['tags'][0]", "x"),
        ("input.user.name[0]", "A"),
        ("input[key]", 5),
        ("input.user.tags[i + 1]", "y"),
        ("input.items", [1, 2, 3]),
        ("input.items[1:]", [2, 3]),
        ("input.items[:-1]", [1, 2]),
        ("input.items[::2]", [1, 3]),
        ("input.items[::-1]", [3, 2, 1]),
        ("input.user.name[1:]", "da"),
        ("input['a-b']", 1),
        ("input['']", 2),
        ("steps.done.output.id", "u1"),
        ("steps['create-user'].output['id']", 2),
        ("steps[name].output.id", "u1"),
        ("steps.later.completed", False),
        ("steps.done", {"completed": True}),
        ("[steps.later]", [{"completed": False}]),
        ("(steps.done).output.id", "u1"),
        ("{'a': [1, 2]}.a[1]", 2),
        ("'abc'[1]", "b"),
    ],
)
def test_a_path_reaches_into_objects_lists_strings_and_records(expression: str, value: object) -> None:
    assert evaluate(expression, input=INPUT, steps=Steps(), key="n", i=0, name="done") == value


@pytest.mark.parametrize("key", ["items", "keys", "get", "copy", "pop", "__class__", "_private", "values"])
def test_a_field_with_the_name_of_a_method_is_a_field(key: str) -> None:
    assert evaluate(f"input.{key}", input={key: 1}) == 1
    assert failed(f"input.{key}", input={"other": 1}).code == "undefined-field"


@pytest.mark.parametrize(
    ("expression", "code", "message", "hint"),
    [
        ("inptu.n", "undefined-name", "inptu is not defined here", "did you mean 'input'?"),
        ("input.usr", "undefined-field", "input.usr is not defined", "did you mean 'user'?"),
        ("input.user.nmae", "undefined-field", "input.user.nmae is not defined", "did you mean 'name'?"),
        ("input.user['first name']", "undefined-field", "input.user['first name'] is not defined", "known: name"),
        ("input.items[7]", "undefined-index", "input.items[7] is not defined: input.items has 3 items", None),
        ("input.items[-4]", "undefined-index", "input.items[-4] is not defined", None),
        ("input.user.name[9]", "undefined-index", "has 3 characters", None),
        ("input.items.name", "undefined-field", "input.items is a list", "read by number"),
        ("input.user[0]", "undefined-index", "input.user is an object", "read by name"),
        ("input.user.profile.age", "undefined-field", "input.user.profile is null", None),
        ("input.n.value", "undefined-field", "input.n is a number", None),
        ("input.a.b", "undefined-field", "input.a is not defined", "['a-b']"),
        ("steps.don.output", "undefined-field", "steps.don is not defined", "did you mean 'done'?"),
        ("steps.create-user.output", "undefined-field", "steps.create is not defined", "['create-user']"),
        ("steps.done.outputs", "undefined-field", "steps.done.outputs is not defined", "did you mean 'output'?"),
        ("steps.done.output.idd", "undefined-field", "steps.done.output.idd is not defined", "did you mean 'id'?"),
        ("steps.later.output.id", "unavailable-output", "the step has not run", None),
        ("input[key].x", "undefined-field", "input[key].x is not defined", "known: name"),
        ("input.items[n].x", "undefined-field", "input.items[n].x is not defined: input.items[n] is a number", None),
        ("(input.items | first).x", "undefined-field", "(... | first).x is not defined", None),
        ("merge(input).zz", "undefined-field", "merge(...).zz is not defined", "known: "),
    ],
)
def test_what_is_missing_is_named_with_its_path_and_the_nearest_name(
    expression: str, code: str, message: str, hint: str | None
) -> None:
    error = failed(expression, input=INPUT, steps=Steps(), user={}, key="user", n=1)
    assert isinstance(error, Undefined)
    assert error.code == code
    assert message in error.message
    assert error.hint is None if hint is None else hint in str(error.hint)


def test_the_same_holds_for_conditions() -> None:
    with pytest.raises(Undefined, match=r"input\.flg is not defined"):
        holds("input.flg", input={"flag": True})


@pytest.mark.parametrize("index", ["1.5", "true", "null", "[1]"])
def test_an_index_is_a_string_or_a_whole_number(index: str) -> None:
    assert failed(f"input.items[{index}]", input=INPUT).code == "wrong-type"
    assert failed("input.items[i]", input=INPUT, i=True).code == "wrong-type"


@pytest.mark.parametrize(
    "missing",
    [
        "nothing",
        "input.x",
        "input.x.y.z",
        "input.items[9]",
        "input.user.profile.age",
        "steps.nope.output",
        "steps.later.output",
        "steps.later.output.id",
        "input.n.x",
        "first([])",
        "upper(input.x)",
    ],
)
def test_default_and_is_defined_opt_out(missing: str) -> None:
    roots = {"input": INPUT, "steps": Steps()}
    assert evaluate(f"{missing} | default('d')", **roots) == "d"
    assert evaluate(f"default({missing}, 'd')", **roots) == "d"
    assert evaluate(f"coalesce({missing}, null, input.n)", **roots) == 5
    assert evaluate(f"{missing} is defined", **roots) is False
    assert evaluate(f"{missing} is not defined", **roots) is True
    assert evaluate(f"{missing} is undefined", **roots) is True


def test_default_stands_in_for_null_but_not_for_false() -> None:
    assert evaluate("x | default(1)", x=None) == 1
    assert evaluate("x | default(1)", x=False) is False
    assert evaluate("x | default(1)", x="") == ""
    assert evaluate("x | default(1, true)", x="") == 1
    assert evaluate("coalesce(x, y)", x=None) is None


def test_the_fallback_is_evaluated_only_when_it_is_needed() -> None:
    assert evaluate("x | default(1 / 0)", x=2) == 2
    assert failed("x | default(y)").code == "undefined-name"


def test_default_hides_nothing_but_what_is_undefined() -> None:
    assert failed("(1 / 0) | default(1)").code == "division-by-zero"
    assert failed("upper(5) | default(1)").code == "wrong-type"


def test_a_record_is_defined_even_when_it_is_no_value() -> None:
    class Record(Lookup):
        def __getitem__(self, name: str) -> Any:
            raise KeyError(name)

    assert evaluate("r is defined", r=Record()) is True
    error = failed("r", r=Record())
    assert isinstance(error, ExpressionError)
    assert error.hint == "name one of its fields"


def test_a_function_named_without_a_call_is_not_defined() -> None:
    assert failed("now").code == "undefined-name"


def test_messages_stay_short_whatever_the_key_is() -> None:
    error = failed("input[key]", input={}, key="k" * 100_000)
    assert len(str(error)) < 1_000
