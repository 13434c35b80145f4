"""Dead letters, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from stepwell.base.namespaces import namespace_of
from stepwell.ports.listings import DeadLetterPage, DeadLetterQuery
from stepwell.ports.records import Change, DeadLetter, Discarded
from stepwell.store.cursors import number_of
from stepwell.store.dead_letter_lists import dead_letter_changes


class DeadLetters:
    """The dead letters of a store, numbered in the order in which they came. See `ports.Store`."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._letters: dict[int, DeadLetter] = {}
        self._so_far = 0

    def apply(self, changes: Sequence[Change]) -> None:
        """Take out what is resolved, and put in what is new."""
        resolved, written = dead_letter_changes(changes)
        for id_ in (*resolved, *written):
            self._letters.pop(self._numbers.pop(id_, 0), None)
        for id_, letter in written.items():
            self._so_far += 1
            self._numbers[id_] = self._so_far
            self._letters[self._so_far] = letter

    def get(self, id_: str) -> DeadLetter | None:
        """See `ports.Store.dead_letter`."""
        return self._letters.get(self._numbers.get(id_, 0))

    def page(self, query: DeadLetterQuery) -> DeadLetterPage:
        """See `ports.Store.dead_letters`."""
        before = number_of(query)
        numbers = [number for number in sorted(self._letters, reverse=True) if number < before]
        wanted = [number for number in numbers if _is_wanted(self._letters[number], query)]
        items = [self._letters[number] for number in wanted[: query.limit]]
        return DeadLetterPage(items, str(wanted[query.limit - 1]) if len(wanted) > query.limit else None)

    def discard(self, id_: str, discarded: Discarded) -> bool:
        """See `ports.Store.discard_dead_letter`."""
        letter = self.get(id_)
        if letter is None or letter.discarded is not None:
            return False
        self._letters[self._numbers[id_]] = replace(letter, discarded=discarded, input=None)
        return True

    def count(self) -> int:
        """How many there are that were not discarded."""
        return sum(letter.discarded is None for letter in self._letters.values())


def _is_wanted(letter: DeadLetter, query: DeadLetterQuery) -> bool:
    return (
        (letter.discarded is not None) == query.discarded
        and (query.workflow is None or letter.workflow == query.workflow)
        and (query.execution is None or letter.execution == query.execution)
        and (query.namespaces is None or namespace_of(letter.workflow) in query.namespaces)
        and (query.error_type is None or letter.error.type == query.error_type)
    )
