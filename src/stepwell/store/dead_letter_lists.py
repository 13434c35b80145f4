"""What a batch does to the list of dead letters. Pure: every store uses it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from stepwell.ports.records import Change, DeadLetter


class DeadLetterChanges(NamedTuple):
    """First those with these ids go, then the others are added, in order, each in the place of one with its id."""

    resolved: dict[str, None]
    written: dict[str, DeadLetter]


def dead_letter_changes(changes: Iterable[Change]) -> DeadLetterChanges:
    """What all changes of a batch together do to dead letters."""
    resolved, written = outcome = DeadLetterChanges({}, {})
    for change in changes:
        for id_ in change.dead_letters_resolved:
            written.pop(id_, None)
            resolved[id_] = None
        for letter in change.dead_letters:
            written.pop(letter.id, None)
            written[letter.id] = letter
    return outcome
