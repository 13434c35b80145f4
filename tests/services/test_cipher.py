"""Encryption of secret values, and its keys."""

from __future__ import annotations

import base64
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.errors import ConfigurationError, StoreError
from stepwell.services.cipher import (
    AesCipher,
    LazyCipher,
    LazyKeyFile,
    RingCipher,
    environment_key,
    environment_keys,
)

KEY = bytes(range(32))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_what_was_encrypted_can_be_decrypted_and_is_not_readable(plain: bytes) -> None:
    cipher = AesCipher(KEY)
    sealed = cipher.encrypt(plain)
    assert cipher.decrypt(sealed) == plain
    assert len(plain) < 4 or plain not in sealed


def test_the_same_text_is_never_encrypted_to_the_same_bytes() -> None:
    cipher = AesCipher(KEY)
    assert len({cipher.encrypt(b"x") for _ in range(100)}) == 100


def test_the_number_of_the_key_stands_in_front() -> None:
    assert AesCipher(KEY, key_id=7).encrypt(b"x")[0] == 7


@pytest.mark.parametrize("other", [AesCipher(bytes(32)), AesCipher(KEY, key_id=2)])
def test_another_key_is_the_wrong_key(other: AesCipher) -> None:
    with pytest.raises(StoreError) as raised:
        other.decrypt(AesCipher(KEY).encrypt(b"x"))
    assert raised.value.code == "wrong-key"


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_noticed(place: int, change: int) -> None:
    cipher = AesCipher(KEY)
    sealed = bytearray(cipher.encrypt(b"some secret text"))
    sealed[place % len(sealed)] ^= change
    with pytest.raises(StoreError, match="cannot be decrypted"):
        cipher.decrypt(bytes(sealed))


@pytest.mark.parametrize("size", [0, 1, 12, 13, 28])
def test_what_is_too_short_to_be_encrypted_is_refused(size: int) -> None:
    with pytest.raises(StoreError, match="cannot be decrypted"):
        AesCipher(KEY).decrypt(b"\x01" * size)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="32 bytes"):
        AesCipher(b"short")


def test_the_key_may_come_from_the_environment() -> None:
    text = base64.b64encode(KEY).decode()
    assert environment_key({"STEPWELL_KEY": text}) == KEY
    assert environment_key({"STEPWELL_KEY": f" {text}\n"}) == KEY
    assert environment_key({}) is None


@pytest.mark.parametrize("text", ["hunter22", base64.b64encode(b"x" * 31).decode(), "é", "!" * 44])
def test_a_variable_without_a_key_in_it_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigurationError, match="STEPWELL_KEY") as raised:
        environment_key({"STEPWELL_KEY": text})
    assert raised.value.code == "invalid-key"
    assert text not in str(raised.value)


def test_the_key_file_is_made_when_it_is_needed_and_announced_once(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "stepwell.key"
    cipher = LazyCipher(LazyKeyFile(path, said.append))
    assert not path.exists()
    sealed = cipher.encrypt(b"x")
    cipher.encrypt(b"y")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(said) == 1
    assert str(path) in said[0]
    assert list(tmp_path.iterdir()) == [path]
    again = LazyCipher(LazyKeyFile(path, said.append))
    assert again.decrypt(sealed) == b"x"
    assert len(said) == 1


def test_the_mode_of_the_key_file_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        LazyKeyFile(tmp_path / "k", lambda _: None).read_or_create()
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600


def test_no_key_is_made_for_reading(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.key"
    with pytest.raises(StoreError, match="is missing") as raised:
        LazyCipher(LazyKeyFile(path, print)).decrypt(AesCipher(KEY).encrypt(b"x"))
    assert raised.value.code == "wrong-key"
    assert not path.exists()


def test_everybody_who_makes_the_key_at_once_gets_the_same_one(tmp_path: Path) -> None:
    said: list[str] = []
    keys: list[bytes] = []
    together = threading.Barrier(16)

    def make() -> None:
        key_file = LazyKeyFile(tmp_path / "k", said.append)
        together.wait(10)
        keys.append(key_file.read_or_create())

    threads = [threading.Thread(target=make) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(keys) == 16
    assert len(set(keys)) == 1
    assert len(said) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "k"]


@pytest.mark.parametrize("content", [b"", b"hunter22", b"\xff\xff"])
def test_a_file_without_a_key_in_it_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "k"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="the key file") as raised:
        LazyCipher(LazyKeyFile(path, print)).encrypt(b"x")
    assert "hunter22" not in str(raised.value)
    assert path.read_bytes() == content


def test_a_place_where_no_file_can_be_made_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be made: No such file or directory"):
        LazyKeyFile(tmp_path / "missing" / "k", print).read_or_create()
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        LazyKeyFile(tmp_path, print).read()


def test_what_any_key_of_a_ring_encrypted_can_be_decrypted_and_new_things_are_with_the_first() -> None:
    old, new = bytes(32), KEY
    ring = RingCipher([new, old])
    assert ring.decrypt(AesCipher(old).encrypt(b"x")) == b"x"
    assert AesCipher(new).decrypt(ring.encrypt(b"y")) == b"y"
    with pytest.raises(StoreError):
        ring.decrypt(AesCipher(bytes([1] * 32)).encrypt(b"z"))


def test_old_keys_of_the_environment_come_behind_the_new_one() -> None:
    new, old = base64.b64encode(KEY).decode(), base64.b64encode(bytes(32)).decode()
    assert environment_keys({"STEPWELL_KEY": new, "STEPWELL_OLD_KEYS": f"{old}, {old}"}) == [KEY, bytes(32), bytes(32)]
    assert environment_keys({"STEPWELL_OLD_KEYS": old}) == []
    with pytest.raises(ConfigurationError, match="STEPWELL_OLD_KEYS"):
        environment_keys({"STEPWELL_KEY": new, "STEPWELL_OLD_KEYS": "hunter22"})


def test_a_key_that_is_put_into_the_file_is_used_from_then_on_and_the_old_one_for_reading(tmp_path: Path) -> None:
    file = LazyKeyFile(tmp_path / "k", lambda _: None)
    reader = LazyCipher(file)
    before = reader.encrypt(b"before")
    file.add()
    after = LazyCipher(file).encrypt(b"after")
    assert reader.decrypt(after) == b"after"
    assert LazyCipher(file).decrypt(before) == b"before"
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file.path]


def test_two_cannot_put_a_key_into_the_file_at_once_and_lose_one(tmp_path: Path) -> None:
    file = LazyKeyFile(tmp_path / "k", lambda _: None)
    file.read_or_create()
    (tmp_path / ".k.new").touch()
    with pytest.raises(ConfigurationError, match="somebody else"):
        file.add()
    assert len(file.read_all()) == 1


def test_a_key_is_not_put_into_a_file_that_holds_something_else(tmp_path: Path) -> None:
    file = LazyKeyFile(tmp_path / "k", lambda _: None)
    file.path.write_text("hunter22")
    with pytest.raises(ConfigurationError, match="does not hold a key"):
        file.add()
    assert file.path.read_text() == "hunter22"
    assert list(tmp_path.iterdir()) == [file.path]
