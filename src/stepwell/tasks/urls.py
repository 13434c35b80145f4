"""Addresses of HTTP requests: read, joined, extended, shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from yarl import URL

from stepwell.ports.work import TaskError

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")


def parse_url(text: str) -> URL:
    """An `http` or `https` URL without its fragment.

    Raises:
        TaskError: (type `invalid_request`).
    """
    if _CONTROL.search(text):
        raise invalid_request("the url holds a control character or a backslash")
    try:
        url = URL(text.strip()).with_fragment(None)
        valid = url.scheme in ("http", "https") and bool(url.host) and url.port is not None
    except ValueError:
        valid = False
    if not valid:
        raise invalid_request("the url is not a complete http or https address, such as https://host/path")
    return url


def join_endpoint(base: str, endpoint: str) -> URL:
    """The service's URL with the endpoint behind it.

    Raises:
        TaskError: (type `invalid_request`) the endpoint would leave the service: it is a URL of its own, or climbs up
            with `..`, however that is written.
    """
    if _CONTROL.search(endpoint):
        raise invalid_request("the endpoint holds a control character or a backslash")
    if endpoint.startswith("//") or _ABSOLUTE.match(endpoint):
        raise invalid_request("the endpoint is a whole address; give the path only, or use a step of type http")
    if _climbs(endpoint):
        raise invalid_request("the endpoint climbs out of the service with '..'")
    start = parse_url(base)
    if not endpoint:
        return start
    return parse_url(str(start.with_query(None)).rstrip("/") + "/" + endpoint.removeprefix("/"))


def extend_query(url: URL, query: Mapping[str, Any] | None) -> URL:
    """The URL with further query parameters; a list gives its parameter several times, null leaves it out.

    Raises:
        TaskError: (type `invalid_request`) a value is an object or a nested list.
    """
    return url.extend_query(list(pairs(query, "query"))) if query else url


def pairs(fields: Mapping[str, Any], where: str) -> Iterator[tuple[str, str]]:
    """The names and texts of a query or a form.

    Raises:
        TaskError: (type `invalid_request`) a value is an object or a nested list.
    """
    for name, value in fields.items():
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if item is not None:
                yield name, text_of(item, f"{where}.{name}")


def text_of(value: Any, where: str) -> str:
    """A scalar as it is written in a URL, a form or a header.

    Raises:
        TaskError: (type `invalid_request`) it is an object or a list.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise invalid_request(f"{where} must be text, a number or a boolean")


def shown(url: URL) -> str:
    """The URL for a message: without user and password, and without the values of its query."""
    text = str(url.with_user(None).with_query(None).with_fragment(None))
    names = "&".join(f"{name}=***" for name in url.query)
    return f"{text}?{names}" if names else text


def invalid_request(reason: str) -> TaskError:
    """The error for a request that cannot be made."""
    return TaskError("invalid_request", f"the request cannot be made: {reason}")


def _climbs(endpoint: str) -> bool:
    path = re.split(r"[?#]", endpoint, maxsplit=1)[0]
    for _ in range(3):  # servers decode once or twice
        if ".." in re.split(r"[/\\]", path):
            return True
        path = unquote(path)
    return ".." in re.split(r"[/\\]", path)
