"""Headers of HTTP requests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stepwell.tasks.urls import invalid_request, text_of

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSAFE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_FRAMING: Final = frozenset({
    "connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
_HARMLESS: Final = frozenset({
    "accept", "accept-encoding", "accept-language", "content-language", "content-type", "idempotency-key", "user-agent",
})  # fmt: skip
"""What may be sent on to another origin; everything else could be a credential."""


class Headers:
    """Names and values; a name exists once, however it is written."""

    def __init__(self) -> None:
        self._fields: dict[str, tuple[str, str]] = {}

    def set(self, name: str, value: Any) -> None:
        """Set a header, replacing one of the same name; null removes it.

        Raises:
            TaskError: (type `invalid_request`) the name or the value could be mistaken for something else, or the
                header belongs to the connection.
        """
        key = name.lower()
        if not _TOKEN.fullmatch(name):
            raise invalid_request(f"{name!r} is not a header's name")
        if key in _FRAMING or key.startswith("proxy-"):
            raise invalid_request(f"the header {name!r} is set by the engine")
        if value is None:
            self._fields.pop(key, None)
            return
        text = text_of(value, f"headers.{name}")
        if _UNSAFE.search(text):
            raise invalid_request(f"the header {name!r} holds a line break or another character that cannot be sent")
        self._fields[key] = (name, text.strip())

    def update(self, headers: Mapping[str, Any] | None) -> None:
        """Set several headers; see `set`."""
        for name, value in (headers or {}).items():
            self.set(name, value)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._fields

    def items(self) -> Iterator[tuple[str, str]]:
        """Names and values, in the order they were first set."""
        return iter(self._fields.values())

    def for_other_origin(self) -> Headers:
        """Those that may be sent to another server than the one they were meant for."""
        return self._only(lambda key: key in _HARMLESS)

    def without_body(self) -> Headers:
        """Those that do not describe a body."""
        return self._only(lambda key: not key.startswith("content-"))

    def _only(self, wanted: Any) -> Headers:
        result = Headers()
        result._fields = {key: field for key, field in self._fields.items() if wanted(key)}
        return result
