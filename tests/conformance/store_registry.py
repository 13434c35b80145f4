"""What every store must do with registered versions of workflows."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Literal

import pytest

from stepwell.base.errors import Conflict, NotFound
from stepwell.ports.records import Deed, Lifecycle, Registered, Registration, StoredDefinition
from stepwell.ports.store import Store
from stepwell.store.lifecycle import MOVES
from tests.conformance.store import NOW, OpenStore, StorePlace

LIFECYCLES: tuple[Lifecycle, ...] = ("draft", "active", "deprecated", "retired")


def definition(version: str = "1.0.0", name: str = "shop", content: str = "") -> StoredDefinition:
    """A definition whose digest says what it is."""
    return StoredDefinition(
        digest=f"{name}-{version}-{content}",
        name=name,
        version=version,
        dialect="native",
        source_name=f"{name}.yaml",
        text=f"name: {name}\n# {content} ü\n",
    )


async def register(
    store: Store, version: str = "1.0.0", lifecycle: Literal["draft", "active"] = "active", **more: Any
) -> Registered:
    """Register a version of the shop, or of another workflow named in `more`."""
    tags = more.pop("tags", ())
    return await store.register(definition(version, **more), tags=tags, lifecycle=lifecycle, at=NOW, by="ada")


async def put_into(store: Store, lifecycle: Lifecycle, version: str = "1.0.0") -> None:
    """Register a version and bring it into this lifecycle."""
    await register(store, version, "draft")
    for step in {"draft": [], "retired": ["retired"]}.get(lifecycle, ["active", lifecycle]):
        await move(store, step, version)  # type: ignore[arg-type]


async def move(store: Store, to: Lifecycle, version: str = "1.0.0", reason: str | None = None) -> Registration:
    return await store.set_lifecycle("shop", version, to, at=NOW + 1, by="bob", reason=reason)


async def default_of(store: Store, name: str = "shop") -> str | None:
    """The version that the name alone means."""
    found = await store.registered(name)
    return found.version if found is not None else None


class RegistryConformance(StorePlace):
    async def test_a_registered_version_is_found_with_its_definition(self, store: Store) -> None:
        given = definition()
        done = await store.register(given, tags=("a", "b c"), lifecycle="active", at=NOW, by="ada", reason="new shop")
        expected = Registration(
            name="shop",
            version="1.0.0",
            digest=given.digest,
            lifecycle="active",
            tags=("a", "b c"),
            is_default=True,
            log=(Deed(what="active", at=NOW, by="ada", reason="new shop"),),
        )
        assert done == Registered(expected, is_new=True)
        assert await store.registered("shop", "1.0.0") == expected
        assert await store.registrations() == [expected]
        assert await store.definition(given.digest) == given

    async def test_what_is_not_registered_is_none(self, store: Store) -> None:
        await register(store)
        assert await store.registered("sho") is None
        assert await store.registered("shop", "1.0") is None
        assert await store.registrations(name="sho") == []

    async def test_a_definition_that_was_only_stored_is_not_registered(self, store: Store) -> None:
        await store.put_definition(definition())
        assert await store.registrations() == []
        assert (await register(store)).is_new

    async def test_the_same_version_with_the_same_content_stays_as_it_is(self, store: Store) -> None:
        first = await register(store, lifecycle="draft", tags=("old",))
        again = await store.register(definition(), tags=("new",), lifecycle="active", at=NOW + 9, by="eve")
        assert again == Registered(first.registration, is_new=False)
        assert await store.registrations() == [first.registration]

    async def test_the_same_version_with_other_content_is_a_conflict_that_names_both(self, store: Store) -> None:
        await register(store, content="old")
        with pytest.raises(Conflict) as raised:
            await register(store, content="new")
        assert raised.value.code == "version-exists"
        assert "shop-1.0.0-o" in raised.value.message
        assert "shop-1.0.0-n" in raised.value.message
        assert await store.definition(definition(content="new").digest) is None, "nothing of it was kept"
        assert (await store.registered("shop", "1.0.0")).digest == definition(content="old").digest  # type: ignore[union-attr]

    async def test_one_of_two_who_register_different_content_at_once_is_refused(self, open_store: OpenStore) -> None:
        stores = [await open_store(), await open_store()]
        calls = [register(store, content=str(number)) for number, store in enumerate(stores)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Registered"]

    async def test_versions_are_listed_by_name_the_newest_first(self, store: Store) -> None:
        for version in ("1.9.0", "1.10.0", "1.10.0-rc.2", "1.10.0-rc.10", "0.1.0", "1.10.0+b"):
            await register(store, version)
        await register(store, name="bank")
        listed = [(each.name, each.version) for each in await store.registrations()]
        assert listed == [
            ("bank", "1.0.0"),
            *[("shop", v) for v in ("1.10.0+b", "1.10.0", "1.10.0-rc.10", "1.10.0-rc.2", "1.9.0", "0.1.0")],
        ]

    async def test_lists_of_versions_are_filtered(self, store: Store) -> None:
        await register(store, "1.0.0", tags=("red", "blue"))
        await register(store, "2.0.0", "draft", tags=("red",))
        await register(store, name="bank", tags=("blue",))

        async def listed(**filters: Any) -> list[tuple[str, str, bool]]:
            found = await store.registrations(**filters)
            return [(each.name, each.version, each.is_default) for each in found]

        assert await listed(tag="red") == [("shop", "2.0.0", False), ("shop", "1.0.0", True)]
        assert await listed(tag="re") == []
        assert await listed(lifecycle="draft") == [("shop", "2.0.0", False)]
        assert await listed(name="bank", tag="blue") == [("bank", "1.0.0", True)]

    # ── The default ────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_the_default_is_the_newest_active_version(self, store: Store) -> None:
        await register(store, "1.2.0")
        await register(store, "1.10.0")
        await register(store, "1.9.0")
        await register(store, "2.0.0", "draft")
        assert await default_of(store) == "1.10.0"
        await move(store, "deprecated", "1.10.0")
        assert await default_of(store) == "1.9.0"

    async def test_without_an_active_version_the_newest_deprecated_one_is_the_default(self, store: Store) -> None:
        for version in ("1.0.0", "2.0.0", "3.0.0"):
            await register(store, version)
        for version, to in (("1.0.0", "deprecated"), ("2.0.0", "deprecated"), ("3.0.0", "retired")):
            await move(store, to, version)  # type: ignore[arg-type]
        assert await default_of(store) == "2.0.0"

    @pytest.mark.parametrize("lifecycle", ["draft", "retired"])
    async def test_a_name_without_a_version_to_start_has_no_default(self, store: Store, lifecycle: Lifecycle) -> None:
        await put_into(store, lifecycle)
        assert await default_of(store) is None

    async def test_a_chosen_version_is_the_default_until_another_is_chosen(self, store: Store) -> None:
        for version in ("1.0.0", "2.0.0", "3.0.0"):
            await register(store, version)
        chosen = await store.set_default("shop", "2.0.0", at=NOW, by="ada", reason="3 is slow")
        assert (chosen.is_default, chosen.is_chosen) == (True, True)
        assert chosen.log[-1] == Deed(what="default", at=NOW, by="ada", reason="3 is slow")
        await register(store, "4.0.0")
        assert await default_of(store) == "2.0.0"
        await store.set_default("shop", "1.0.0", at=NOW, by="ada")
        assert [each.version for each in await store.registrations() if each.is_chosen] == ["1.0.0"]
        assert [each.version for each in await store.registrations() if each.is_default] == ["1.0.0"]
        assert await default_of(store) == "1.0.0"

    async def test_choosing_the_chosen_one_again_is_recorded(self, store: Store) -> None:
        await register(store)
        for _ in range(2):
            chosen = await store.set_default("shop", "1.0.0", at=NOW, by="ada")
        assert chosen.is_default
        assert [deed.what for deed in chosen.log] == ["active", "default", "default"]

    async def test_a_deprecated_version_stays_the_chosen_one_and_a_retired_one_does_not(self, store: Store) -> None:
        await register(store, "1.0.0")
        await register(store, "2.0.0")
        await store.set_default("shop", "1.0.0", at=NOW, by="ada")
        assert (await move(store, "deprecated")).is_default
        assert not (await move(store, "retired")).is_default
        assert await default_of(store) == "2.0.0"
        assert not (await move(store, "active")).is_default

    @pytest.mark.parametrize("lifecycle", ["draft", "retired"])
    async def test_a_version_that_must_not_be_started_cannot_be_chosen(
        self, store: Store, lifecycle: Lifecycle
    ) -> None:
        await put_into(store, lifecycle)
        with pytest.raises(Conflict) as raised:
            await store.set_default("shop", "1.0.0", at=NOW, by="ada")
        assert raised.value.code == f"version-{lifecycle}"
        assert await default_of(store) is None

    # ── Lifecycle ──────────────────────────────────────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize("to", LIFECYCLES)
    @pytest.mark.parametrize("lifecycle", LIFECYCLES)
    async def test_a_version_moves_where_it_may_and_nowhere_else(
        self, store: Store, lifecycle: Lifecycle, to: Lifecycle
    ) -> None:
        await put_into(store, lifecycle)
        before = await store.registered("shop", "1.0.0")
        assert before is not None
        if to in MOVES[lifecycle]:
            after = await move(store, to, reason="why not")
            assert after.lifecycle == to
            assert after.log == (*before.log, Deed(what=to, at=NOW + 1, by="bob", reason="why not"))
        elif to == lifecycle:
            assert await move(store, to) == before
        else:
            with pytest.raises(Conflict) as raised:
                await move(store, to)
            assert raised.value.code == "illegal-lifecycle"
            assert lifecycle in raised.value.message
            assert to in raised.value.message
        if to not in MOVES[lifecycle]:
            assert await store.registered("shop", "1.0.0") == before

    @pytest.mark.parametrize("name", ["shop", "bank"])
    async def test_what_is_not_registered_cannot_be_moved_or_chosen(self, store: Store, name: str) -> None:
        await register(store, "1.0.0")
        for call in (
            store.set_lifecycle(name, "1.0.1", "retired", at=NOW, by="ada"),
            store.set_default(name, "1.0.1", at=NOW, by="ada"),
        ):
            with pytest.raises(NotFound) as raised:
                await call
            assert raised.value.code == "unknown-version"
            assert raised.value.hint

    async def test_of_two_that_change_what_they_have_read_the_second_is_refused(self, store: Store) -> None:
        seen = (await register(store)).registration
        await register(store, "2.0.0", "draft")
        moved = await store.set_lifecycle("shop", "1.0.0", "deprecated", at=2, by="ann", expected=seen)
        for late in (
            store.set_lifecycle("shop", "1.0.0", "retired", at=3, by="bob", expected=seen),
            store.set_default("shop", "1.0.0", at=3, by="bob", expected=seen),
        ):
            with pytest.raises(Conflict) as raised:
                await late
            assert raised.value.code == "changed-meanwhile"
        assert await store.registered("shop", "1.0.0") == moved
        assert (await store.set_default("shop", "1.0.0", at=4, by="ann", expected=moved)).is_chosen

    async def test_of_many_at_once_that_expect_the_same_one_changes_it(self, store: Store) -> None:
        seen = (await register(store)).registration
        calls = [
            store.set_lifecycle("shop", "1.0.0", to, at=2, by="ann", expected=seen)
            for to in ("deprecated", "retired", "deprecated", "retired")
        ]
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(each, Registration) for each in done) == 1
        assert sum(isinstance(each, Conflict) and each.code == "changed-meanwhile" for each in done) == 3

    async def test_the_mark_changes_with_everything_that_is_registered_and_with_nothing_else(
        self, store: Store
    ) -> None:
        marks = [await store.registry_mark()]
        await register(store)
        marks.append(await store.registry_mark())
        await register(store)
        await store.registrations()
        assert await store.registry_mark() == marks[-1]
        await store.set_lifecycle("shop", "1.0.0", "deprecated", at=2, by="ann")
        marks.append(await store.registry_mark())
        await store.set_lifecycle("shop", "1.0.0", "active", at=3, by="ann")
        marks.append(await store.registry_mark())
        await store.set_default("shop", "1.0.0", at=4, by="ann")
        marks.append(await store.registry_mark())
        assert all(one != other for one, other in itertools.combinations(marks, 2))

    async def test_registrations_survive_closing(self, store: Store) -> None:
        await register(store, "1.0.0", tags=("t",))
        await store.set_default("shop", "1.0.0", at=NOW, by="ada")
        before = await store.registrations()
        await store.close()
        await store.open()
        assert await store.registrations() == before

    async def test_the_status_counts_registered_versions(self, store: Store) -> None:
        await register(store, "1.0.0")
        await register(store, "2.0.0", "draft")
        assert (await store.status()).registered == 2
        assert await store.check() == []
