"""What every store must do with documents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from stepwell.base.errors import Conflict, StepwellError, UsageError
from stepwell.ports.ledger import DEAD_EVENT, Document, JournalEntry, JournalQuery, JournalRow, Write
from stepwell.ports.records import ANYWHERE, InboxItem
from stepwell.ports.store import Store
from tests.conformance.store import LATER, NOW, PATIENCE, TTL, OpenStore, Scene, StorePlace, event

WEIRD_KEYS = (
    "it's",
    'q"uote',
    "100%_[a-z]*?",
    " ",
    "a/b/../c",
    "\r\n\t\x01",
    "\N{SNOWMAN}",
    "\U0001f600",
    "e\u0301",
    "\u00e9",
    "\U0010ffff",
    "\ud7ff",
    "\ue000",
    "x" * 20_000,
)
"""Keys that are texts all the same, and all different."""


def put(key: str = "k", body: bytes | None = b"body", **fields: Any) -> Write:
    """A write of a document, with what a test does not care about filled in."""
    return Write(**({"kind": "schedule", "key": key, "body": body} | fields))


def delete(key: str = "k", **fields: Any) -> Write:
    """A deletion of a document."""
    return Write(**({"kind": "schedule", "key": key, "body": None} | fields))


def entry(body: str = "done", **fields: Any) -> JournalEntry:
    """A journal entry."""
    known: dict[str, Any] = {"kind": "audit", "subject": "k", "at": NOW, "body": body}
    return JournalEntry(**(known | fields))


def item(shard: int = ANYWHERE, kind: str = "start", payload: bytes = b"p") -> InboxItem:
    """An inbox item."""
    return InboxItem(shard=shard, kind=kind, payload=payload)


def keys_of(documents: Sequence[Document]) -> list[str]:
    """The keys, in order."""
    return [document.key for document in documents]


def bodies_of(rows: Sequence[JournalRow]) -> str:
    """The bodies, one after another."""
    return "".join(row.body for row in rows)


async def journal(store: Store, kind: str = "audit", **fields: Any) -> Sequence[JournalRow]:
    """What the journal says to a query."""
    return await store.journal(JournalQuery(kind=kind, **fields))


any_writes = st.builds(
    put,
    st.sampled_from("abc"),
    st.none() | st.binary(max_size=2),
    expected=st.none() | st.integers(0, 4),
    due_at=st.none() | st.integers(0, 5),
)


async def refusal(call: Any) -> StepwellError:
    """What the call is refused with."""
    with pytest.raises(StepwellError) as raised:
        await call
    return raised.value


class LedgerConformance(StorePlace):
    """The suite."""

    # ── Documents ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_a_document_is_read_as_it_was_written(self, store: Store) -> None:
        assert await store.write([put("a", b"\x00\xff", due_at=5), put("b", b"")], NOW) == [1, 1]
        assert await store.document("schedule", "a") == Document(
            kind="schedule", key="a", revision=1, body=b"\x00\xff", due_at=5, updated_at=NOW
        )
        assert await store.document("schedule", "b") == Document(
            kind="schedule", key="b", revision=1, body=b"", due_at=None, updated_at=NOW
        )

    async def test_what_is_not_there_is_none(self, store: Store) -> None:
        await store.write([put("a")], NOW)
        assert await store.document("schedule", "b") is None
        assert await store.document("api-key", "a") is None
        assert await store.next_due("schedule") is None
        assert await store.documents("api-key") == []
        assert await store.due_documents("schedule", LATER) == []

    async def test_a_write_replaces_all_of_a_document(self, store: Store) -> None:
        await store.write([put(body=b"1", due_at=5)], NOW)
        assert await store.write([put(body=b"2")], NOW + 1) == [2]
        assert await store.document("schedule", "k") == Document(
            kind="schedule", key="k", revision=2, body=b"2", due_at=None, updated_at=NOW + 1
        )

    async def test_a_document_is_there_when_the_store_is_opened_again(
        self, store: Store, open_store: OpenStore
    ) -> None:
        await store.write([put()], NOW, entries=[entry(chained=True)])
        await store.close()
        other = await open_store()
        assert await other.document("schedule", "k") is not None
        assert bodies_of(await journal(other)) == "done"
        assert [chain.length for chain in await other.chains()] == [1]

    async def test_a_store_that_is_not_open_says_so(self, store: Store) -> None:
        await store.close()
        for call in (
            store.write([put()], NOW),
            store.document("a", "b"),
            store.documents("a"),
            store.due_documents("a", NOW),
            store.next_due("a"),
            journal(store),
            store.forget_journal("a", NOW),
            store.chains(),
            store.feed(0),
            store.feed_end(),
        ):
            assert (await refusal(call)).code == "store-closed"

    @pytest.mark.parametrize(
        ("write", "said"),
        [
            (put("there", expected=0), "the schedule 'there' has revision 2; it was expected not to be there"),
            (put("there", expected=1), "the schedule 'there' has revision 2; revision 1 was expected"),
            (put("there", expected=3), "the schedule 'there' has revision 2; revision 3 was expected"),
            (put("new", expected=1), "the schedule 'new' is not there; revision 1 was expected"),
            (put("gone", expected=1), "the schedule 'gone' is not there; revision 1 was expected"),
            (delete("there", expected=1), "the schedule 'there' has revision 2; revision 1 was expected"),
            (delete("there", expected=0), "the schedule 'there' has revision 2; it was expected not to be there"),
            (delete("new", expected=1), "the schedule 'new' is not there; revision 1 was expected"),
        ],
    )
    async def test_a_write_that_expects_another_revision_is_refused(
        self, store: Store, write: Write, said: str
    ) -> None:
        await store.write([put("there"), put("there"), put("gone"), delete("gone")], NOW)
        with pytest.raises(Conflict) as raised:
            await store.write([write], NOW + 1)
        assert raised.value.code == "changed-meanwhile"
        assert raised.value.message == said
        assert raised.value.hint
        found = await store.document("schedule", "there")
        assert found is not None
        assert (found.revision, found.updated_at) == (2, NOW)

    async def test_a_write_that_expects_what_is_there_is_done(self, store: Store) -> None:
        assert await store.write([put(expected=0)], NOW) == [1]
        assert await store.write([put(expected=1)], NOW) == [2]
        assert await store.write([delete(expected=2)], NOW) == [2]
        assert await store.write([put(expected=0)], NOW) == [3]

    async def test_a_revision_is_never_given_twice_for_a_key(self, store: Store) -> None:
        seen: list[int] = []
        for _ in range(4):
            seen += await store.write([put("a"), put("a")], NOW)
            await store.write([delete("a"), put("b"), delete("b")], NOW)
        assert len(set(seen)) == len(seen)
        assert seen == sorted(seen)

    async def test_a_kind_of_which_nothing_was_deleted_counts_from_one(self, store: Store) -> None:
        await store.write([put("a"), put("a"), delete("a")], NOW)
        assert await store.write([put("a", kind="api-key")], NOW) == [1]

    async def test_deleting_what_is_not_there_does_nothing(self, store: Store) -> None:
        assert await store.write([delete("a"), delete("a", expected=0), put("a")], NOW) == [0, 0, 1]

    async def test_several_writes_of_a_document_take_effect_one_after_another(self, store: Store) -> None:
        writes = [put(expected=0), put(body=b"2", expected=1), delete(expected=2), put(body=b"3", expected=0)]
        assert await store.write(writes, NOW) == [1, 2, 2, 3]
        found = await store.document("schedule", "k")
        assert found is not None
        assert found.body == b"3"

    async def test_of_many_that_change_one_revision_one_wins(self, open_store: OpenStore) -> None:
        stores = [await open_store() for _ in range(4)]
        await stores[0].write([put()], NOW)
        for revision in range(1, 20):
            answers = await asyncio.gather(
                *[store.write([put(expected=revision)], NOW) for store in stores], return_exceptions=True
            )
            assert sum(isinstance(answer, Conflict) for answer in answers) == len(stores) - 1
            assert [revision + 1] in answers

    async def test_documents_are_listed_by_key_in_the_order_of_code_points(self, store: Store) -> None:
        names = ["b", "a", "B", "\u00e9", "z", "aa", "\U0001f600", "\uff5e", "a/2", "a/10", "~"]
        await store.write([put(name) for name in names], NOW)
        await store.write([put("a", kind="schedules"), put("a", kind="schedul")], NOW)
        assert keys_of(await store.documents("schedule")) == sorted(names)

    async def test_a_list_of_documents_goes_on_behind_a_key(self, store: Store) -> None:
        await store.write([put(name) for name in "abcdef"], NOW)
        assert keys_of(await store.documents("schedule", limit=4)) == list("abcd")
        assert keys_of(await store.documents("schedule", after="d", limit=4)) == list("ef")
        assert keys_of(await store.documents("schedule", after="dd", limit=1)) == ["e"]
        assert keys_of(await store.documents("schedule", after="f")) == []

    async def test_documents_are_listed_by_the_beginning_of_their_keys(self, store: Store) -> None:
        names = [
            "a",
            "a/1",
            "a/2",
            "a0",
            "b/1",
            "a/\U0010ffff",
            "a/\U0010ffff\U0010ffffx",
            "%/1",
            "A/1",
            "\ud7ffa",
            "\ue000",
        ]
        await store.write([put(name) for name in names], NOW)
        for prefix in ("", "a", "a/", "%", "%/", "_", "\ud7ff", "\U0010ffff", "a/\U0010ffff", "b/12"):
            expected = sorted(name for name in names if name.startswith(prefix))
            assert keys_of(await store.documents("schedule", prefix=prefix)) == expected
        assert keys_of(await store.documents("schedule", prefix="a/", after="a/1", limit=1)) == ["a/2"]
        assert keys_of(await store.documents("schedule", prefix="a/", after="Z")) == sorted(
            name for name in names if name.startswith("a/")
        )
        assert keys_of(await store.documents("schedule", prefix="a/", after="b")) == []

    async def test_due_documents_come_the_longest_due_first(self, store: Store) -> None:
        dues = {"d": 30, "c": 10, "b": 10, "a": 20, "never": None, "later": 31}
        await store.write([put(key, due_at=due_at) for key, due_at in dues.items()], NOW)
        await store.write([put("x", kind="api-key", due_at=1)], NOW)
        assert keys_of(await store.due_documents("schedule", 30)) == ["b", "c", "a", "d"]
        assert keys_of(await store.due_documents("schedule", 30, limit=2)) == ["b", "c"]
        assert keys_of(await store.due_documents("schedule", 9)) == []
        assert await store.next_due("schedule") == 10

    async def test_what_is_moved_on_or_deleted_is_no_longer_due(self, store: Store) -> None:
        await store.write([put("a", due_at=10), put("b", due_at=20), put("c", due_at=-5)], NOW)
        assert await store.next_due("schedule") == -5
        await store.write([put("a", due_at=40), delete("b"), put("c")], NOW)
        assert keys_of(await store.due_documents("schedule", 39)) == []
        assert await store.next_due("schedule") == 40

    async def test_strange_keys_are_keys(self, store: Store) -> None:
        await store.write([put(key, key[:50].encode(), due_at=7) for key in WEIRD_KEYS], NOW)
        await store.write([put("\u00e9", b"composed", kind="\N{SNOWMAN}'\"")], NOW)
        for key in WEIRD_KEYS:
            found = await store.document("schedule", key)
            assert found is not None
            assert (found.key, found.body, found.revision) == (key, key[:50].encode(), 1)
        assert keys_of(await store.documents("schedule")) == sorted(WEIRD_KEYS)
        assert keys_of(await store.due_documents("schedule", 7)) == sorted(WEIRD_KEYS)
        assert len(await store.documents("\N{SNOWMAN}'\"")) == 1

    @pytest.mark.parametrize(
        "wrong",
        [put(""), put(kind=""), put("a\0b"), put(kind="\0"), put("\ud800"), put(kind="a\udfff"), delete("")],
    )
    async def test_a_key_or_kind_that_not_every_store_can_keep_is_refused(self, store: Store, wrong: Write) -> None:
        error = await refusal(store.write([put("a"), wrong], NOW))
        assert isinstance(error, UsageError)
        assert error.code == "invalid-text"
        assert await store.documents("schedule") == []

    async def test_searching_for_what_is_no_text_is_refused(self, store: Store) -> None:
        for call in (
            store.document("schedule", "\ud800"),
            store.document("\ud800", "a"),
            store.documents("\ud800"),
            store.documents("a", prefix="\ud800"),
            store.documents("a", after="\ud800"),
            journal(store, "\ud800"),
            journal(store, subject="\ud800"),
            journal(store, text="\ud800"),
        ):
            assert (await refusal(call)).code == "invalid-text"

    async def test_a_limit_is_positive(self, store: Store) -> None:
        for limit in (0, -1):
            for call in (
                store.documents("a", limit=limit),
                store.due_documents("a", NOW, limit),
                journal(store, limit=limit),
                store.feed(0, limit),
            ):
                assert isinstance(await refusal(call), UsageError)

    # ── A write is one transaction ───────────────────────────────────────────────────────────────────────────────────

    async def test_items_and_entries_are_written_with_the_documents(self, scene: Scene) -> None:
        shard = scene.lease.shard
        await scene.store.write(
            [put()], NOW, posts=[item(), item(shard, "cancel", b"q")], entries=[entry("1"), entry("2")]
        )
        assert [(each.shard, each.kind, each.payload) for each in await scene.inbox()] == [
            (shard, "start", b"p"),
            (shard, "cancel", b"q"),
        ]
        assert bodies_of(await journal(scene.store)) == "12"

    async def test_items_for_anywhere_go_to_a_shard_with_a_living_owner(self, store: Store) -> None:
        await store.write([], NOW, posts=[item(payload=b"nobody yet")])
        assert [each.payload for each in await store.inbox(0)] == [b"nobody yet"]
        await store.acquire(3, "engine", NOW, TTL)
        await store.write([], NOW, posts=[item()])
        await store.write([], NOW + TTL, posts=[item(payload=b"expired")])
        assert [each.payload for each in await store.inbox(3)] == [b"p", b"expired"]

    async def test_the_owner_of_an_inbox_is_woken(self, scene: Scene, open_store: OpenStore) -> None:
        called = asyncio.Event()
        scene.store.listen(called.set)
        other = await open_store()
        await other.write([put()], NOW, posts=[item(scene.lease.shard)])
        await asyncio.wait_for(called.wait(), PATIENCE)

    async def test_nothing_of_a_refused_write_is_there(self, scene: Scene) -> None:
        store = scene.store
        await store.write([put("there", due_at=1)], NOW, entries=[entry("first", chained=True)])
        before = await self.everything(scene)
        for writes, entries in (
            ([put("a"), delete("there"), put("there", expected=5)], [entry(chained=True)]),
            ([put("a"), put("there")], [entry(chained=True), entry(subject="\0")]),
            ([put("a"), put("b\0")], [entry(chained=True)]),
            ([delete("there")], [entry(chained=True), entry("\ud800")]),
            ([delete("there")], [entry(kind="")]),
        ):
            await refusal(store.write(writes, NOW, posts=[item()], entries=entries))
            assert await self.everything(scene) == before
        assert await store.write([put("a", expected=0)], NOW, entries=[entry(chained=True)]) == [1]
        assert [row.number for row in await journal(store)] == [1, 2]

    async def test_an_empty_write_does_nothing(self, scene: Scene) -> None:
        before = await self.everything(scene)
        assert await scene.store.write([], NOW) == []
        assert await self.everything(scene) == before

    async def everything(self, scene: Scene) -> Any:
        """All that a write changes."""
        store = scene.store
        documents = await store.documents("schedule")
        status = replace(await store.status(), size_bytes=None)  # what was undone may have taken room all the same
        return documents, await journal(store), await store.chains(), await scene.inbox(), status

    async def test_what_is_kept_is_counted(self, store: Store) -> None:
        await store.write([put("a"), put("b"), put("c"), delete("c")], NOW, entries=[entry(), entry(kind="log")])
        status = await store.status()
        assert (status.documents, status.journal) == (2, 2)
        assert await store.check() == []

    async def test_an_event_is_published_with_its_journal_entries_once(self, store: Store) -> None:
        for _ in range(2):
            await store.publish(event("e1"), NOW, LATER, entries=[entry("fired", chained=True)])
        await store.publish(event("e2"), NOW, LATER, entries=[entry("again", chained=True)])
        assert bodies_of(await journal(store)) == "firedagain"
        assert [chain.length for chain in await store.chains()] == [2]
        error = await refusal(store.publish(event("e3"), NOW, LATER, entries=[entry(kind="")]))
        assert error.code == "invalid-text"
        assert (await store.status()).events == 2

    async def test_documents_are_changed_with_an_event_and_not_with_a_duplicate(self, store: Store) -> None:
        for body in (b"1", b"2"):
            await store.publish(event("e1"), NOW, LATER, writes=[put("a", body), put("b", body, expected=0)])
        assert [each.body for each in await store.documents("schedule")] == [b"1", b"1"]
        await store.publish(event("e2"), NOW, LATER, writes=[delete("a"), put("b", b"3", expected=1)])
        assert [(each.key, each.body) for each in await store.documents("schedule")] == [("b", b"3")]

    async def test_of_an_event_whose_documents_are_refused_nothing_is_stored(self, scene: Scene) -> None:
        store = scene.store
        await store.write([put("there")], NOW)
        before = await self.everything(scene)
        writes = [put("a"), put("there", expected=7)]
        error = await refusal(store.publish(event("e1"), NOW, LATER, [item()], [entry()], writes))
        assert error.code == "changed-meanwhile"
        assert await self.everything(scene) == before

    async def test_dead_events_are_counted_among_the_dead_letters(self, store: Store) -> None:
        await store.write([put("a", kind=DEAD_EVENT), put("b", kind=DEAD_EVENT), put("c", kind="other")], NOW)
        assert ((await store.census()).dead_letters, (await store.status()).dead_letters) == (2, 2)

    # ── Whatever is written ──────────────────────────────────────────────────────────────────────────────────────────

    def test_documents_are_what_the_writes_make_of_them(self) -> None:
        @settings(max_examples=25, deadline=None)
        @given(st.lists(any_writes, max_size=12))
        def documents_are_what_the_writes_make_of_them(writes: list[Write]) -> None:
            asyncio.run(self._compare(writes))

        documents_are_what_the_writes_make_of_them()

    async def _compare(self, writes: list[Write]) -> None:
        """Against a dictionary; a revision is one more than the last of its key, or of all that were deleted."""
        async with self.place() as open_store:
            store = await open_store()
            known, deleted = dict[str, tuple[int, bytes, int | None]](), 0
            for write in writes:
                revision = known[write.key][0] if write.key in known else 0
                if write.expected not in (None, revision):
                    assert (await refusal(store.write([write], NOW))).code == "changed-meanwhile"
                elif write.body is None:
                    assert await store.write([write], NOW) == [revision]
                    known.pop(write.key, None)
                    deleted = max(deleted, revision)
                else:
                    (after,) = await store.write([write], NOW)
                    assert after == (revision or deleted) + 1
                    known[write.key] = (after, write.body, write.due_at)
            documents = await store.documents("schedule")
            assert {each.key: (each.revision, each.body, each.due_at) for each in documents} == known
            dues = sorted((due_at, key) for key, (_, _, due_at) in known.items() if due_at is not None)
            assert keys_of(await store.due_documents("schedule", 9)) == [key for _, key in dues]
            assert await store.next_due("schedule") == (dues[0][0] if dues else None)
