"""Which path template a request's path belongs to, before the application is asked.

A path that belongs to none never comes to the application, so what is not in the list of permissions cannot be called.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Found(NamedTuple):
    """A template that a path belongs to, and what stands in the places of its parameters."""

    template: str
    parameters: Mapping[str, str]


class _Place:
    """What may follow a part of a path."""

    __slots__ = ("literal", "methods", "named", "rest")

    def __init__(self) -> None:
        self.literal: dict[str, _Place] = {}
        self.named: _Place | None = None
        self.rest: _Place | None = None
        self.methods: dict[str, str] = {}


class Paths:
    """The templates of a server: `/executions/{id}`, `/webhooks/{path:path}`.

    Args:
        routes: (method, template) of each.
    """

    def __init__(self, routes: Iterable[tuple[str, str]]) -> None:
        self._root = _Place()
        for method, template in routes:
            self._add(method, template)

    def find(self, method: str, path: str) -> Found | None:
        """The template for a request; None when it belongs to none, or not with this method."""
        template = _find(self._root, path.split("/"), 0, method)
        return Found(template, _parameters(template, path)) if template is not None else None

    def methods(self, path: str) -> frozenset[str]:
        """The methods that a path has; empty when it belongs to no template."""
        found: set[str] = set()
        _collect(self._root, path.split("/"), 0, found)
        return frozenset(found)

    def _add(self, method: str, template: str) -> None:
        place = self._root
        for part in template.split("/"):
            if part.startswith("{") and part.endswith(":path}"):
                place.rest = place.rest or _Place()
                place = place.rest
            elif part.startswith("{"):
                place.named = place.named or _Place()
                place = place.named
            else:
                place = place.literal.setdefault(part, _Place())
        place.methods[method] = template


def _find(place: _Place, parts: list[str], at: int, method: str) -> str | None:
    """What is written out comes before what is named, as it does among the routes."""
    if at == len(parts):
        return place.methods.get(method)
    following = place.literal.get(parts[at])
    if following is not None and (found := _find(following, parts, at + 1, method)) is not None:
        return found
    if place.named is not None and parts[at] and (found := _find(place.named, parts, at + 1, method)) is not None:
        return found
    return place.rest.methods.get(method) if place.rest is not None else None


def _collect(place: _Place, parts: list[str], at: int, found: set[str]) -> None:
    if at == len(parts):
        found.update(place.methods)
        return
    if (following := place.literal.get(parts[at])) is not None:
        _collect(following, parts, at + 1, found)
    if place.named is not None and parts[at]:
        _collect(place.named, parts, at + 1, found)
    if place.rest is not None:
        found.update(place.rest.methods)


def _parameters(template: str, path: str) -> Mapping[str, str]:
    if "{" not in template:
        return {}
    parts = path.split("/")
    found: dict[str, str] = {}
    for position, part in enumerate(template.split("/")):
        if part.endswith(":path}"):
            found[part[1:-6]] = "/".join(parts[position:])
        elif part.startswith("{"):
            found[part[1:-1]] = parts[position]
    return found
