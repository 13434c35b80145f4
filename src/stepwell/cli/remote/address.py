"""Where a server is, and what it is shown, as the user said it."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from stepwell.base.errors import UsageError
from stepwell.cli.options import Token

PREFIX: Final = "/api/v1"
_SCHEMES: Final = ("http", "https")
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_EXAMPLE: Final = "write it as http://127.0.0.1:8080"


def base_of(given: str) -> str:
    """The URL of a server without what stands behind it: no slash at the end, no `/api/v1`.

    Raises:
        UsageError: code `invalid-server`.
    """
    if "@" in given.partition("?")[0]:
        message = "--server: names and passwords do not belong into the URL"
        raise UsageError(message, code="invalid-server", hint="give the API key with --token or STEPWELL_TOKEN")
    try:
        parts = urlsplit(given.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"--server: {error}", code="invalid-server", hint=_EXAMPLE) from None
    if parts.scheme not in _SCHEMES or not host or port == 0:
        raise UsageError(f"--server: {given!r} is not the URL of a server", code="invalid-server", hint=_EXAMPLE)
    if parts.query or parts.fragment:
        raise UsageError(f"--server: {given!r} has more than a path", code="invalid-server", hint=_EXAMPLE)
    path = parts.path.rstrip("/").removesuffix(PREFIX).rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def is_in_the_clear(base: str) -> bool:
    """Whether what is sent there can be read on the way: neither encrypted nor to this machine."""
    parts = urlsplit(base)
    return parts.scheme == "http" and parts.hostname not in _HERE


def token_of(given: Token | None) -> Token | None:
    """The token itself; of `@FILE` the content.

    Raises:
        UsageError: code `unreadable-file`, `invalid-token`; the token is not in the message.
    """
    if given is None:
        return None
    text = _content(Path(given[1:])) if given.startswith("@") else given.strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        where = f"in {given[1:]}" if given.startswith("@") else "given"
        raise UsageError(f"what is {where} is no token", code="invalid-token", hint="an API key is one word")
    return Token(text)


def _content(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"--token: {path} cannot be read: {said}", code="unreadable-file") from None


def quoted(part: str) -> str:
    """A part of a path, whatever is in it."""
    return quote(part, safe="")
