"""Steps of type `input`, `process` and `output`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stepwell.ports.work import TaskError
from stepwell.tasks.client import HttpClient
from stepwell.tasks.input import InputHandler
from stepwell.tasks.output import OutputHandler
from stepwell.tasks.process import ProcessHandler
from tests.conformance.dispatcher import assignment
from tests.tasks.conftest import Serve
from tests.tasks.context import PlainContext
from tests.tasks.servers import saying


def no_client() -> HttpClient:
    raise AssertionError("nothing is to be posted")


async def processed(data: Any, *rules: dict[str, Any]) -> Any:
    rules = tuple({"type": "transform", **rule} for rule in rules)
    result = await ProcessHandler().run({"data": data, "rules": list(rules)}, PlainContext())
    assert result.value.keys() == {"processed_data"}
    return result.value["processed_data"]


async def refused(handler: Any, config: Any) -> TaskError:
    with pytest.raises(TaskError) as caught:
        await handler.run(config, PlainContext())
    assert not caught.value.retryable
    return caught.value


# Input


async def test_an_input_is_collected_with_the_time_at_which_it_was_due() -> None:
    context = PlainContext(work=assignment("input"))
    result = await InputHandler().run({"data": {"message": "hello"}}, context)
    again = await InputHandler().run({"data": {"message": "hello"}, "source": None}, context)
    assert result.value == again.value
    assert result.value == {
        "collected_data": {"message": "hello"},
        "timestamp": result.value["timestamp"],
        "source": "manual",
    }
    assert result.value["timestamp"].endswith("Z")


async def test_an_input_keeps_its_source_and_any_data() -> None:
    result = await InputHandler().run({"data": None, "source": "form"}, PlainContext())
    assert (result.value["collected_data"], result.value["source"]) == (None, "form")


async def test_an_input_needs_data() -> None:
    assert (await refused(InputHandler(), {})).type == "invalid_config"


# Process


@pytest.mark.parametrize(
    ("operation", "before", "after"),
    [
        ("uppercase", "hello", "HELLO"),
        ("lowercase", "HeLLo", "hello"),
        ("capitalize", "hello you", "Hello you"),
        ("title", "hello you", "Hello You"),
        ("trim", " hello\n", "hello"),
        ("reverse", "abc", "cba"),
        ("to_text", 1.5, "1.5"),
        ("to_text", {"a": [True]}, '{"a":[true]}'),
        ("to_text", "a", "a"),
        ("to_number", " 12 ", 12),
        ("to_number", "1.5", 1.5),
        ("to_number", 3, 3),
    ],
)
async def test_a_rule_changes_a_field(operation: str, before: Any, after: Any) -> None:
    assert await processed({"x": before, "y": 1}, {"field": "x", "operation": operation}) == {"x": after, "y": 1}


@pytest.mark.parametrize(
    ("field", "after"),
    [
        ("user.name", {"user": {"name": "ADA", "age": 1}, "tags": ["a", "b"]}),
        ("tags.1", {"user": {"name": "Ada", "age": 1}, "tags": ["a", "B"]}),
        ("tags.*", {"user": {"name": "Ada", "age": 1}, "tags": ["A", "B"]}),
    ],
)
async def test_a_field_is_named_by_a_path(field: str, after: Any) -> None:
    data = {"user": {"name": "Ada", "age": 1}, "tags": ["a", "b"]}
    before = json.dumps(data)
    assert await processed(data, {"field": field, "operation": "uppercase"}) == after
    assert json.dumps(data) == before


async def test_rules_apply_in_order() -> None:
    rules = ({"field": "x", "operation": "uppercase"}, {"field": "x", "operation": "capitalize"})
    assert await processed({"x": "hELLO"}, *rules) == {"x": "Hello"}
    assert await processed({"x": "hELLO"}, *reversed(rules)) == {"x": "HELLO"}


async def test_without_rules_the_data_stays_as_it_is() -> None:
    for data in ({"x": 1}, [1, 2], "text", None):
        assert await processed(data) == data


@pytest.mark.parametrize("field", ["other", "x.y", "list.7", "list.a", "x.*"])
async def test_a_field_that_is_not_there_is_left_alone_unless_it_must_be_there(field: str) -> None:
    data = {"x": "a", "list": ["b"]}
    assert await processed(data, {"field": field, "operation": "uppercase"}) == data
    with pytest.raises(TaskError, match="there is no field"):
        await processed(data, {"field": field, "operation": "uppercase", "if_missing": "fail"})


@pytest.mark.parametrize(
    ("operation", "value", "words"),
    [
        ("uppercase", 5, "a text, and this is a number"),
        ("uppercase", None, "this is null"),
        ("trim", {}, "this is an object"),
        ("trim", [], "this is a list"),
        ("to_number", "many", "no number"),
        ("to_number", True, "true or false"),
    ],
)
async def test_a_value_of_the_wrong_type_fails_the_step(operation: str, value: Any, words: str) -> None:
    with pytest.raises(TaskError, match=words) as caught:
        await processed({"x": value}, {"field": "x", "operation": operation})
    assert (caught.value.type, caught.value.retryable) == ("validation_error", False)


async def test_data_is_put_together_from_several_objects() -> None:
    config = {"data_from": [{"a": 1, "b": 1}, {}, {"b": 2}]}
    result = await ProcessHandler().run(config, PlainContext())
    assert result.value == {"processed_data": {"a": 1, "b": 2}}
    assert (await refused(ProcessHandler(), {"data_from": [{}, 1]})).type == "validation_error"


async def test_data_must_be_there() -> None:
    error = await refused(ProcessHandler(), {"rules": []})
    assert (error.type, error.message) == (
        "validation_error",
        "Invalid process input data: there is no `data`, and no dependency gives any",
    )


@pytest.mark.parametrize("rule", [{"type": "filter"}, {"operation": "shout"}, {"field": 1}])
async def test_what_is_no_rule_fails_the_step(rule: dict[str, Any]) -> None:
    rules = [{"type": "transform", "field": "x", "operation": "trim", **rule}]
    assert (await refused(ProcessHandler(), {"data": {}, "rules": rules})).type == "invalid_config"


# Output


async def delivered(handler: OutputHandler, **config: Any) -> Any:
    result = await handler.run(config, PlainContext())
    await handler.close()
    return result.value


@pytest.mark.parametrize("config", [{}, {"destination": None}, {"destination": "default"}])
async def test_the_default_destination_is_the_record_of_the_execution(config: dict[str, Any]) -> None:
    assert await delivered(OutputHandler(no_client, None), data=1, **config) == {
        "delivery_status": "Delivered to default",
        "destination": "default",
    }


async def test_an_output_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    await delivered(OutputHandler(no_client, None), data={"a": "é"}, destination="stdout")
    assert capsys.readouterr().out == '{"a":"é"}\n'


async def test_an_output_is_written_into_the_configured_directory(tmp_path: Path) -> None:
    handler = OutputHandler(no_client, tmp_path / "out")
    for data in ([1, 2, 3], {"a": 1}):
        answer = await delivered(handler, data=data, destination="file:deep/report.json")
    assert answer["delivery_status"] == "Delivered to file:deep/report.json"
    assert json.loads((tmp_path / "out" / "deep" / "report.json").read_text()) == {"a": 1}
    assert [each.name for each in (tmp_path / "out" / "deep").iterdir()] == ["report.json"]


@pytest.mark.parametrize("path", ["../outside.json", "/etc/passwd", "", ".", "link/x.json"])
async def test_an_output_cannot_leave_that_directory(path: str, tmp_path: Path) -> None:
    root = tmp_path / "out"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    error = await refused(OutputHandler(no_client, root), {"data": 1, "destination": f"file:{path}"})
    assert error.type == "forbidden_path"
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


async def test_without_a_directory_no_file_is_written() -> None:
    error = await refused(OutputHandler(no_client, None), {"data": 1, "destination": "file:x.json"})
    assert (error.type, "files: {directory" in error.message) == ("unknown_destination", True)


async def test_an_output_is_posted(serve: Serve) -> None:
    server = await serve(saying({}))
    await delivered(OutputHandler(HttpClient, None), data={"a": 1}, destination=f"{server.url}/hook")
    (request,) = server.seen
    assert (request.method, request.path, request.body) == ("POST", "/hook", b'{"a":1}')
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"]


async def test_an_unknown_destination_fails_the_step() -> None:
    error = await refused(OutputHandler(no_client, None), {"data": 1, "destination": "mars"})
    assert error.type == "unknown_destination"
    assert error.message == (
        "there is no destination 'mars'; the destinations are default, stdout, file:PATH and http(s) URLs"
    )
