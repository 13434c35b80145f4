"""Encryption of what must not be readable in the store: AES-256-GCM, and where its key comes from."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stepwell.base.errors import ConfigurationError, StoreError
from stepwell.ports.services import Cipher

KEY_VARIABLE: Final = "STEPWELL_KEY"
OLD_KEYS_VARIABLE: Final = "STEPWELL_OLD_KEYS"
KEY_BYTES: Final = 32

_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_PURPOSE: Final = b"stepwell sealed value"


class AesCipher(Cipher):
    """Encrypts with one key.

    The result is the key's number (one byte), a random nonce (12 bytes), and the encrypted content with its tag. The
    number says which of several keys to use once keys are changed; it is authenticated with the content.

    Args:
        key: 32 bytes.
        key_id: the key's number, from 0 to 255.

    Raises:
        ConfigurationError: (code `invalid-key`) the key is not 32 bytes long.
    """

    def __init__(self, key: bytes, key_id: int = 1) -> None:
        if len(key) != KEY_BYTES:
            raise _invalid_key(f"a key has {KEY_BYTES} bytes, and this one {len(key)}")
        self._aes = AESGCM(key)
        self._prefix = bytes([key_id])

    def encrypt(self, plain: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return self._prefix + nonce + self._aes.encrypt(nonce, plain, _PURPOSE + self._prefix)

    def decrypt(self, sealed: bytes) -> bytes:
        """Raises: StoreError (code `wrong-key`): another key encrypted it, or it was changed since."""
        prefix, nonce, content = sealed[:1], sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if prefix != self._prefix or len(content) < _TAG_BYTES:
            raise wrong_key()
        try:
            return self._aes.decrypt(nonce, content, _PURPOSE + prefix)
        except InvalidTag:
            raise wrong_key() from None


class RingCipher(Cipher):
    """Encrypts with the first of several keys, and decrypts what any of them encrypted."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = [AesCipher(key) for key in keys]

    def encrypt(self, plain: bytes) -> bytes:
        return self._ciphers[0].encrypt(plain)

    def decrypt(self, sealed: bytes) -> bytes:
        """Raises: StoreError (code `wrong-key`): none of the keys encrypted it, or it was changed since."""
        for cipher in self._ciphers[:-1]:
            with contextlib.suppress(StoreError):
                return cipher.decrypt(sealed)
        return self._ciphers[-1].decrypt(sealed)


class LazyCipher(Cipher):
    """Encrypts with a key file that is made when something is encrypted for the first time, and never for reading."""

    def __init__(self, key_file: LazyKeyFile) -> None:
        self._key_file = key_file
        self._cipher: RingCipher | None = None

    def encrypt(self, plain: bytes) -> bytes:
        """Raises: ConfigurationError: the key file cannot be read or made, or holds no key."""
        if self._cipher is None:
            self._key_file.read_or_create()
            self._cipher = self._read()
        return self._cipher.encrypt(plain)

    def decrypt(self, sealed: bytes) -> bytes:
        """Raises: StoreError (code `wrong-key`); ConfigurationError: the key file cannot be read or holds no key."""
        if self._cipher is not None:
            with contextlib.suppress(StoreError):
                return self._cipher.decrypt(sealed)
        self._cipher = self._read()  # a key may have been put into it since
        return self._cipher.decrypt(sealed)

    def _read(self) -> RingCipher:
        keys = self._key_file.read_all()
        if not keys:
            raise wrong_key(f"the key file {self._key_file.path} is missing")
        return RingCipher(keys)


class MissingCipher(Cipher):
    """Of a store whose key must be given, when it is not: encrypts and decrypts nothing.

    Args:
        location: of the store.
    """

    def __init__(self, location: str) -> None:
        self._location = location

    def encrypt(self, plain: bytes) -> bytes:
        """Raises: ConfigurationError: code `missing-key`."""
        raise missing_key(self._location)

    def decrypt(self, sealed: bytes) -> bytes:
        """Raises: ConfigurationError: code `missing-key`."""
        raise missing_key(self._location)


class LazyKeyFile:
    """A file with a key, made (readable by its owner only) when a key is needed and there is none.

    A key is a line. What is encrypted from now on is so with the first one; those below were used before.

    Args:
        announce: told once, in a sentence for the user, that the file was made.
    """

    def __init__(self, path: Path, announce: Callable[[str], None]) -> None:
        self.path = path
        self._announce = announce

    def read(self) -> bytes | None:
        """The key for encrypting, or None when there is no file.

        Raises:
            ConfigurationError: (code `invalid-key`) the file cannot be read or holds no key.
        """
        keys = self.read_all()
        return keys[0] if keys else None

    def read_all(self) -> Sequence[bytes]:
        """All keys, the one for encrypting first; none when there is no file.

        Raises:
            ConfigurationError: (code `invalid-key`) the file cannot be read or holds no key.
        """
        try:
            lines = self.path.read_text("ascii").split() or [""]
            return [key_of(line, f"the key file {self.path}") for line in lines]
        except FileNotFoundError:
            return []
        except UnicodeDecodeError:
            raise _invalid_key(f"the key file {self.path} holds no key") from None
        except OSError as error:
            raise _invalid_key(f"the key file {self.path} cannot be read: {error.strerror}") from None

    def read_or_create(self) -> bytes:
        """The key, durably stored; whoever is first of several processes makes it, and all get the same.

        Raises:
            ConfigurationError: (code `invalid-key`) the file cannot be read or made, or holds no key.
        """
        key = self.read()
        if key is not None:
            return key
        try:
            created = self._create()
        except OSError as error:
            raise _invalid_key(f"the key file {self.path} cannot be made: {error.strerror}") from None
        key = self.read()
        if key is None:
            raise _invalid_key(f"the key file {self.path} was deleted while it was made")
        if created:
            self._announce(
                f"made the key {self.path}, which encrypts secret values in the store: keep it, and keep it private"
            )
        return key

    def add(self) -> None:
        """Put a new key before the others, durably.

        Raises:
            ConfigurationError: (code `invalid-key`) the file cannot be read or written, or somebody else is doing this.
        """
        draft = self.path.with_name(f".{self.path.name}.new")
        try:
            _write_keys(draft, lambda: [secrets.token_bytes(KEY_BYTES), *self.read_all()])
            draft.replace(self.path)
            _make_durable(self.path.parent)
        except FileExistsError:
            message = f"somebody else is putting a key into {self.path}"
            raise ConfigurationError(message, code="invalid-key", hint=f"if nobody is, delete {draft}") from None
        except OSError as error:
            raise _invalid_key(f"the key file {self.path} cannot be written: {error.strerror}") from None

    def _create(self) -> bool:
        """Make the file, complete or not at all; False when somebody else was first."""
        draft = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        try:
            _write_keys(draft, lambda: [secrets.token_bytes(KEY_BYTES)])
            with contextlib.suppress(FileExistsError):
                os.link(draft, self.path)
                _make_durable(self.path.parent)
                return True
            return False
        finally:
            draft.unlink(missing_ok=True)


def environment_key(environment: Mapping[str, str]) -> bytes | None:
    """The key in the variable `STEPWELL_KEY`, or None when it is not set.

    Raises:
        ConfigurationError: (code `invalid-key`) it does not hold a key.
    """
    text = environment.get(KEY_VARIABLE)
    return key_of(text, f"the environment variable {KEY_VARIABLE}") if text else None


def environment_keys(environment: Mapping[str, str]) -> Sequence[bytes]:
    """The key in `STEPWELL_KEY`, and behind it those in `STEPWELL_OLD_KEYS`, which were used before; none when it is
    not set.

    Raises:
        ConfigurationError: (code `invalid-key`) one of the variables does not hold keys.
    """
    key = environment_key(environment)
    if key is None:
        return []
    old = environment.get(OLD_KEYS_VARIABLE, "").replace(",", " ").split()
    return [key, *(key_of(text, f"the environment variable {OLD_KEYS_VARIABLE}") for text in old)]


def key_of(text: str, where: str) -> bytes:
    """The key that is written as base64 of 32 bytes.

    Raises:
        ConfigurationError: (code `invalid-key`) naming `where`, and nothing of the text.
    """
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise _invalid_key(f"{where} does not hold a key: the base64 form of {KEY_BYTES} bytes")
    return key


def wrong_key(reason: str = "the key is not the one it was encrypted with, or it was changed") -> StoreError:
    """The error for something that cannot be decrypted."""
    return StoreError(
        f"a secret value of the store cannot be decrypted: {reason}",
        code="wrong-key",
        hint=f"set {KEY_VARIABLE} or the key file to the key that was used when it was stored",
    )


def missing_key(location: str) -> ConfigurationError:
    """The error when a store that several machines share is to be used without a key."""
    return ConfigurationError(
        f"no key is given for what is secret in {location}; it is shared, and whoever uses it needs the same",
        code="missing-key",
        hint=f"set {KEY_VARIABLE} to 32 random bytes in base64, such as `openssl rand -base64 32` gives, and keep them",
    )


def _invalid_key(message: str) -> ConfigurationError:
    return ConfigurationError(message, code="invalid-key")


def _write_keys(path: Path, keys: Callable[[], Sequence[bytes]]) -> None:
    """Make a file of keys, which must not be there, readable by its owner only. The keys are asked for once it is."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        try:
            file.writelines(base64.b64encode(key) + b"\n" for key in keys())
        except BaseException:
            path.unlink()
            raise
        file.flush()
        os.fsync(file.fileno())


def _make_durable(directory: Path) -> None:
    """Have the directory's new entry survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
