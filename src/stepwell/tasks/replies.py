"""Answers to HTTP requests: read within limits, decoded, judged."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import msgspec

from stepwell.ports.work import TaskError
from stepwell.tasks.requests import HttpRequest
from stepwell.tasks.urls import shown

EXCERPT: Final = 500
"""How much of an unwelcome answer's body is put into the error, in characters."""

_RETRYABLE: Final = frozenset({408, 425, 429})
_CHARSET: Final = re.compile(r"charset\s*=\s*\"?([\w.:\-]+)", re.IGNORECASE)
_TEXTUAL: Final = re.compile(
    r"text/.*|application/(x-www-form-urlencoded|(.*[+\-])?(xml|yaml|javascript|ndjson|jsonl|sql|graphql|toml))"
)
_JSON: Final = re.compile(r"application/json|.+/.+\+json|text/json")


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer.

    Attributes:
        request: what was answered: after redirects, the last request.
        headers: by lower-case name; the values of a repeated header are joined with `, `.
        body: decompressed.
    """

    request: HttpRequest
    status: int
    headers: Mapping[str, str]
    body: bytes

    def scope(self) -> dict[str, Any]:
        """What a step's `output` mapping may read beside the body."""
        return {"response_status": self.status, "response_headers": dict(self.headers)}


async def read_body(chunks: AsyncIterable[bytes], encoding: str, limit: int) -> tuple[bytes, bool]:
    """The decompressed body, at most `limit` bytes of it, and whether there was more.

    Raises:
        TaskError: (type `invalid_response`) the compression is damaged or not a known one.
    """
    inflate = _Inflation(encoding)
    body = bytearray()
    async for chunk in chunks:
        body += inflate.feed(chunk, limit + 1 - len(body))
        if len(body) > limit:
            return bytes(body[:limit]), True
    inflate.finish()
    return bytes(body), False


def decode(reply: HttpReply) -> Any:
    """The body as a value: JSON as what it says, text as text, an empty body as null.

    A body without a declared type is JSON if it can be, and text otherwise.

    Raises:
        TaskError: (type `invalid_response`) it is binary, or not what it claims to be.
    """
    if not reply.body or reply.request.method == "HEAD":
        return None
    declared = reply.headers.get("content-type", "")
    kind = declared.partition(";")[0].strip().lower()
    if kind and not _JSON.fullmatch(kind) and not _TEXTUAL.fullmatch(kind):
        raise _invalid(reply, f"is of type {kind}, which is neither JSON nor text")
    text = _text(reply, _CHARSET.search(declared))
    if _JSON.fullmatch(kind):
        return _json(reply, text)
    if kind:
        return text
    try:
        return _json(reply, text)
    except TaskError:
        return text


def check_status(reply: HttpReply) -> None:
    """Refuse an answer that is no success.

    Raises:
        TaskError: (type `http_error`) retryable for 408, 425, 429 and 5xx; the details hold `status`, `url`, `body`,
            and `retry_after` in seconds if the server said so.
    """
    status = reply.status
    if reply.request.is_success(status):
        return
    body = _excerpt(reply)
    details: dict[str, Any] = {"status": status, "url": shown(reply.request.url), "body": body}
    if (wait := _retry_after(reply.headers)) is not None:
        details["retry_after"] = wait
    message = f"{reply.request} was answered {_status_name(status)}" + (f": {body}" if body else "")
    raise TaskError("http_error", message, details=details, retryable=status in _RETRYABLE or status >= 500)


class _Inflation:
    """Decompresses a stream piece by piece, never more at once than was asked for."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        if self._encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise TaskError("invalid_response", f"the answer is compressed as {self._encoding!r}, which was not asked")
        self._stream: Any = None
        self._begun = False

    def feed(self, chunk: bytes, limit: int) -> bytes:
        """The next piece of the body, at most `limit` bytes; if it is as long as that, feed no more."""
        if self._encoding in ("", "identity"):
            return chunk
        out = b""
        while chunk and len(out) < limit:
            out += self._inflate(chunk, limit - len(out))
            chunk = self._stream.unused_data
            if self._stream.eof:
                self._stream = None  # a further gzip member may follow
        return out

    def finish(self) -> None:
        """Check that the stream was complete."""
        if self._stream is not None:
            raise TaskError("invalid_response", "the compressed answer broke off", retryable=True)

    def _inflate(self, chunk: bytes, limit: int) -> bytes:
        try:
            if self._stream is None:
                self._stream = zlib.decompressobj(self._format(chunk))
            return bytes(self._stream.decompress(chunk, limit))
        except zlib.error:
            raise TaskError("invalid_response", "the compression of the answer is damaged") from None

    def _format(self, chunk: bytes) -> int:
        if self._encoding != "deflate":
            return 31
        has_header = chunk[0] & 0x0F == 8 and len(chunk) > 1 and int.from_bytes(chunk[:2], "big") % 31 == 0
        return 15 if has_header else -15  # both are sent under the name of deflate


def _text(reply: HttpReply, charset: re.Match[str] | None) -> str:
    name = charset.group(1) if charset is not None else "utf-8"
    try:
        return reply.body.decode(name).removeprefix("\ufeff")
    except (UnicodeDecodeError, LookupError):
        raise _invalid(reply, f"cannot be read as {name} text") from None


def _json(reply: HttpReply, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        reason = str(error).replace("`", "'")
    raise _invalid(reply, f"is not JSON: {_constant_in(text) or reason}")


def _constant_in(text: str) -> str | None:
    """Whether NaN or Infinity is what is wrong, which some servers send."""
    found: list[str] = []
    try:
        json.loads(text, parse_constant=found.append)
    except (ValueError, RecursionError):
        return None
    return f"it holds {found[0]}, which JSON does not know" if found else None


def _invalid(reply: HttpReply, reason: str) -> TaskError:
    details = {"status": reply.status, "url": shown(reply.request.url)}
    return TaskError("invalid_response", f"the answer to {reply.request} {reason}", details=details)


def _excerpt(reply: HttpReply) -> str:
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and not _JSON.fullmatch(kind) and not _TEXTUAL.fullmatch(kind):
        return f"({len(reply.body)} bytes of {kind})" if reply.body else ""
    text = reply.body.decode("utf-8", "replace").strip()
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"


def _status_name(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _retry_after(headers: Mapping[str, str]) -> int | None:
    """Seconds to wait; a date is taken relative to the server's own."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return int(value[:9])
    try:
        return max(0, int((parsedate_to_datetime(value) - parsedate_to_datetime(headers["date"])).total_seconds()))
    except (KeyError, ValueError, TypeError):
        return None
