"""What every store must do with the journal, its chains, and the feed of what was committed."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from stepwell.base.chain import ORIGIN, link
from stepwell.base.errors import FenceLost, StoreError
from stepwell.ports.ledger import Chain, FeedRow, JournalRow
from stepwell.ports.records import Handle
from stepwell.ports.store import Store
from tests.conformance.ledger import bodies_of, entry, journal
from tests.conformance.store import LATER, NOW, TTL, OpenStore, Scene, StorePlace, change, creation, event


class JournalConformance(StorePlace):
    """The journal and the feed."""

    # ── The journal ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_an_entry_is_read_as_it_was_noted(self, store: Store) -> None:
        body = 'ü \0 "\N{SNOWMAN}"' + "x" * 100_000
        await store.write([], NOW, entries=[entry(body, kind="log", subject="", at=-7)])
        (row,) = await journal(store, "log")
        assert row == JournalRow(number=row.number, kind="log", subject="", at=-7, body=body, hash=None)

    async def test_entries_are_numbered_in_the_order_in_which_they_were_noted(self, store: Store) -> None:
        await store.write([], NOW, entries=[entry(str(number), kind="ab"[number % 2]) for number in range(1_500)])
        await store.write([], NOW, entries=[entry("last", kind="a")])
        rows = [*await journal(store, "a", limit=2_000), *await journal(store, "b", limit=2_000)]
        in_order = sorted(rows, key=lambda row: row.number)
        assert [row.body for row in in_order] == [*map(str, range(1_500)), "last"]
        assert len({row.number for row in rows}) == 1_501

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({}, "abcdefg"),
            ({"limit": 3}, "abc"),
            ({"newest_first": True}, "gfedcba"),
            ({"newest_first": True, "limit": 2}, "gf"),
            ({"after": 2}, "cdefg"),
            ({"before": 4}, "abc"),
            ({"after": 2, "before": 6, "newest_first": True}, "edc"),
            ({"after": 5, "before": 5}, ""),
            ({"since": 30}, "cdefg"),
            ({"until": 30}, "ab"),
            ({"since": 20, "until": 21}, "b"),
            ({"since": 20, "until": 60, "newest_first": True, "limit": 3}, "ged"),
            ({"since": 20, "until": 60, "after": 3, "limit": 2}, "de"),
            ({"subject": "x"}, "aceg"),
            ({"subject": "x", "newest_first": True, "limit": 2}, "ge"),
            ({"subject": "x", "since": 30, "until": 50}, "cg"),
            ({"subject": "x", "after": 1, "before": 7}, "ce"),
            ({"subject": "X"}, ""),
            ({"text": ""}, "abcdefg"),
            ({"text": "c"}, "c"),
            ({"text": "C"}, "c"),
            ({"text": "%"}, ""),
            ({"subject": "x", "text": "E"}, "e"),
            ({"since": 20, "text": "b"}, "b"),
        ],
    )
    async def test_a_journal_answers_every_query(self, store: Store, query: dict[str, Any], expected: str) -> None:
        ats = (10, 20, 30, 40, 50, 60, 45)  # a clock may go back
        entries = [
            entry(body, subject="xy"[place % 2], at=at)
            for place, (body, at) in enumerate(zip("abcdefg", ats, strict=True))
        ]
        await store.write([], NOW, entries=entries)
        await store.write([], NOW, entries=[entry("abcdefg", kind="audits", subject="x"), entry("no", kind="Audit")])
        assert bodies_of(await journal(store, **query)) == expected

    async def test_text_is_found_as_it_stands_but_for_the_case_of_ascii_letters(self, store: Store) -> None:
        await store.write([], NOW, entries=[entry('{"who": "Zoë Ünal", "rate": "100%_x"}'), entry("nul \0 behind")])
        for text in ("zOË ünal".replace("ü", "Ü"), "100%_X", '"WHO": "z', "ë "):
            found = await journal(store, text=text.replace("Ë", "ë"))
            assert len(found) == 1, text
        for text in ("ünal", "ZOË", "who:", "100_", "*"):
            assert await journal(store, text=text) == [], text
        assert len(await journal(store, text="BEHIND")) == 1
        assert len(await journal(store, text="\0 b")) == 1

    async def test_a_journal_is_read_page_by_page_from_both_ends(self, store: Store) -> None:
        await store.write([], NOW, entries=[entry(str(number % 10)) for number in range(25)])
        forward, after = "", 0
        while rows := await journal(store, after=after, limit=7):
            forward, after = forward + bodies_of(rows), rows[-1].number
        backward, before = "", None
        while rows := await journal(store, before=before, newest_first=True, limit=7):
            backward, before = backward + bodies_of(rows), rows[-1].number
        assert forward == backward[::-1] == "".join(str(number % 10) for number in range(25))

    async def test_what_is_forgotten_is_of_the_kind_and_was_noted_before(self, store: Store) -> None:
        entries = [entry(str(at % 10), kind="log", at=at) for at in range(1_500)]
        await store.write(
            [], NOW, entries=[*entries, entry("kept", at=0), entry("link", kind="log", at=0, chained=True)]
        )
        assert await store.forget_journal("log", 1_495) == 1_495
        assert await store.forget_journal("log", 1_495) == 0
        assert await store.forget_journal("nothing", LATER) == 0
        assert bodies_of(await journal(store, "log")) == "56789link"
        assert bodies_of(await journal(store)) == "kept"

    async def test_several_that_forget_at_once_delete_everything_once(self, open_store: OpenStore) -> None:
        stores = [await open_store() for _ in range(3)]
        for _ in range(3):
            await stores[0].write([], NOW, entries=[entry("x", kind="log", at=0) for _ in range(1_000)])
        for number in range(30):
            await stores[0].publish(event(f"e{number}"), NOW, NOW + 1)
        counts = await asyncio.gather(*[each.forget_journal("log", 1) for each in stores])
        events = await asyncio.gather(*[each.forget_events(NOW + 1) for each in stores])
        assert (sum(counts), sum(events)) == (3_000, 30)
        assert await journal(stores[0], "log") == []
        assert await stores[0].forget_events(NOW + 1) == 0

    async def test_the_number_of_a_forgotten_entry_is_not_given_again(self, store: Store) -> None:
        await store.write([], NOW, entries=[entry(), entry()])
        last = (await journal(store))[-1].number
        assert await store.forget_journal("audit", NOW + 1) == 2
        await store.write([], NOW, entries=[entry("new")])
        assert (await journal(store, after=last))[0].body == "new"

    # ── Chains ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_chained_entries_carry_on_the_chain_of_their_kind(self, store: Store) -> None:
        await store.write(
            [], NOW, entries=[entry("1", chained=True), entry("x", kind="other", chained=True), entry("no")]
        )
        await store.write([], NOW, entries=[entry("2", subject="\N{SNOWMAN}", chained=True), entry("3", chained=True)])
        rows = await journal(store)
        expected, before = [], ORIGIN
        for row in (rows[0], *rows[2:]):
            before = link(before, row.kind, row.subject, row.at, row.body)
            expected.append(before)
        assert [row.hash for row in rows] == [expected[0], None, *expected[1:]]
        (other,) = await journal(store, "other")
        assert other.hash == link(ORIGIN, "other", "k", NOW, "x")
        assert await store.chains() == [
            Chain(kind="audit", length=3, number=rows[-1].number, hash=expected[-1]),
            Chain(kind="other", length=1, number=other.number, hash=other.hash or b""),
        ]

    async def test_a_chain_goes_on_when_the_store_is_opened_again(self, store: Store) -> None:
        for number in range(4):
            await store.write([], NOW, entries=[entry(str(number), chained=True)])
            await store.close()
            await store.open()
        hashes = [row.hash or b"" for row in await journal(store)]
        assert hashes[-1] == link(hashes[-2], "audit", "k", NOW, "3")

    async def test_many_that_write_at_once_make_one_chain(self, open_store: OpenStore) -> None:
        stores = [await open_store() for _ in range(3)]
        await asyncio.gather(
            *[
                store.write([], NOW, entries=[entry(f"{place}.{number}", chained=True)])
                for place, store in enumerate(stores)
                for number in range(10)
            ]
        )
        rows = await journal(stores[0])
        assert len(rows) == 30
        for before, row in pairwise(rows):
            assert row.hash == link(before.hash or b"", row.kind, row.subject, row.at, row.body)

    # ── The feed ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_the_feed_tells_what_was_committed_in_order(self, scene: Scene) -> None:
        store = scene.store
        assert (await store.feed(0), await store.feed_end()) == ([], 0)
        first, second = Handle("a", scene.lease.shard), Handle("b", scene.lease.shard)
        await scene.append(creation(first, events=b"a1"), creation(second, events=b"b1", workflow="team.other"))
        await scene.append(change(second, 3, b"b3"))
        await scene.append(change(first, 2, b"a2"), change(second, 4, b"b4"), change(first, 5, b"a5"))
        rows = await store.feed(0)
        assert [row.events for row in rows] == [b"a1", b"b1", b"b3", b"a2", b"b4", b"a5"]
        numbers = [row.number for row in rows]
        assert numbers == sorted(set(numbers))
        assert rows[2] == FeedRow(number=numbers[2], execution="b", workflow="team.other", seq=3, events=b"b3")
        assert await store.feed_end() == numbers[-1]

    async def test_the_feed_goes_on_where_a_reader_stopped(self, scene: Scene, open_store: OpenStore) -> None:
        handle = await scene.create("a")
        for seq in range(2, 12):
            await scene.append(change(handle, seq, str(seq).encode()))
        seen, after = [], 0
        while rows := await scene.store.feed(after, 4):
            seen += [row.seq for row in rows]
            after = rows[-1].number
        assert seen == list(range(1, 12))
        await scene.store.close()
        store = await open_store()
        assert await store.feed_end() == after
        lease = await store.acquire(scene.lease.shard, "again", NOW, TTL)
        scene = Scene(store, lease)
        await scene.append(change(handle, 12, b"new"))
        await scene.create("b")
        assert [(row.execution, row.seq) for row in await store.feed(after)] == [("a", 12), ("b", 1)]

    async def test_a_change_without_events_is_not_in_the_feed(self, scene: Scene) -> None:
        handle = await scene.create("a")
        await scene.append(change(handle, 1, b"", snapshot=b"s"))
        assert len(await scene.store.feed(0)) == 1

    async def test_a_refused_batch_is_not_in_the_feed_and_leaves_no_gap_to_wait_for(self, scene: Scene) -> None:
        handle = await scene.create("a")
        end = await scene.store.feed_end()
        lost, scene.lease = scene.lease, await scene.store.acquire(scene.lease.shard, "other", NOW + TTL, TTL)
        with pytest.raises(FenceLost):
            await Scene(scene.store, lost).append(change(handle, 2))
        with pytest.raises(StoreError):
            await scene.append(change(handle, 2), change(handle, 2))
        assert await scene.store.feed_end() == end
        await scene.append(change(handle, 2, b"then"))
        assert [row.events for row in await scene.store.feed(end)] == [b"then"]

    async def test_the_feed_tells_the_rows_of_an_execution_after_a_jump_and_beyond_its_end_nothing(
        self, scene: Scene
    ) -> None:
        await scene.create("a")
        assert await scene.store.feed(await scene.store.feed_end() + 10_000) == []
        assert [row.execution for row in await scene.store.feed(-5)] == ["a"]
