"""How every store lists executions."""

from __future__ import annotations

import pytest

from stepwell.base.errors import UsageError
from stepwell.ports.listings import ExecutionQuery
from stepwell.ports.store import Store
from tests.conformance.store import COMPLETED, RUNNING, WAITING, Scene, StorePlace, new_execution


class ListsConformance(StorePlace):
    """Lists of executions."""

    async def test_executions_are_listed_newest_first(self, scene: Scene) -> None:
        for name, at in (("middle", 20), ("newest", 30), ("oldest", 10), ("second middle", 20)):
            await scene.create(name, created_at=at, tags=("t",))
        page = await scene.store.list(ExecutionQuery())
        assert [item.id for item in page.items] == ["newest", "second middle", "middle", "oldest"]
        assert page.next is None
        assert page.items[0].created == new_execution(created_at=30, tags=("t",))
        assert page.items[0].summary == RUNNING

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            (ExecutionQuery(workflow="shop"), "ba"),
            (ExecutionQuery(version="2.0.0"), "cb"),
            (ExecutionQuery(workflow="shop", version="2.0.0"), "b"),
            (ExecutionQuery(statuses=("waiting",)), "b"),
            (ExecutionQuery(statuses=("waiting", "running")), "ba"),
            (ExecutionQuery(tag="red"), "ca"),
            (ExecutionQuery(tag="re"), ""),
            (ExecutionQuery(parent="p"), "b"),
            (ExecutionQuery(parent="p/"), ""),
            (ExecutionQuery(parent=""), ""),
            (ExecutionQuery(created_from=20), "cb"),
            (ExecutionQuery(created_to=20), "a"),
            (ExecutionQuery(created_from=20, created_to=30), "b"),
            (ExecutionQuery(created_from=40), ""),
            (ExecutionQuery(workflow="x' OR 1=1 --"), ""),
            (ExecutionQuery(namespaces=("default",)), "ba"),
            (ExecutionQuery(namespaces=("team", "nobody")), "c"),
            (ExecutionQuery(namespaces=()), ""),
            (ExecutionQuery(text="TEAM.Oth"), "c"),
            (ExecutionQuery(text="lu"), "a"),
            (ExecutionQuery(text="%"), ""),
        ],
    )
    async def test_lists_are_filtered(self, scene: Scene, query: ExecutionQuery, expected: str) -> None:
        await scene.create("a", created_at=10, tags=("red", "blue"))
        await scene.create("b", WAITING, created_at=20, version="2.0.0", parent="p/call")
        await scene.create(
            "c", COMPLETED, created_at=30, version="2.0.0", workflow="team.other", tags=("red",), parent="pp/x"
        )
        assert "".join(item.id for item in (await scene.store.list(query)).items) == expected

    async def test_a_list_is_read_page_by_page_while_executions_are_added(self, scene: Scene) -> None:
        names = [f"e{number}" for number in range(7)]
        for number, name in enumerate(names):
            await scene.create(name, created_at=number // 3)
        seen, query = [], ExecutionQuery(limit=3)
        for turn in range(3):
            page = await scene.store.list(query)
            seen += [item.id for item in page.items]
            await scene.create(f"new{turn}", created_at=100)
            query = ExecutionQuery(limit=3, cursor=page.next)
        assert seen == list(reversed(names))
        assert query.cursor is None

    async def test_a_full_last_page_has_no_next(self, scene: Scene) -> None:
        for name in "abcd":
            await scene.create(name)
        first = await scene.store.list(ExecutionQuery(limit=2))
        second = await scene.store.list(ExecutionQuery(limit=2, cursor=first.next))
        assert first.next is not None
        assert (len(second.items), second.next) == (2, None)

    @pytest.mark.parametrize("cursor", ["", "x", "1", "1.2.3", "9" * 40 + ".1", "1.-2", "\N{ARABIC-INDIC DIGIT ONE}.1"])
    async def test_a_cursor_that_is_none_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(UsageError) as raised:
            await store.list(ExecutionQuery(cursor=cursor))
        assert raised.value.code == "invalid-cursor"

    async def test_a_list_of_nothing_is_refused(self, store: Store) -> None:
        with pytest.raises(UsageError):
            await store.list(ExecutionQuery(limit=0))
