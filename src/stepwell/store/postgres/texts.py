"""Texts as PostgreSQL keeps them. It refuses one character, NUL, which a text from outside may well contain.

NUL is written as three control characters, and so are the three control characters that this takes. Nothing else is
changed. None of the three appears otherwise, and each has its place in what it is part of: so one text contains another
exactly if it does so in the form in which they are kept.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, overload

_KEPT: Final = {"\0": "\1\2\2", "\1": "\1\2\3", "\2": "\1\3\2", "\3": "\1\3\3"}
_GIVEN: Final = {kept: given for given, kept in _KEPT.items()}
_TAKEN: Final = re.compile("[\0-\3]")
_WRITTEN: Final = re.compile("\1[\2\3]{2}")


@overload
def kept(text: str) -> str: ...
@overload
def kept(text: str | None) -> str | None: ...
def kept(text: str | None) -> str | None:
    """The text in the form in which it is kept."""
    if text is None or _TAKEN.search(text) is None:
        return text
    return _TAKEN.sub(lambda match: _KEPT[match[0]], text)


@overload
def given(text: str) -> str: ...
@overload
def given(text: str | None) -> str | None: ...
def given(text: str | None) -> str | None:
    """The text that is kept so."""
    if text is None or "\1" not in text:
        return text
    return _WRITTEN.sub(lambda match: _GIVEN[match[0]], text)


def digest_of(*texts: str) -> bytes:
    """What texts are found by that may be longer than an entry of an index: 32 bytes, others for other texts."""
    whole = "".join(f"{len(text)}:{text}" for text in texts)
    return hashlib.sha256(whole.encode(errors="surrogatepass")).digest()
