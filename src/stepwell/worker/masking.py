"""Keeping what was secret in the configuration out of what a task gives back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

from stepwell.base.values import MASK, Sealed
from stepwell.worker.opening import SHORTEST_TEXT


class Mask:
    """Finds the given secret texts, also in the spellings that programs commonly give them."""

    def __init__(self, texts: Iterable[str]) -> None:
        spellings = {spelling for text in texts for spelling in _spellings(text)}
        self._spellings = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))

    def finds(self, text: str) -> bool:
        """Whether a secret is in the text."""
        return any(spelling in text for spelling in self._spellings)

    def hide(self, text: str) -> str:
        """The text with every secret in it replaced by `***`: for messages and logs."""
        for spelling in self._spellings:
            if spelling in text:
                text = text.replace(spelling, MASK)
        return text

    def hide_all(self, value: Any) -> Any:
        """A JSON value with every secret in it, names included, replaced by `***`."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, dict):
            return {self.hide(key): self.hide_all(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.hide_all(item) for item in value]
        return MASK if self._is_secret_number(value) else value

    def seal(self, value: Any) -> Any:
        """A JSON value with everything that holds a secret sealed: stored encrypted, still of use to later steps."""
        if isinstance(value, str):
            return Sealed(value) if self.finds(value) else value
        if isinstance(value, dict):
            if any(map(self.finds, value)):
                return Sealed(value)  # a name cannot be sealed by itself
            return {key: self.seal(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.seal(item) for item in value]
        return Sealed(value) if self._is_secret_number(value) else value

    def _is_secret_number(self, value: Any) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and str(value) in self._spellings


def _spellings(text: str) -> Iterator[str]:
    yield from (text, text.upper(), text.lower())
    yield from (quote(text, safe=""), quote(text), quote_plus(text))
    yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1])
    yield from _base64_spellings(text.encode())


def _base64_spellings(secret: bytes) -> Iterator[str]:
    """What base64 makes of the secret wherever it stands in the encoded bytes, as in `user:password`.

    Base64 turns 3 bytes into 4 characters, so there are three ways it can fall; characters that also depend on the
    neighbours are left out.
    """
    for offset in range(3):
        bits = 8 * (offset + len(secret))
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(b"\0" * offset + secret).decode()
            spelling = encoded[-(-8 * offset // 6) : bits // 6]
            if len(spelling) >= SHORTEST_TEXT:
                yield spelling
