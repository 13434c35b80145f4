"""Steps of type `validation`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import pytest
from aiohttp import web

from stepwell.base.errors import NotFound
from stepwell.ports.services import Service
from stepwell.ports.work import TaskError
from stepwell.services.registry import ServiceTable
from stepwell.tasks.client import HttpClient
from stepwell.tasks.registry import RuleRegistry
from stepwell.tasks.rules import BUILT_IN
from stepwell.tasks.validation import ValidationHandler, value_at
from tests.tasks.conftest import Serve
from tests.tasks.context import PlainContext
from tests.tasks.servers import answering, saying

Check: TypeAlias = Callable[..., Awaitable[Any]]

DATA = {"email": "ann@shop.example", "age": 17, "password": "hunter22", "address": {"lines": ["a", "b"]}, "none": None}


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


async def run(client: HttpClient, config: dict[str, Any], *, url: str = "", rules: RuleRegistry | None = None) -> Any:
    users = Service(name="users", url=url, auth={"bearer": "t"})
    odd = Service(name="odd", url=url, rule_path="/check?rule={rule}")
    handler = ValidationHandler(rules or RuleRegistry(), ServiceTable({"users": users, "odd": odd}), client)
    return (await handler.run({"data": DATA, **config}, PlainContext())).value


async def failure(client: HttpClient, config: dict[str, Any], **more: Any) -> TaskError:
    with pytest.raises(TaskError) as raised:
        await run(client, config, **more)
    return raised.value


# Built-in rules


async def test_data_that_is_right_passes(client: HttpClient) -> None:
    rules = [{"field": "email", "rule": "email"}, {"field": "address.lines.1", "rule": "required"}]
    assert await run(client, {"validation_rules": rules}) == {"validation_result": "passed"}
    assert await run(client, {"validation_rules": []}) == {"validation_result": "passed"}


async def test_every_wrong_field_is_named(client: HttpClient) -> None:
    rules = [
        {"field": "age", "rule": "min", "value": 18},
        {"field": "email", "rule": "required"},
        {"field": "phone", "rule": "required", "message": "we must be able to call you"},
    ]
    error = await failure(client, {"validation_rules": rules})
    assert (error.type, error.retryable) == ("validation_error", False)
    assert error.message == (
        "Validation failed for field: age (must be at least 18); field: phone (we must be able to call you)"
    )
    assert error.details == {
        "errors": [
            {"field": "age", "rule": "min", "message": "must be at least 18"},
            {"field": "phone", "rule": "required", "message": "we must be able to call you"},
        ]
    }


RULE_CASES: list[tuple[str, dict[str, Any], list[Any], list[Any]]] = [
    ("required", {}, ["", 0, False, []], [None]),
    ("not_empty", {}, ["x", 0, False, [0]], [None, "", "  ", [], {}]),
    ("email", {}, ["a@b.example"], ["a", "a@", "a b@c.example", 5]),
    ("uuid", {}, ["6ba7b810-9dad-11d1-80b4-00c04fd430c8"], ["6ba7b810", 5]),
    ("url", {}, ["http://a/b", "https://a.example"], ["a/b", "mailto:a@b.example", 5]),
    ("date", {}, ["2024-02-29"], ["2023-02-29", "29.2.2024", 5]),
    ("date_time", {}, ["2024-02-29T10:00:00Z"], ["2024-02-29", "2024-02-29T25:00:00Z"]),
    ("regex", {"pattern": "^[a-z]+$"}, ["abc"], ["ABC", "", 5]),
    ("pattern", {"pattern": "b"}, ["abc"], ["ac"]),
    ("min", {"value": 18}, [18, 18.5], [17, 17.9, "19", True]),
    ("max", {"value": 2.5}, [2, 2.5, -1], [3, "1", True]),
    ("length", {"min": 2, "max": 3}, ["ab", "abc", [1, 2], {"a": 1, "b": 2}], ["a", "abcd", [1], 12]),
    ("length", {"max": 3}, ["", "abc"], ["abcd"]),
    ("min_length", {"value": 2}, ["ab"], ["a"]),
    ("max_length", {"value": 2}, ["ab", ""], ["abc"]),
    ("one_of", {"values": ["a", 1, None]}, ["a", 1], ["b", True, 1.0]),
    ("equals", {"value": {"a": 1}}, [{"a": 1}], [{"a": 2}, "x"]),
    ("text", {}, ["", "x"], [5, []]),
    ("integer", {}, [5, -1], [5.0, "5", True]),
    ("number", {}, [5, 5.5], ["5", True]),
    ("boolean", {}, [True, False], [0, "true"]),
    ("list", {}, [[]], [{}, "x"]),
    ("object", {}, [{}], [[], "x"]),
]


@pytest.mark.parametrize(("name", "parameters", "right", "wrong"), RULE_CASES)
def test_a_built_in_rule_tells_right_from_wrong(
    name: str, parameters: dict[str, Any], right: list[Any], wrong: list[Any]
) -> None:
    for value in right:
        assert BUILT_IN[name].problem(name, value, parameters) is None, value
    for value in wrong:
        message = BUILT_IN[name].problem(name, value, parameters)
        assert message, value
        assert "hunter22" not in message


def test_every_built_in_rule_is_tried_above() -> None:
    assert {name for name, *_ in RULE_CASES} == set(BUILT_IN)


@pytest.mark.parametrize("name", sorted(BUILT_IN.keys() - {"required", "not_empty"}))
def test_a_missing_value_satisfies_every_rule_but_two(name: str) -> None:
    parameters = next(parameters for known, parameters, *_ in RULE_CASES if known == name)
    assert BUILT_IN[name].problem(name, None, parameters) is None


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"rule": "min"}, "needs 'value'"),
        ({"rule": "min", "value": 1, "limit": 2}, "does not know 'limit'"),
        ({"rule": "min", "value": "x"}, "cannot be applied"),
        ({"rule": "regex", "pattern": "("}, "not a regular expression"),
        ({"rule": "one_of", "values": 5}, "cannot be applied"),
        ({}, "rule"),
        ({"rule": 5}, "rule"),
    ],
)
async def test_a_rule_that_is_used_wrongly_is_an_error_of_the_configuration(
    client: HttpClient, rule: dict[str, Any], reason: str
) -> None:
    error = await failure(client, {"validation_rules": [{"field": "age", **rule}]})
    assert (error.type, error.retryable) == ("invalid_config", False)
    assert reason in error.message


async def test_a_pattern_that_would_take_forever_does_not(client: HttpClient) -> None:
    config = {
        "validation_rules": [{"field": "x", "rule": "regex", "pattern": "(a+)+$"}],
        "data": {"x": "a" * 500 + "!"},
    }
    assert (await failure(client, config)).type == "validation_error"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("email", DATA["email"]), ("address.lines.0", "a"), ("address.lines.2", None), ("address.lines.x", None),
        ("nothing", None), ("email.x", None), ("address.x.y", None), ("none.x", None), ("address.lines.-1", None),
    ],
)  # fmt: skip
def test_a_dotted_path_leads_into_objects_and_lists(path: str, value: Any) -> None:
    assert value_at(DATA, path) == value


# Rules in Python


async def test_a_rule_in_python_may_answer_in_several_ways(client: HttpClient) -> None:
    rules = RuleRegistry()

    def silent(value: str) -> None: ...

    def yes(value: str) -> bool:
        return value == DATA["email"]

    async def no(value: str) -> bool:
        return False

    def because(value: int, limit: int) -> str:
        return f"must be above {limit}"

    def odd_types(value: str) -> str:
        return "must be text"

    for function in (silent, yes, no, because, odd_types):
        rules.register(function)
    fine = [{"field": "email", "rule": "silent"}, {"field": "email", "rule": "yes"}]
    assert await run(client, {"validation_rules": fine}, rules=rules) == {"validation_result": "passed"}
    bad = [
        {"field": "email", "rule": "no"},
        {"field": "age", "rule": "because", "limit": 18},
        {"field": "age", "rule": "odd_types"},
    ]
    error = await failure(client, {"validation_rules": bad}, rules=rules)
    assert error.message == (
        "Validation failed for field: email; field: age (must be above 18); field: age (must be text)"
    )


async def test_the_further_keys_of_a_rule_in_python_are_checked(client: HttpClient) -> None:
    rules = RuleRegistry()

    def above(value: int, limit: int) -> bool:
        return value > limit

    rules.register(above)
    error = await failure(client, {"validation_rules": [{"field": "age", "rule": "above", "limt": 1}]}, rules=rules)
    assert error.type == "invalid_arguments"
    assert "did you mean 'limit'" in error.message


async def test_an_unknown_rule_is_named_with_the_nearest_known_one(client: HttpClient) -> None:
    with pytest.raises(NotFound, match="did you mean 'email'") as raised:
        await run(client, {"validation_rules": [{"field": "email", "rule": "emial"}]})
    assert raised.value.code == "unknown-rule"


# Rules of services


async def test_a_service_is_asked_with_field_and_value(client: HttpClient, serve: Serve) -> None:
    server = await serve(saying({"valid": True}))
    rules = [
        {"field": "email", "rule": "unique email", "service": "users"},
        {"field": "nothing", "rule": "x", "service": "odd", "limit": 5},
    ]
    assert await run(client, {"validation_rules": rules}, url=server.url) == {"validation_result": "passed"}
    first, second = sorted(server.seen, key=lambda seen: seen.path, reverse=True)
    assert (first.method, first.path) == ("POST", "/validations/unique%20email")
    assert json.loads(first.body) == {"field": "email", "value": DATA["email"]}
    assert first.headers["authorization"] == "Bearer t"
    assert second.path == "/check?rule=x"
    assert json.loads(second.body) == {"field": "nothing", "value": None, "parameters": {"limit": 5}}
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


async def test_what_a_service_refuses_is_wrong(client: HttpClient, serve: Serve) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        taken = request.path.endswith("email")
        return web.json_response({"valid": False, **({"message": "is taken"} if taken else {})})

    server = await serve(answer)
    rules = [{"field": "email", "rule": "email", "service": "users"}, {"field": "age", "rule": "x", "service": "users"}]
    error = await failure(client, {"validation_rules": rules}, url=server.url)
    assert error.message == "Validation failed for field: email (is taken); field: age"


async def test_a_service_that_cannot_be_asked_is_no_verdict(client: HttpClient, serve: Serve) -> None:
    server = await serve(answering(status=503))
    config = {"validation_rules": [{"field": "email", "rule": "x", "service": "users"}]}
    error = await failure(client, config, url=server.url)
    assert (error.type, error.retryable) == ("http_error", True)
    await server.stop()
    error = await failure(client, config, url=server.url)
    assert (error.type, error.retryable) == ("connection_error", True)


async def test_what_is_wrong_anyway_outweighs_a_service_that_cannot_be_asked(client: HttpClient, serve: Serve) -> None:
    server = await serve(answering(status=503))
    rules = [{"field": "email", "rule": "x", "service": "users"}, {"field": "age", "rule": "min", "value": 18}]
    assert (await failure(client, {"validation_rules": rules}, url=server.url)).type == "validation_error"


@pytest.mark.parametrize("answer", [None, True, {}, {"valid": "yes"}, {"ok": True}])
async def test_an_answer_that_is_no_verdict_is_an_error(client: HttpClient, serve: Serve, answer: Any) -> None:
    server = await serve(saying(answer))
    config = {"validation_rules": [{"field": "email", "rule": "x", "service": "users"}]}
    assert (await failure(client, config, url=server.url)).type == "invalid_response"


async def test_a_message_that_repeats_a_secret_is_not_passed_on(client: HttpClient, serve: Serve) -> None:
    server = await serve(saying({"valid": False, "message": "hunter22 is weak"}))
    config = {"validation_rules": [{"field": "password", "rule": "strong", "service": "users"}]}
    assert (await failure(client, config, url=server.url)).message.endswith("field: password (is not valid)")
    server.answer = saying({"valid": False, "message": "too weak"})
    assert (await failure(client, config, url=server.url)).message.endswith("field: password (too weak)")


# Schemas


SCHEMA = {
    "type": "object",
    "properties": {
        "email": {"type": "string", "format": "uuid"},
        "age": {"type": "integer", "minimum": 18},
        "password": {"type": "string", "minLength": 20},
        "address": {"properties": {"lines": {"items": {"enum": ["a"]}}}},
    },
    "required": ["phone"],
}


async def test_every_violation_of_a_schema_is_named_with_its_path(client: HttpClient) -> None:
    error = await failure(client, {"schema": SCHEMA})
    assert error.type == "validation_error"
    assert error.details is not None
    fields = [each["field"] for each in error.details["errors"]]
    assert sorted(fields) == ["(the whole)", "address.lines[1]", "age", "email", "password"]
    assert "hunter22" not in f"{error.message} {error.details}"


async def test_data_that_satisfies_a_schema_passes(client: HttpClient) -> None:
    assert await run(client, {"schema": {"required": ["email"]}}) == {"validation_result": "passed"}


@pytest.mark.parametrize(
    "schema", [{"type": "strin"}, {"$ref": "http://127.0.0.1:1/x"}, {"$ref": "file:///etc/passwd"}, {"pattern": "("}]
)
async def test_a_schema_that_cannot_be_used_is_an_error_of_the_configuration(
    client: HttpClient, schema: dict[str, Any]
) -> None:
    error = await failure(client, {"schema": schema})
    assert (error.type, error.retryable) == ("invalid_config", False)
    assert "\n" not in error.message


async def test_there_must_be_rules_or_a_schema(client: HttpClient) -> None:
    assert (await failure(client, {})).type == "invalid_config"
