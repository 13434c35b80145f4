"""How history and state are written down: MessagePack, versioned, with secrets encrypted.

A history row is `[FORMAT, [event, ...]]`. `Sealed` values become an extension holding their encrypted content, so that
no store and no backup ever sees them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeVar, get_args

import msgspec

from stepwell.base.errors import StoreError
from stepwell.base.values import Sealed, SecretRef, SecretText
from stepwell.execution.history import HistoryEvent
from stepwell.execution.state import ExecutionState

FORMAT: Final = 1
"""Raised when what is written means something that an older version would misread. (It need not be for a new kind of
event or a new field: an old version refuses the one, and may ignore the other.)"""
_SEALED: Final = 1
_SECRET_REF: Final = 2
_SECRET_TEXT: Final = 3
_KINDS: Final = frozenset(kind.__struct_config__.tag for kind in get_args(HistoryEvent))


class Encryption(Protocol):
    """What the codec needs of a cipher; see `ports.Cipher`."""

    def encrypt(self, plain: bytes) -> bytes: ...

    def decrypt(self, sealed: bytes) -> bytes: ...


UNREADABLE: Final = frozenset({"damaged-history", "newer-history", "wrong-key"})
"""The codes of errors that are about what was read, and not about the store: others can be read all the same."""


class Codec:
    """Writes and reads history events and states."""

    def __init__(self, cipher: Encryption) -> None:
        self._cipher = cipher
        self._encoder = msgspec.msgpack.Encoder(enc_hook=self._wrap)
        self._events = msgspec.msgpack.Decoder(tuple[int, list[HistoryEvent]], ext_hook=self._unwrap)
        self._state = msgspec.msgpack.Decoder(tuple[int, ExecutionState], ext_hook=self._unwrap)
        self._any = msgspec.msgpack.Decoder(ext_hook=self._unwrap)

    def encode_events(self, events: Sequence[HistoryEvent]) -> bytes:
        """One history row."""
        return self._encoder.encode((FORMAT, events))

    def decode_events(self, row: bytes) -> list[HistoryEvent]:
        """The events of a row.

        Raises:
            StoreError: code `newer-history` when a newer version wrote it, `damaged-history` when it cannot be read.
        """
        return _decoded(self._events, row)

    def encode_state(self, state: ExecutionState) -> bytes:
        """A snapshot."""
        return self._encoder.encode((FORMAT, state))

    def decode_state(self, snapshot: bytes) -> ExecutionState:
        """The state of a snapshot. Raises what `decode_events` raises."""
        return _decoded(self._state, snapshot)

    def encode_value(self, value: Any) -> bytes:
        """Any JSON value, secrets encrypted."""
        return self._encoder.encode(value)

    def decode_value(self, encoded: bytes) -> Any:
        """What `encode_value` wrote.

        Raises:
            StoreError: code `damaged-history`: it cannot be read.
        """
        try:
            return self._any.decode(encoded)
        except (msgspec.DecodeError, ValueError) as error:
            raise _damaged(str(error)) from None

    def _wrap(self, value: Any) -> Any:
        if isinstance(value, Sealed):
            return msgspec.msgpack.Ext(_SEALED, self._cipher.encrypt(self._encoder.encode(value.value)))
        if isinstance(value, SecretRef):
            return msgspec.msgpack.Ext(_SECRET_REF, value.name.encode())
        if isinstance(value, SecretText):
            return msgspec.msgpack.Ext(_SECRET_TEXT, self._encoder.encode(value.parts))
        raise TypeError(f"{type(value).__name__} cannot be stored")

    def _unwrap(self, code: int, content: memoryview) -> Any:
        match code:
            case 1:  # _SEALED
                return Sealed(self._any.decode(self._cipher.decrypt(bytes(content))))
            case 2:  # _SECRET_REF
                return SecretRef(bytes(content).decode())
            case 3:  # _SECRET_TEXT
                return SecretText(tuple(self._any.decode(content)))
            case _:
                raise _newer()


_T = TypeVar("_T")
_UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _decoded(decoder: msgspec.msgpack.Decoder[tuple[int, _T]], row: bytes) -> _T:
    try:
        written, content = decoder.decode(row)
    except _UNDECODABLE as error:
        raise _newer() if _is_newer(row) else _damaged(str(error)) from None
    if written > FORMAT:
        raise _newer()
    if written < 1:
        raise _damaged(f"there is no format {written}")
    return content


def _is_newer(row: bytes) -> bool:
    """Whether a newer version wrote it: look at the envelope, then at the kinds of the events."""
    try:
        written, content = msgspec.msgpack.decode(row, type=tuple[int, Any], ext_hook=lambda code, data: None)
    except _UNDECODABLE:
        return False
    kinds = [event[0] for event in content if isinstance(event, list) and event] if isinstance(content, list) else []
    return written > FORMAT or any(isinstance(kind, int) and kind not in _KINDS for kind in kinds)


def _newer() -> StoreError:
    return StoreError(
        "the history was written by a newer stepwell and holds what this version does not know",
        code="newer-history",
        hint="upgrade this one",
    )


def _damaged(problem: str) -> StoreError:
    return StoreError(f"a history row is damaged: {problem}", code="damaged-history")
