"""Secrets that the store keeps: sealed, bound to their name and namespaces, read at each use."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.app.audit import Audit, AuditQuery, Doer
from stepwell.app.secret_store import SecretStore, add_key, keys_of
from stepwell.base.errors import ConfigurationError, NotFound, StoreError, UsageError
from stepwell.ports.ledger import Write
from stepwell.services.secret_table import KIND, KeyRing, SecretTable, StoredSecret, decoded, key_name, opened, sealed
from stepwell.services.secrets import CombinedSecrets, EnvironmentSecrets
from stepwell.store.memory.store import MemoryStore
from tests.virtual_clock import VirtualClock

ADA = Doer(name="ada")
OLD, NEW = bytes(range(32)), bytes(range(1, 33))


@pytest.fixture
def keys() -> list[bytes]:
    return [OLD]


@pytest.fixture
def secrets(store: MemoryStore, keys: list[bytes]) -> SecretStore:
    return SecretStore(store, lambda: list(keys), VirtualClock())


@pytest.fixture
async def table(store: MemoryStore, keys: list[bytes]) -> SecretTable:
    return SecretTable(store, KeyRing(lambda: list(keys)))


async def test_what_was_set_is_used_from_then_on(secrets: SecretStore, table: SecretTable) -> None:
    await secrets.set("CRM", "first", None, ADA)
    assert table.get("CRM") == "first"
    await secrets.set("CRM", "second", None, ADA)
    assert table.get("CRM") == "second"
    await secrets.delete("CRM", ADA)
    with pytest.raises(NotFound) as raised:
        table.get("CRM")
    assert raised.value.code == "unknown-secret"


async def test_threads_may_ask_too(secrets: SecretStore, table: SecretTable) -> None:
    await secrets.set("CRM", "value", None, ADA)
    assert await asyncio.to_thread(table.get, "CRM") == "value"


async def test_a_workflow_of_another_namespace_may_not_use_it(secrets: SecretStore, table: SecretTable) -> None:
    await secrets.set("CRM", "value", ["payments", "billing"], ADA)
    assert table.of("payments.refund").get("CRM") == "value"
    assert table.get("CRM") == "value"
    for workflow in ("refund", "other.refund"):
        with pytest.raises(NotFound) as raised:
            table.of(workflow).get("CRM")
        assert raised.value.code == "secret-not-allowed"
        assert "value" not in str(raised.value)


async def test_who_sets_a_secret_for_a_namespace_changes_nothing_for_others_and_gets_nothing_of_theirs(
    secrets: SecretStore, table: SecretTable
) -> None:
    combined = CombinedSecrets([EnvironmentSecrets({"STEPWELL_SECRET_CRM": "operator's"}), table])
    await secrets.set("CRM", "value", ["payments"], ADA)
    assert combined.get("CRM") == "operator's"
    assert combined.of("other.x").get("CRM") == "operator's"
    assert combined.of("payments.x").get("CRM") == "value"


async def test_of_a_secret_of_others_it_is_said_that_there_is_one(secrets: SecretStore, table: SecretTable) -> None:
    await secrets.set("CRM", "value", ["payments"], ADA)
    combined = CombinedSecrets([EnvironmentSecrets({}), table, EnvironmentSecrets({})])
    with pytest.raises(NotFound) as raised:
        combined.of("other.x").get("CRM")
    assert raised.value.code == "secret-not-allowed"


async def test_nothing_that_is_stored_or_shown_holds_the_value(secrets: SecretStore, store: MemoryStore) -> None:
    report = await secrets.set("CRM", "hunter2hunter2", None, ADA)
    document = await store.document(KIND, "CRM")
    assert document is not None
    shown = repr((report, await secrets.list(), await secrets.get("CRM"), await Audit(store).list(AuditQuery())))
    assert "hunter2" not in shown
    assert b"hunter2" not in document.body
    assert b"hunter2" not in decoded(document).sealed


async def test_a_secret_opens_under_its_own_name_and_for_its_own_namespaces_only(
    secrets: SecretStore, store: MemoryStore, table: SecretTable
) -> None:
    await secrets.set("CRM", "value", ["payments"], ADA)
    document = await store.document(KIND, "CRM")
    assert document is not None
    wider = msgspec.structs.replace(decoded(document), namespaces=None)
    await store.write([Write(kind=KIND, key="OTHER", body=document.body)], 0)
    await store.write([Write(kind=KIND, key="CRM", body=msgspec.json.encode(wider))], 0)
    for name in ("OTHER", "CRM"):
        with pytest.raises(StoreError) as raised:
            table.get(name)
        assert raised.value.code == "wrong-key"


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_noticed(value: str, place: int, change: int) -> None:
    content = bytearray(sealed("X", value, None, OLD))
    stored = StoredSecret(
        sealed=bytes(content), key=key_name(OLD), namespaces=None, created_at=0, created_by="", updated_by=""
    )
    assert opened("X", stored, [NEW, OLD]) == value
    content[place % len(content)] ^= change
    with pytest.raises(StoreError):
        opened("X", msgspec.structs.replace(stored, sealed=bytes(content)), [OLD])


async def test_the_same_value_is_never_sealed_to_the_same_bytes() -> None:
    assert len({sealed("X", "value", None, OLD) for _ in range(50)}) == 50


async def test_with_a_new_key_everything_stays_readable_while_it_is_encrypted_anew(
    secrets: SecretStore, table: SecretTable, keys: list[bytes], store: MemoryStore
) -> None:
    for number in range(250):
        await secrets.set(f"S{number:03}", f"value {number}", None, ADA)
    keys.insert(0, NEW)
    assert table.get("S007") == "value 7"
    assert await secrets.encrypt_anew(ADA) == (250, 250)
    assert {each["key"] for each in await secrets.list()} == {key_name(NEW)}
    keys.remove(OLD)
    assert {table.get(f"S{number:03}") == f"value {number}" for number in range(250)} == {True}
    assert await secrets.encrypt_anew(ADA) == (250, 0)
    noted = (await Audit(store).list(AuditQuery(what="secret.rotate-key")))["items"]
    assert [item["detail"]["secrets"] for item in noted] == [50, 100, 100]


async def test_without_its_key_a_secret_is_not_opened_and_the_key_is_named(
    secrets: SecretStore, table: SecretTable, keys: list[bytes]
) -> None:
    await secrets.set("CRM", "value", None, ADA)
    keys[:] = [NEW]
    with pytest.raises(StoreError, match=key_name(OLD)):
        table.get("CRM")
    with pytest.raises(StoreError):
        await secrets.encrypt_anew(ADA)


@pytest.mark.parametrize(("name", "value"), [("", "x"), ("a b", "x"), ("9", "x"), ("a/b", "x"), ("X" * 129, "x"),
                                             ("X", ""), ("X", "é" * 40_000), ("X", "\ud800")])  # fmt: skip
async def test_what_cannot_be_a_secret_is_refused(secrets: SecretStore, name: str, value: str) -> None:
    with pytest.raises(UsageError) as raised:
        await secrets.set(name, value, None, ADA)
    assert raised.value.code == "invalid-secret"


@pytest.mark.parametrize("name", ["NONE", "a b", "", "\0"])
async def test_what_is_not_there_cannot_be_deleted(secrets: SecretStore, name: str) -> None:
    with pytest.raises(NotFound):
        await secrets.delete(name, ADA)


def test_the_keys_are_those_of_the_environment_or_of_the_file(tmp_path: Path) -> None:
    url, said = f"sqlite:{tmp_path}/x.db", list[str]()
    environment = {"STEPWELL_KEY": base64.b64encode(NEW).decode(), "STEPWELL_OLD_KEYS": base64.b64encode(OLD).decode()}
    assert keys_of(url, said.append, environment)() == [NEW, OLD]
    (made,) = keys_of(url, said.append, {})()
    assert keys_of(url, said.append, {})() == [made]
    assert len(said) == 1
    add_key(url, {})
    new, old = keys_of(url, said.append, {})()
    assert old == made != new


def test_in_the_environment_the_new_key_must_be_there_first(tmp_path: Path) -> None:
    environment = {"STEPWELL_KEY": base64.b64encode(OLD).decode()}
    with pytest.raises(ConfigurationError, match="no other one"):
        add_key(f"sqlite:{tmp_path}/x.db", environment)
    add_key(f"sqlite:{tmp_path}/x.db", {**environment, "STEPWELL_OLD_KEYS": base64.b64encode(NEW).decode()})
    assert list(tmp_path.iterdir()) == []
