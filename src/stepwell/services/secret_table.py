"""Secrets that the store keeps, encrypted: AES-256-GCM, bound to the name of the secret and to who may use it.

They are read at each use, so that a secret that was changed, by whomever, is used from then on.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stepwell.base.errors import NotFound, StoreError
from stepwell.base.namespaces import namespace_of
from stepwell.ports.ledger import Document, Ledger
from stepwell.ports.services import SecretsByWorkflow, SecretSource
from stepwell.services.cipher import wrong_key

KIND: Final = "secret"

Keys = Callable[[], Sequence[bytes]]
"""The keys as they are now, the one for encrypting first."""

_NONCE_BYTES: Final = 12
_LONGEST_WAIT: Final = 30.0
"""Seconds that a thread waits for the event loop."""


class StoredSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret as it is kept.

    Attributes:
        sealed: a random nonce (12 bytes), and the encrypted value with its tag.
        key: names the key that it is encrypted with: see `key_name`.
        namespaces: those whose workflows may use it; None for all.
    """

    sealed: bytes
    key: str
    namespaces: tuple[str, ...] | None
    created_at: int
    created_by: str
    updated_by: str


class KeyRing:
    """The keys by their names. They are read when one is wanted that was not there before."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._known: dict[str, bytes] = {}

    def named(self, name: str) -> Sequence[bytes]:
        """The key of that name, if there is one."""
        if name not in self._known:
            self._known = {key_name(key): key for key in self._keys()}
        return [self._known[name]] if name in self._known else []


class SecretTable(SecretsByWorkflow):
    """The secrets of a store, for one event loop; threads may ask too.

    Args:
        workflow: who uses them; None for the server itself, which may use all.
    """

    def __init__(self, ledger: Ledger, keys: KeyRing, workflow: str | None = None) -> None:
        self._ledger = ledger
        self._keys = keys
        self._workflow = workflow
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def get(self, name: str) -> str:
        """Raises: NotFound (code `unknown-secret`, or `secret-not-allowed`: the workflow is in a namespace that may not
        use it); StoreError: (code `wrong-key`) its key is missing, or it was changed."""
        document = self._read(self._ledger.document(KIND, name))
        if document is None:
            hint = "set it: stepwell secret set NAME"
            raise NotFound(f"there is no secret {name!r}", code="unknown-secret", hint=hint)
        stored = decoded(document)
        if self._workflow is not None:
            check_allowed(name, stored, namespace_of(self._workflow))
        return opened(name, stored, self._keys.named(stored.key))

    def of(self, workflow: str) -> SecretSource:
        """What a workflow may look up."""
        return SecretTable(self._ledger, self._keys, workflow)

    def _read(self, reading: Coroutine[Any, Any, Document | None]) -> Document | None:
        if threading.get_ident() != self._thread:
            return asyncio.run_coroutine_threadsafe(reading, self._loop).result(_LONGEST_WAIT)
        try:
            reading.send(None)
        except StopIteration as ended:
            found: Document | None = ended.value
            return found
        reading.close()
        raise StoreError("this store cannot keep secrets: it does not answer at once", code="store-unavailable")


def check_allowed(name: str, stored: StoredSecret, namespace: str) -> None:
    """Whether workflows of a namespace may use a secret.

    Raises:
        NotFound: code `secret-not-allowed`.
    """
    if stored.namespaces is not None and namespace not in stored.namespaces:
        raise NotFound(
            f"the secret {name!r} may not be used in namespace {namespace!r}",
            code="secret-not-allowed",
            hint="an admin allows it: stepwell secret set NAME --namespace NAMESPACE",
        )


def sealed(name: str, value: str, namespaces: Sequence[str] | None, key: bytes) -> bytes:
    """The value encrypted, so that it opens under this name, and for these namespaces, only."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, value.encode(), _bound_to(name, namespaces))


def opened(name: str, stored: StoredSecret, keys: Sequence[bytes]) -> str:
    """The value of a secret.

    Raises:
        StoreError: (code `wrong-key`) none of the keys is its key, or it was changed since.
    """
    for key in keys:
        if key_name(key) == stored.key:
            nonce, content = stored.sealed[:_NONCE_BYTES], stored.sealed[_NONCE_BYTES:]
            try:
                return AESGCM(key).decrypt(nonce, content, _bound_to(name, stored.namespaces)).decode()
            except (InvalidTag, ValueError):
                raise wrong_key(f"the secret {name!r} was changed by other means") from None
    raise wrong_key(f"the secret {name!r} is encrypted with key {stored.key}, which is not there")


def key_name(key: bytes) -> str:
    """Names a key without saying anything of it that helps."""
    return hashlib.sha256(b"stepwell key name\0" + key).hexdigest()[:12]


def decoded(document: Document) -> StoredSecret:
    """The secret that a document holds."""
    return msgspec.json.decode(document.body, type=StoredSecret)


def _bound_to(name: str, namespaces: Sequence[str] | None) -> bytes:
    return json.dumps(["stepwell secret", name, list(namespaces) if namespaces is not None else None]).encode()
