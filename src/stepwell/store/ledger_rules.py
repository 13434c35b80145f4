"""What may be written to a ledger, and what becomes of a document. Pure: every store uses it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from stepwell.base.chain import ORIGIN, link
from stepwell.base.errors import Conflict, UsageError
from stepwell.ports.ledger import Chain, Document, JournalEntry, Write

_LAST_CHARACTER: Final = "\U0010ffff"
_BEFORE_SURROGATES, _AFTER_SURROGATES = "\ud7ff", "\ue000"


def check_texts(writes: Iterable[Write], entries: Iterable[JournalEntry]) -> None:
    """Refuse texts that not every store can keep, or that could not be found again.

    Raises:
        UsageError: code `invalid-text`.
    """
    for write in writes:
        _check_name("the kind of a document", write.kind)
        _check_name("the key of a document", write.key)
    for entry in entries:
        _check_name("the kind of a journal entry", entry.kind)
        _check_name("the subject of a journal entry", entry.subject, may_be_empty=True)
        _check_unicode("the body of a journal entry", entry.body)


def check_question(*texts: str | None) -> None:
    """Refuse to search for what is not Unicode, for nothing can be found by it.

    Raises:
        UsageError: code `invalid-text`.
    """
    for text in texts:
        _check_unicode("what is searched for", text or "")


def rewritten(write: Write, known: Document | None, deleted: int, now: int) -> Document | None:
    """The document after the write; None when it is not there then.

    Args:
        known: the document before it.
        deleted: the highest revision that any deleted document of its kind had; 0 when there is none.

    Raises:
        Conflict: (code `changed-meanwhile`) it is not as expected.
    """
    revision = known.revision if known is not None else 0
    if write.expected is not None and write.expected != revision:
        raise _changed(write, revision)
    if write.body is None:
        return None
    return Document(
        kind=write.kind,
        key=write.key,
        revision=(revision or deleted) + 1,
        body=write.body,
        due_at=write.due_at,
        updated_at=now,
    )


def carried_on(before: Chain | None, entry: JournalEntry, number: int) -> Chain:
    """The end of a kind's chain after this entry with this number; `before` is its end until then, if there is one."""
    return Chain(
        kind=entry.kind,
        length=before.length + 1 if before is not None else 1,
        number=number,
        hash=link(before.hash if before is not None else ORIGIN, entry.kind, entry.subject, entry.at, entry.body),
    )


def lowered(text: str) -> str:
    """With ASCII letters, and no others, in lower case."""
    return text.encode().lower().decode()


def end_of_prefix(prefix: str) -> str | None:
    """The first text, by code points, behind all that begin with `prefix`; None when there is none."""
    shortened = prefix.rstrip(_LAST_CHARACTER)
    if not shortened:
        return None
    last = shortened[-1]
    return shortened[:-1] + (_AFTER_SURROGATES if last == _BEFORE_SURROGATES else chr(ord(last) + 1))


def _check_name(what: str, text: str, *, may_be_empty: bool = False) -> None:
    if not (text or may_be_empty):
        raise UsageError(f"{what} is empty; it has at least one character", code="invalid-text")
    if "\0" in text:
        raise UsageError(f"{what}, {text[:100]!r}, contains the character NUL, which it may not", code="invalid-text")
    _check_unicode(what, text)


def _check_unicode(what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{what} is not Unicode: it holds half a surrogate pair at character {error.start}", code="invalid-text"
        ) from None


def _changed(write: Write, revision: int) -> Conflict:
    found = f"has revision {revision}" if revision else "is not there"
    expected = f"revision {write.expected} was expected" if write.expected else "it was expected not to be there"
    return Conflict(
        f"the {write.kind} {write.key!r} {found}; {expected}",
        code="changed-meanwhile",
        hint="somebody else changed it meanwhile: read it again, and decide again",
    )
