"""API keys: made, checked, rotated, revoked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.app.access import Unauthenticated
from stepwell.app.audit import Audit, AuditQuery, Doer
from stepwell.app.key_tokens import KeyToken, new_token, read_token
from stepwell.app.keys import KIND, USE_NOTED_EVERY, ApiKeys, key_report
from stepwell.base.durations import DAY, HOUR
from stepwell.base.errors import Conflict, NotFound, StoreError, UsageError
from stepwell.ports.ledger import JournalEntry, Write
from stepwell.store.memory.store import MemoryStore
from tests.virtual_clock import START, VirtualClock

ADA = Doer(name="ada", proof="system")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def keys(store: MemoryStore, clock: VirtualClock) -> ApiKeys:
    return ApiKeys(store, clock)


async def test_a_key_proves_who_calls_and_what_it_opens(keys: ApiKeys) -> None:
    issued = await keys.create("ci", "developer", ["payments", "billing"], None, ADA)
    caller = await keys.authenticate(issued.token)
    assert (caller.name, caller.role, caller.proof, caller.id) == ("ci", "developer", "key", issued.key.id)
    assert caller.namespaces == {"billing", "payments"}
    assert caller.sees("payments.refund")
    assert not caller.sees("refund")


async def test_nothing_that_is_stored_holds_the_secret(keys: ApiKeys, store: MemoryStore) -> None:
    issued = await keys.create("ci", "viewer", None, None, ADA)
    token = read_token(issued.token)
    assert token is not None
    document = await store.document(KIND, issued.key.id)
    assert document is not None
    assert token.secret.encode() not in document.body
    assert token.secret not in repr(key_report(issued.key, START))
    audited = await Audit(store).list(AuditQuery())
    assert token.secret not in repr(audited)


async def test_an_expired_key_opens_nothing(keys: ApiKeys, clock: VirtualClock) -> None:
    issued = await keys.create("ci", "viewer", None, clock.now() + HOUR, ADA)
    await keys.authenticate(issued.token)
    clock.set(clock.now() + HOUR)
    with pytest.raises(Unauthenticated, match="expired") as raised:
        await keys.authenticate(issued.token)
    assert raised.value.code == "key-expired"


async def test_a_revoked_key_opens_nothing_from_then_on(keys: ApiKeys) -> None:
    issued = await keys.create("ci", "viewer", None, None, ADA)
    revoked = await keys.revoke(issued.key.id, Doer(name="bob"))
    assert revoked.revoked_by == "bob"
    assert await keys.revoke(issued.key.id, ADA) == revoked
    with pytest.raises(Unauthenticated, match="revoked"):
        await keys.authenticate(issued.token)


async def test_a_key_is_revoked_although_it_is_used_at_that_moment(
    keys: ApiKeys, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await keys.create("ci", "viewer", None, None, ADA)
    write = store.write

    async def after_its_use(*args: Any, **more: Any) -> Any:
        monkeypatch.setattr(store, "write", write)
        await keys.authenticate(issued.token)
        return await write(*args, **more)

    monkeypatch.setattr(store, "write", after_its_use)
    assert (await keys.revoke(issued.key.id, ADA)).last_used_at is not None
    with pytest.raises(Unauthenticated, match="revoked"):
        await keys.authenticate(issued.token)


async def test_a_rotated_key_is_good_for_the_overlap_and_the_new_one_has_its_rights(
    keys: ApiKeys, clock: VirtualClock
) -> None:
    old = await keys.create("ci", "operator", ["payments"], clock.now() + 30 * DAY, ADA)
    clock.set(clock.now() + DAY)
    new = await keys.rotate(old.key.id, ADA, overlap=HOUR)
    assert (new.key.role, new.key.namespaces, new.key.replaces) == ("operator", ("payments",), old.key.id)
    assert new.key.expires_at == clock.now() + 30 * DAY
    await keys.authenticate(old.token)
    clock.set(clock.now() + HOUR)
    with pytest.raises(Unauthenticated):
        await keys.authenticate(old.token)
    await keys.authenticate(new.token)


async def test_rotating_without_an_overlap_ends_the_old_key_at_once(keys: ApiKeys) -> None:
    old = await keys.create("ci", "viewer", None, None, ADA)
    await keys.rotate(old.key.id, ADA)
    with pytest.raises(Unauthenticated, match="revoked"):
        await keys.authenticate(old.token)
    with pytest.raises(Conflict, match="is revoked"):
        await keys.rotate(old.key.id, ADA)


async def test_every_change_of_a_key_is_in_the_audit_log(keys: ApiKeys, store: MemoryStore) -> None:
    issued = await keys.create("ci", "viewer", None, None, ADA)
    rotated = await keys.rotate(issued.key.id, ADA)
    await keys.revoke(rotated.key.id, ADA)
    items = (await Audit(store).list(AuditQuery()))["items"]
    assert [(item["what"], item["on"], item["who"]) for item in items] == [
        ("key.revoke", f"api-key:{rotated.key.id}", "ada"),
        ("key.rotate", f"api-key:{rotated.key.id}", "ada"),
        ("key.create", f"api-key:{issued.key.id}", "ada"),
    ]


async def test_its_use_is_noted_about_once_an_hour(keys: ApiKeys, store: MemoryStore, clock: VirtualClock) -> None:
    issued = await keys.create("ci", "viewer", None, None, ADA)

    async def revision() -> int:
        document = await store.document(KIND, issued.key.id)
        assert document is not None
        return document.revision

    for _ in range(5):
        await keys.authenticate(issued.token)
    assert await revision() == 2
    clock.set(clock.now() + USE_NOTED_EVERY)
    await keys.authenticate(issued.token)
    assert await revision() == 3
    assert [key.last_used_at for key in await keys.list()] == [clock.now()]


async def test_a_store_that_cannot_be_written_keeps_nobody_out(
    keys: ApiKeys, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await keys.create("ci", "viewer", None, None, ADA)

    async def full(writes: object, now: int, **more: object) -> list[int]:
        raise StoreError("the disk is full")

    monkeypatch.setattr(store, "write", full)
    assert (await keys.authenticate(issued.token)).name == "ci"


async def test_a_key_that_nobody_has_is_refused_like_a_wrong_secret(keys: ApiKeys) -> None:
    issued = await keys.create("ci", "viewer", None, None, ADA)
    unknown = new_token().text
    wrong = KeyToken(issued.key.id, new_token().secret).text
    messages = set()
    for token in (unknown, wrong):
        with pytest.raises(Unauthenticated) as raised:
            await keys.authenticate(token)
        messages.add((raised.value.code, raised.value.message))
    assert messages == {("invalid-key-token", "there is no such API key")}


async def test_secrets_are_compared_in_constant_time_also_for_unknown_keys(
    keys: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []

    def counting(first: bytes | str, second: bytes | str) -> bool:
        compared.append(len(first))
        return first == second

    monkeypatch.setattr("stepwell.app.key_tokens.hmac.compare_digest", counting)
    with pytest.raises(Unauthenticated):
        await keys.authenticate(new_token().text)
    assert 32 in compared


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
async def test_a_name_that_cannot_be_shown_is_refused(keys: ApiKeys, name: str) -> None:
    with pytest.raises(UsageError) as raised:
        await keys.create(name, "viewer", None, None, ADA)
    assert raised.value.code == "invalid-key-name"


@pytest.mark.parametrize("namespaces", [[], ["a.b"], [""], ["9"]])
async def test_namespaces_that_cannot_be_are_refused(keys: ApiKeys, namespaces: list[str]) -> None:
    with pytest.raises(UsageError) as raised:
        await keys.create("ci", "viewer", namespaces, None, ADA)
    assert raised.value.code == "invalid-namespace"


async def test_a_key_that_would_have_expired_is_refused(keys: ApiKeys, clock: VirtualClock) -> None:
    with pytest.raises(UsageError, match="expired already"):
        await keys.create("ci", "viewer", None, clock.now(), ADA)


async def test_a_key_that_is_not_there_cannot_be_revoked(keys: ApiKeys) -> None:
    with pytest.raises(NotFound) as raised:
        await keys.revoke("nobody", ADA)
    assert raised.value.code == "unknown-key"


async def test_that_a_key_was_ever_made_is_not_forgotten_when_it_is_revoked(keys: ApiKeys) -> None:
    assert not await keys.exist()
    issued = await keys.create("ci", "viewer", None, None, ADA)
    await keys.revoke(issued.key.id, ADA)
    assert await keys.exist()


@given(st.text(max_size=80))
def test_no_text_is_taken_for_a_key_but_a_key(text: str) -> None:
    assert read_token(text) is None
    assert read_token(f"stepwell_{text}") is None


@given(st.integers(0, 59), st.characters(codec="utf-8"))
def test_a_mistyped_key_is_recognised_as_one(place: int, letter: str) -> None:
    text = KeyToken("abcdefghijkl", "x" * 32).text
    mistyped = text[:place] + letter + text[place + 1 :]
    assert (read_token(mistyped) is None) == (mistyped != text)


async def test_entries_noted_together_share_a_transaction_and_none_is_lost(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    sizes: list[int] = []
    write = store.write

    async def counting(writes: list[Write], now: int, *, entries: list[JournalEntry]) -> object:
        sizes.append(len(entries))
        await asyncio.sleep(0)
        return await write(writes, now, entries=entries)

    monkeypatch.setattr(store, "write", counting)
    audit = Audit(store)
    entries = [JournalEntry(kind="audit", subject="", at=START, body=msgspec.json.encode({"what": str(number),
               "who": "ada"}).decode(), chained=True) for number in range(20)]  # fmt: skip
    await asyncio.gather(*map(audit.note, entries))
    assert sum(sizes) == 20
    assert len(sizes) < 5
    assert [item["what"] for item in (await audit.list(AuditQuery()))["items"]] == [str(n) for n in range(19, -1, -1)]
