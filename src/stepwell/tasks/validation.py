"""`validation {validation_rules | schema, data}`: a step that fails when its data is not what it must be.

A rule is asked of a service, written in Python, or built in. All rules are asked before the step fails, and the error
names every field that is wrong; values are not shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from stepwell.base.errors import NotFound
from stepwell.base.sensitive import names_a_secret
from stepwell.base.suggest import hint_for
from stepwell.decider.checking import SchemaCheck
from stepwell.ports.services import Service, ServiceRegistry
from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult
from stepwell.tasks.client import HttpClient
from stepwell.tasks.registry import RuleRegistry
from stepwell.tasks.replies import decode
from stepwell.tasks.requests import HttpRequest, encode_body, first_headers
from stepwell.tasks.rules import BUILT_IN
from stepwell.tasks.service_call import identify, tls_of
from stepwell.tasks.settings import invalid_config, read_settings
from stepwell.tasks.urls import join_endpoint

PASSED = {"validation_result": "passed"}


class _ValidationSettings(msgspec.Struct, forbid_unknown_fields=True):
    validation_rules: list[dict[str, Any]] | None = None
    schema: dict[str, Any] | None = None
    data: Any = None


class _Rule(msgspec.Struct):
    field: str
    rule: str
    service: str | None = None
    message: str | None = None


class FieldProblem(msgspec.Struct, frozen=True):
    """One field that is wrong: by which rule, and what it must be."""

    field: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.field} ({self.message})" if self.message else self.field


class ValidationHandler(TaskHandler):
    """Checks data by rules or by a JSON Schema."""

    def __init__(self, rules: RuleRegistry, services: ServiceRegistry, client: HttpClient) -> None:
        self._rules = rules
        self._services = services
        self._client = client

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Check the data; the result says that it passed.

        Raises:
            TaskError: `validation_error`, with every wrong field in `details.errors`; `invalid_config`; what a call of
                a rule's service raises.
            NotFound: (code `unknown-rule`, `unknown-service`, `unknown-secret`).
        """
        settings = read_settings(config, _ValidationSettings, "validation")
        if settings.validation_rules is not None:
            problems = await self._by_rules(settings.validation_rules, settings.data, context)
        elif settings.schema is not None:
            problems = _by_schema(settings.schema, settings.data)
        else:
            raise invalid_config("validation", "it needs 'validation_rules' or 'schema'")
        if problems:
            raise _validation_error(problems)
        return TaskResult(PASSED)

    async def close(self) -> None:
        await self._client.close()

    async def _by_rules(self, rules: list[dict[str, Any]], data: Any, context: TaskContext) -> list[FieldProblem]:
        """All problems. A rule that could not be asked matters only when the others found nothing: for what is wrong
        stays wrong when it is asked again."""
        checks = [self._check(rule, data, context) for rule in rules]
        outcomes = await asyncio.gather(*checks, return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        problems = [outcome for outcome in outcomes if isinstance(outcome, FieldProblem)]
        if failures and not problems:
            raise failures[0]
        return problems

    async def _check(self, given: dict[str, Any], data: Any, context: TaskContext) -> FieldProblem | None:
        rule = read_settings(given, _Rule, "validation")
        parameters = {key: value for key, value in given.items() if key not in _Rule.__struct_fields__}
        value = value_at(data, rule.field)
        if rule.service is not None:
            message = await self._ask_service(rule, value, parameters, context)
        elif rule.rule in BUILT_IN:
            message = BUILT_IN[rule.rule].problem(rule.rule, value, parameters)
        else:
            message = await self._ask_function(rule, value, parameters, context)
        if message is None:
            return None
        return FieldProblem(rule.field, rule.rule, rule.message or _without(value, rule.field, message))

    async def _ask_function(
        self, rule: _Rule, value: Any, parameters: dict[str, Any], context: TaskContext
    ) -> str | None:
        if rule.rule not in self._rules.names():
            hint = hint_for(rule.rule, [*BUILT_IN, *self._rules.names()])
            raise NotFound(f"there is no rule {rule.rule!r}", code="unknown-rule", hint=hint)
        function = self._rules.get(rule.rule)
        first = next(iter(function.signature.parameters), "value")
        answer = await function.call({first: value, **parameters}, context)
        if isinstance(answer, str):
            return answer
        return None if answer is None or answer is True else ""

    async def _ask_service(
        self, rule: _Rule, value: Any, parameters: dict[str, Any], context: TaskContext
    ) -> str | None:
        """POST the field and its value; the service answers `{"valid": true}`, or false with a message."""
        async with self._services.calling(rule.service or "") as service:
            request = self._question(service, rule, value, parameters, context)
            return _verdict(decode(await self._client.exchange(request)), request)

    def _question(
        self, service: Service, rule: _Rule, value: Any, parameters: dict[str, Any], context: TaskContext
    ) -> HttpRequest:
        path = service.rule_path.replace("{rule}", quote(rule.rule, safe=""))
        headers = first_headers(f"{context.idempotency_key}/{rule.rule}/{rule.field}")
        url = identify(service, join_endpoint(service.url, path), headers, context)
        question = {"field": rule.field, "value": value, **({"parameters": parameters} if parameters else {})}
        body = encode_body(question, None, headers)
        return HttpRequest("POST", url, headers, body, service.timeout, service.max_response_bytes, tls=tls_of(service))


def value_at(data: Any, path: str) -> Any:
    """The value at a dotted path; a number is a position in a list. None when there is none."""
    for part in path.split("."):
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list) and part.isascii() and part.isdigit():
            data = data[int(part)] if int(part) < len(data) else None
        else:
            return None
    return data


def _verdict(answer: Any, request: HttpRequest) -> str | None:
    match answer:
        case {"valid": True}:
            return None
        case {"valid": False, "message": str(message)}:
            return message
        case {"valid": False}:
            return ""
        case _:
            raise TaskError("invalid_response", f'{request} did not answer {{"valid": true or false}}')


def _without(value: Any, field: str, message: str) -> str:
    """The message, unless it repeats the value of a field whose name says that it is secret."""
    repeats = value is not None and str(value) in message
    return "is not valid" if repeats and any(map(names_a_secret, field.split("."))) else message


def _by_schema(schema: dict[str, Any], data: Any) -> list[FieldProblem]:
    try:
        check = SchemaCheck(schema)
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise invalid_config("validation", f"its schema cannot be used: {reason}") from None
    return [FieldProblem(path or "(the whole)", "schema", message) for path, message in check.problems(data)]


def _validation_error(problems: Sequence[FieldProblem]) -> TaskError:
    details = {"errors": [{"field": each.field, "rule": each.rule, "message": each.message} for each in problems]}
    return TaskError("validation_error", f"Validation failed for {_listed(problems)}", details=details)


def _listed(problems: Iterable[FieldProblem]) -> str:
    return "; ".join(f"field: {problem}" for problem in problems)
