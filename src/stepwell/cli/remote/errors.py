"""The errors of a server, as the same errors that a store would have raised."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepwell.app.access import Forbidden, Unauthenticated
from stepwell.app.operating import NoAnswer
from stepwell.base.errors import Conflict, InvalidInput, NotFound, StepwellError, StoreError, UsageError

_KINDS: Final[Mapping[int, type[StepwellError]]] = {
    404: NotFound,
    409: Conflict,
    412: Conflict,
    428: Conflict,
    504: NoAnswer,
}
_SAYS_NO_MORE: Final = frozenset({"invalid-body", "invalid-parameter"})
"""Codes whose message names only the fields; what is wrong with each is in `errors`."""
_NUMBER: Final = re.compile(r"0|[1-9][0-9]*")


class ServerError(StoreError):
    """The server cannot be reached, or does not answer as a server of stepwell does."""

    code = "server-unreachable"


class BadFields(UsageError):
    """The server found something wrong in what it was sent; `fields` are the entries of `errors`."""

    def __init__(self, message: str, *, code: str, hint: str | None, fields: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(message, code=code, hint=hint)
        self.fields = fields


def error_of(status: int, document: Any, base: str, *, has_token: bool) -> StepwellError:
    """What a problem document says, as an error.

    Args:
        document: the body of the answer, or None when it is not JSON.
        base: the URL of the server.
        has_token: a token was sent.
    """
    if not isinstance(document, dict) or not isinstance(document.get("code"), str):
        return strange_answer(base, status)
    code, message, hint = document["code"], _message(document), document.get("hint")
    if status == 401:
        return Unauthenticated(f"{base}: {message}", code=code, hint=_token_hint(has_token))
    if status == 403:
        return Forbidden(f"{base}: {message}", code=code, hint=hint or "another --token may be allowed to")
    if code == InvalidInput.code:
        problems = tuple((_path_of(each), str(each.get("message", ""))) for each in _fields(document))
        return InvalidInput(message, problems=problems, hint=hint)
    if status in _KINDS:
        return _KINDS[status](message, code=code, hint=hint)
    if status == 429 or status >= 500:
        return ServerError(f"{base}: {message}", code=code, hint=hint)
    return BadFields(message, code=code, hint=hint, fields=_fields(document))


def strange_answer(base: str, status: int) -> ServerError:
    """Whatever answers there is not a server of stepwell."""
    return ServerError(
        f"{base} does not answer as a server of stepwell does (status {status})",
        code="not-a-server",
        hint="check the URL given with --server or STEPWELL_SERVER",
    )


def _token_hint(has_token: bool) -> str:
    if has_token:
        return "the token given with --token or STEPWELL_TOKEN is not, or no longer, good here"
    return "give an API key with --token or STEPWELL_TOKEN; `stepwell key create` makes one, on the server's machine"


def _message(document: Mapping[str, Any]) -> str:
    text = str(document.get("detail") or document.get("title") or "the server gives no reason")
    if document["code"] in _SAYS_NO_MORE:
        return f"{text}: {'; '.join(str(each.get('message', '')) for each in _fields(document))}"
    return text


def _fields(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    errors = document.get("errors")
    return [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []


def _path_of(field: Mapping[str, Any]) -> str:
    """Where in the input, as `items[0].price`: the pointer begins with `/input`."""
    path = ""
    for part in str(field.get("pointer") or "").split("/")[2:]:
        name = part.replace("~1", "/").replace("~0", "~")
        path += f"[{name}]" if _NUMBER.fullmatch(name) else f".{name}" if path else name
    return path
