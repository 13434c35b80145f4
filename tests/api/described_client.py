"""A client that knows nothing but the description of the API, as one that a program generates from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
import jsonschema_rs

MEDIA_TYPES = ("application/json", "application/cloudevents+json", "application/yaml")
"""What it can send, the first that an operation takes."""


class DescribedClient:
    """Calls operations by their ids. What is sent and what is answered must be as described.

    Args:
        document: the OpenAPI document.
    """

    def __init__(self, document: Mapping[str, Any], http: httpx.AsyncClient) -> None:
        self._document = document
        self._components = document["components"]
        self._checks: dict[int, jsonschema_rs.Validator] = {}
        self._http = http
        self.operations = {
            operation["operationId"]: (method, path, operation)
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        }

    async def call(self, operation: str, body: Any = None, **arguments: Any) -> Any:
        """The document that a successful request is answered with.

        Args:
            arguments: by the names of parameters; those that are left out are sent with their defaults.
        """
        method, path, described = self.operations[operation]
        parameters = {each["name"]: each for each in described.get("parameters", ())}
        values = self._values(parameters, arguments)
        for name in [name for name, each in parameters.items() if each["in"] == "path"]:
            path = path.replace(f"{{{name}}}", quote(str(values.pop(name)), safe=""))
        headers = {name: str(values.pop(name)) for name in list(values) if parameters[name]["in"] == "header"}
        content = None
        if body is not None:
            kind, content = self._content(described["requestBody"]["content"], body)
            headers["Content-Type"] = kind
        answer = await self._http.request(method, path, params=values, headers=headers, content=content)
        return self._checked(operation, described["responses"], answer)

    def _values(self, parameters: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
        values = {name: each["schema"]["default"] for name, each in parameters.items() if "default" in each["schema"]}
        for given, value in arguments.items():
            values[next(name for name in parameters if name.lower().replace("-", "_") == given.rstrip("_"))] = value
        for name, each in parameters.items():
            assert name in values or not each.get("required"), f"{name} is missing"
            if name in values:
                self._fits(each["schema"], values[name])
        return {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in values.items()
            if value is not None
        }

    def _content(self, taken: Mapping[str, Any], body: Any) -> tuple[str, str]:
        kind = next(each for each in MEDIA_TYPES if each in taken)
        self._fits(taken[kind]["schema"], body)
        return kind, httpx.Request("POST", "http://x", json=body).content.decode()

    def _checked(self, operation: str, responses: Mapping[str, Any], answer: httpx.Response) -> Any:
        assert str(answer.status_code) in responses, f"{operation} answered {answer.status_code}: {answer.text}"
        assert answer.is_success, f"{operation} answered {answer.status_code}: {answer.text}"
        described = responses[str(answer.status_code)].get("content")
        if not described:
            assert not answer.content
            return None
        kind = answer.headers["content-type"].partition(";")[0]
        self._fits(described[kind]["schema"], answer.json())
        return answer.json()

    def _fits(self, schema: Mapping[str, Any], value: Any) -> None:
        check = self._checks.get(id(schema))  # those of the document, which is kept
        if check is None:
            check = jsonschema_rs.validator_for({**schema, "components": self._components})
            self._checks[id(schema)] = check
        check.validate(value)
