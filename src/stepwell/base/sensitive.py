"""Secrets that nobody marked as such, recognised by what they are called. For what is shown and logged only."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from stepwell.base.values import MASK, Sealed

_WORDS: Final = frozenset({"password", "passwd", "pwd", "passphrase", "secret", "token", "credential", "credentials"})
_PAIRS: Final = frozenset({"apikey", "accesskey", "privatekey", "secretkey", "signingkey", "encryptionkey"})
_REPEATED: Final = frozenset({"confirm", "confirmation", "repeat", "repeated", "again", "old", "new", "value"})
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})

_NAMED: Final = (
    r"[\w-]{0,40}(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)"
)
_ASSIGNED: Final = re.compile(
    rf"(?P<before>\b{_NAMED}(?:=|[\"']\s?:\s?[\"']))(?P<value>[^\s\"'&,;]{{4,}})", re.IGNORECASE | re.ASCII
)
_CREDENTIALS: Final = re.compile(
    r"(?P<before>\b(?:authorization|cookie)[\"']?\s?[:=]\s?[\"']?(?:(?:bearer|basic)\s)?|\bbearer\s)"
    r"(?P<value>[^\s\"',;]{8,})",
    re.IGNORECASE | re.ASCII,
)


@lru_cache(maxsize=1_000)
def names_a_secret(name: str) -> bool:
    """Whether a field of this name holds a secret by its name alone: `password`, `api_key`, `accessToken`, ...

    A stated list, so that it can be predicted: the last word is `password`, `passwd`, `pwd`, `passphrase`, `secret`,
    `token` or `credential(s)`; or one of the first four followed by such as `confirmation`; or the name ends with
    `api key`, `access key`, `private key`, `secret key`, `signing key`, `encryption key`.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not words:
        return False
    return (
        words[-1] in _WORDS
        or "".join(words[-2:]) in _PAIRS
        or words[-1] in _PAIRS
        or (len(words) > 1 and words[-1] in _REPEATED and words[-2] in _WORDS)
    )


def hide_by_name(value: Any) -> Any:
    """A JSON value with `***` in place of every text and number whose name says that it is a secret, or that carries
    one (`authorization`, `cookie`)."""
    if isinstance(value, dict):
        return {key: _hidden(item) if _is_hidden(key) else hide_by_name(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [hide_by_name(item) for item in value]
    return value


def seal_by_name(value: Any) -> Any:
    """A JSON value with those sealed, to be kept encrypted and shown as `***`."""
    if isinstance(value, dict):
        return {key: Sealed(item) if _is_hidden(key) else seal_by_name(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [seal_by_name(item) for item in value]
    return value


def hide_in_text(text: str) -> str:
    """A text for a message or a log with `***` in place of what `password=...`, `"token": "..."`, `Authorization: ...`
    and the like say in it."""
    if "=" not in text and ":" not in text and "earer" not in text:
        return text
    for pattern in (_CREDENTIALS, _ASSIGNED):
        text = pattern.sub(rf"\g<before>{MASK}", text)
    return text


def _is_hidden(key: Any) -> bool:
    return isinstance(key, str) and len(key) <= 200 and (key.lower() in _HEADERS or names_a_secret(key))


def _hidden(value: Any) -> Any:
    """Everything in it; that there is nothing is no secret."""
    if isinstance(value, dict):
        return {key: _hidden(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hidden(item) for item in value]
    return value if value is None or isinstance(value, bool) or value == "" else MASK
