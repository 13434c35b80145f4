"""What every store must do with dead letters."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import ErrorInfo, FenceLost, UsageError
from stepwell.ports.listings import DeadLetterQuery
from stepwell.ports.records import Batch, Change, DeadLetter, Discarded, Handle
from stepwell.ports.store import Store
from tests.conformance.store import LATER, NOW, Scene, StorePlace, change, creation

ERROR = ErrorInfo("http_error", "503 from 'pay' ☃", {"status": 503, "seen": ["***", None]}, retryable=True)
DISCARDED = Discarded(at=NOW + 7, by="ada", reason="paid by hand")


def letter(execution: str = "a", step: str = "pay", seq: int = 2, **changes: Any) -> DeadLetter:
    """A dead letter, with what a test does not care about filled in."""
    fields: dict[str, Any] = {
        "execution": execution,
        "workflow": "shop",
        "version": "1.0.0",
        "step": step,
        "at": NOW,
        "seq": seq,
        "attempts": 3,
        "kind": "step",
        "error": ERROR,
        "input": b"\x00\xffinput",
    }
    return DeadLetter(**(fields | changes))


def leaving(handle: Handle, *letters: DeadLetter, seq: int = 2, **fields: Any) -> Change:
    """A change that leaves dead letters."""
    return change(handle, seq, dead_letters=letters, **fields)


class DeadLettersConformance(StorePlace):
    async def ids(self, store: Store, **query: Any) -> list[str]:
        return [found.id for found in (await store.dead_letters(DeadLetterQuery(**query))).items]

    async def test_a_dead_letter_is_kept_as_it_was_written(self, scene: Scene) -> None:
        handle = await scene.create("a")
        one = letter(step="undo[2,0]#3", kind="compensation", attempts=1, input=None)
        other = letter(step="pay")
        await scene.append(leaving(handle, one, other))
        assert await scene.store.dead_letter("a/undo[2,0]#3/2") == one
        assert await scene.store.dead_letter("a/pay/2") == other
        page = await scene.store.dead_letters(DeadLetterQuery())
        assert (page.items, page.next) == ([other, one], None), "newest first"

    async def test_what_is_not_there_is_none(self, store: Store) -> None:
        assert await store.dead_letter("a/pay/2") is None
        assert await self.ids(store) == []
        assert not await store.discard_dead_letter("a/pay/2", DISCARDED)

    async def test_a_dead_letter_may_come_in_the_batch_that_creates_its_execution(self, scene: Scene) -> None:
        handle = Handle("a", scene.lease.shard)
        await scene.append(creation(handle), leaving(handle, letter()))
        assert await self.ids(scene.store) == ["a/pay/2"]

    async def test_a_resolved_dead_letter_is_gone(self, scene: Scene) -> None:
        handle = await scene.create("a")
        await scene.append(leaving(handle, letter(), letter(step="ship")))
        await scene.append(change(handle, 3, dead_letters_resolved=["a/pay/2", "a/never/9"]))
        assert await self.ids(scene.store) == ["a/ship/2"]
        assert await scene.store.dead_letter("a/pay/2") is None

    async def test_in_one_change_the_old_is_resolved_before_the_new_is_written(self, scene: Scene) -> None:
        handle = await scene.create("a")
        await scene.append(leaving(handle, letter()))
        await scene.append(leaving(handle, letter(attempts=9), seq=3, dead_letters_resolved=["a/pay/2"]))
        found = await scene.store.dead_letter("a/pay/2")
        assert found is not None
        assert found.attempts == 9

    async def test_the_last_word_of_a_batch_counts(self, scene: Scene) -> None:
        handle = await scene.create("a")
        await scene.append(
            leaving(handle, letter(), letter(step="ship"), seq=2),
            leaving(handle, letter(attempts=9), seq=3),
            change(handle, 4, dead_letters_resolved=["a/ship/2"]),
        )
        page = await scene.store.dead_letters(DeadLetterQuery())
        assert [(found.id, found.attempts) for found in page.items] == [("a/pay/2", 9)]

    async def test_a_refused_batch_leaves_the_list_as_it_was(self, scene: Scene) -> None:
        handle = await scene.create("a")
        await scene.append(leaving(handle, letter()))
        refused = leaving(handle, letter(step="ship"), seq=3, dead_letters_resolved=["a/pay/2"])
        with pytest.raises(FenceLost):
            await scene.store.append(Batch(fences={scene.lease.shard: 10**6}, changes=[refused]))
        assert await self.ids(scene.store) == ["a/pay/2"]

    # ── Lists ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_dead_letters_are_filtered(self, scene: Scene) -> None:
        a, b, c = [await scene.create(name) for name in "abc"]
        await scene.append(leaving(a, letter("a"), letter("a", "ship", error=ErrorInfo("timeout", "too late"))))
        await scene.append(leaving(b, letter("b", workflow="bank")), leaving(c, letter("c", workflow="team.bank")))
        assert await self.ids(scene.store, workflow="bank") == ["b/pay/2"]
        assert await self.ids(scene.store, namespaces=("team",)) == ["c/pay/2"]
        assert await self.ids(scene.store, namespaces=("default",), execution="b") == ["b/pay/2"]
        assert await self.ids(scene.store, namespaces=()) == []
        assert await self.ids(scene.store, execution="a") == ["a/ship/2", "a/pay/2"]
        assert await self.ids(scene.store, error_type="http_error") == ["c/pay/2", "b/pay/2", "a/pay/2"]
        assert await self.ids(scene.store, error_type="timeout", execution="b") == []
        assert await self.ids(scene.store, workflow="x' OR 1=1 --") == []

    async def test_dead_letters_are_read_page_by_page_while_more_come_and_go(self, scene: Scene) -> None:
        handle = await scene.create("a")
        await scene.append(*[leaving(handle, letter(step=f"s{n}"), seq=n + 2) for n in range(7)])
        seen, cursor = [], None
        for turn in range(3):
            page = await scene.store.dead_letters(DeadLetterQuery(limit=3, cursor=cursor))
            seen += [found.step for found in page.items]
            cursor = page.next
            more = leaving(handle, letter(step=f"new{turn}"), seq=20 + turn, dead_letters_resolved=[page.items[0].id])
            await scene.append(more)
        assert seen == [f"s{n}" for n in reversed(range(7))]
        assert cursor is None

    async def test_a_full_last_page_of_dead_letters_has_no_next(self, scene: Scene) -> None:
        handle = await scene.create("a")
        await scene.append(leaving(handle, *[letter(step=step) for step in "abcd"]))
        first = await scene.store.dead_letters(DeadLetterQuery(limit=2))
        second = await scene.store.dead_letters(DeadLetterQuery(limit=2, cursor=first.next))
        assert first.next is not None
        assert (len(second.items), second.next) == (2, None)

    @pytest.mark.parametrize("cursor", ["", "x", "-1", "1.2", "9" * 40, "\N{ARABIC-INDIC DIGIT ONE}"])
    async def test_a_cursor_that_is_none_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(UsageError) as raised:
            await store.dead_letters(DeadLetterQuery(cursor=cursor))
        assert raised.value.code == "invalid-cursor"

    async def test_a_list_of_nothing_is_refused(self, store: Store) -> None:
        with pytest.raises(UsageError):
            await store.dead_letters(DeadLetterQuery(limit=0))

    # ── Discarding ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_a_discarded_dead_letter_is_known_without_its_input_and_no_longer_listed(self, scene: Scene) -> None:
        handle = await scene.create("a")
        await scene.append(leaving(handle, letter(), letter(step="ship")))
        assert await scene.store.discard_dead_letter("a/pay/2", DISCARDED)
        assert await scene.store.dead_letter("a/pay/2") == letter(input=None, discarded=DISCARDED)
        assert await self.ids(scene.store) == ["a/ship/2"]
        assert await self.ids(scene.store, discarded=True) == ["a/pay/2"]
        assert (await scene.store.status()).dead_letters == 1

    async def test_discarding_a_second_time_changes_nothing(self, scene: Scene) -> None:
        handle = await scene.create("a")
        await scene.append(leaving(handle, letter()))
        await scene.store.discard_dead_letter("a/pay/2", DISCARDED)
        assert not await scene.store.discard_dead_letter("a/pay/2", Discarded(at=LATER, by="eve"))
        assert (await scene.store.dead_letter("a/pay/2")).discarded == DISCARDED  # type: ignore[union-attr]

    async def test_a_discarded_dead_letter_can_be_resolved(self, scene: Scene) -> None:
        handle = await scene.create("a")
        await scene.append(leaving(handle, letter()))
        await scene.store.discard_dead_letter("a/pay/2", DISCARDED)
        await scene.append(change(handle, 3, dead_letters_resolved=["a/pay/2"]))
        assert await scene.store.dead_letter("a/pay/2") is None

    async def test_dead_letters_outlive_closing(self, scene: Scene) -> None:
        handle = await scene.create("a")
        await scene.append(leaving(handle, letter()))
        await scene.store.close()
        await scene.store.open()
        assert await scene.store.dead_letter("a/pay/2") == letter()
