"""How history and state are written down: MessagePack, versioned, with secrets encrypted.

A history row is `[FORMAT, [event, ...]]`. `Sealed` values become an extension holding their encrypted content, so that
no store and no backup ever sees them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol, get_args

import msgspec

from stepwell.base.errors import StoreError
from stepwell.base.values import Sealed, SecretRef, SecretText
from stepwell.execution.history import HistoryEvent
from stepwell.execution.state import ExecutionState

FORMAT: Final = 1
_SEALED: Final = 1
_SECRET_REF: Final = 2
_SECRET_TEXT: Final = 3
_KINDS: Final = frozenset(kind.__struct_config__.tag for kind in get_args(HistoryEvent))


class Encryption(Protocol):
    """What the codec needs of a cipher; see `ports.Cipher`."""

    def encrypt(self, plain: bytes) -> bytes: ...

    def decrypt(self, sealed: bytes) -> bytes: ...


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
        try:
            return self._events.decode(row)[1]
        except msgspec.DecodeError as error:
            raise _unreadable(row, error) from None

    def encode_state(self, state: ExecutionState) -> bytes:
        """A snapshot."""
        return self._encoder.encode((FORMAT, state))

    def decode_state(self, snapshot: bytes) -> ExecutionState:
        """The state of a snapshot. Raises what `decode_events` raises."""
        try:
            return self._state.decode(snapshot)[1]
        except msgspec.DecodeError as error:
            raise _unreadable(snapshot, error) from None

    def encode_value(self, value: Any) -> bytes:
        """Any JSON value, secrets encrypted."""
        return self._encoder.encode(value)

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
                raise StoreError(
                    f"the history holds an extension of kind {code}, which this version does not know",
                    code="newer-history",
                    hint="it was written by a newer stepwell: upgrade this one",
                )


def _unreadable(row: bytes, error: Exception) -> StoreError:
    """Tell a row of a newer version from a damaged one: look at the envelope, then at the kinds of the events."""
    try:
        written, events = msgspec.msgpack.decode(row, type=tuple[int, Any], ext_hook=lambda code, content: None)
    except msgspec.DecodeError:
        return StoreError(f"a history row is damaged: {error}", code="damaged-history")
    kinds = {event[0] for event in events if isinstance(event, list) and event} if isinstance(events, list) else set()
    if written > FORMAT or not kinds <= _KINDS:
        return StoreError(
            "the history was written by a newer stepwell and holds what this version does not know",
            code="newer-history",
            hint="upgrade this one",
        )
    return StoreError(f"a history row is damaged: {error}", code="damaged-history")
