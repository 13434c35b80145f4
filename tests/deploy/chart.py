"""The templates of the chart, rendered without helm: the part of its language that they use, and nothing else.

`helm lint` is run, too, where there is a helm; this shows anywhere that the manifests are valid YAML and hold what they
should.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

_DEFINE = re.compile(r'\{\{-? define "([^"]+)" -?\}\}\n?(.*?)\n?\{\{-? end -?\}\}', re.DOTALL)


class Chart:
    """Templates, and the values that they are rendered with."""

    def __init__(self, helpers: str, scope: Mapping[str, Any]) -> None:
        self._named = dict(_DEFINE.findall(helpers))
        self._scope = scope

    def render(self, template: str) -> str:
        """The text of a template.

        Raises:
            ValueError: it uses something that is not known here.
        """
        lines: list[str] = []
        shown = [True]
        for line in template.splitlines():
            control = re.fullmatch(r"\s*\{\{-? (if .*|end) -?\}\}\s*", line)
            if control is not None and control[1] == "end":
                shown.pop()
            elif control is not None:
                shown.append(bool(self._value(control[1].removeprefix("if "))))
            elif all(shown):
                lines.append(re.sub(r"\{\{(-?)\s*(.*?)\s*\}\}", lambda match: self._text(match[2]), line))
        if len(shown) != 1:
            raise ValueError("an if has no end")
        # What is indented anew begins on a line of its own.
        return "\n".join(line for line in "\n".join(lines).splitlines() if line.strip())

    def _text(self, said: str) -> str:
        value = self._value(said)
        return str(value)

    def _value(self, said: str) -> Any:
        first, *filters = [part.strip() for part in said.split("|")]
        value = self._first(first)
        for each in filters:
            name, *arguments = each.split()
            value = self._filtered(value, name, arguments)
        return value

    def _first(self, said: str) -> Any:
        if said.startswith("include "):
            return self.render(self._named[said.split('"')[1]])
        if said.startswith("toYaml "):
            return yaml.safe_dump(self._path(said.removeprefix("toYaml ")), default_flow_style=False).strip()
        return self._path(said)

    def _path(self, said: str) -> Any:
        if not said.startswith("."):
            raise ValueError(f"not known here: {said}")
        value: Any = self._scope
        for part in said.strip(".").split("."):
            value = value[part]
        return value

    def _filtered(self, value: Any, name: str, arguments: list[str]) -> Any:
        match name:
            case "quote":
                return f'"{value}"'
            case "default":
                return value or self._path(arguments[0])
            case "nindent":
                indent = " " * int(arguments[0])
                return "\n" + "\n".join(indent + line for line in str(value).splitlines())
            case _:
                raise ValueError(f"not known here: {name}")
