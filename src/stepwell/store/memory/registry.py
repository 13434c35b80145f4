"""Registered versions, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from stepwell.ports.records import Deed, Lifecycle, Registered, Registration, StoredDefinition
from stepwell.store import lifecycle


class Registry:
    """The registrations of a store. See `ports.Store`."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Registration] = {}

    def everything(self) -> Sequence[Registration]:
        """All versions of all names."""
        return list(self._entries.values())

    def versions(self, name: str) -> Sequence[Registration]:
        """All versions of a name."""
        return [each for each in self._entries.values() if each.name == name]

    def register(self, definition: StoredDefinition, tags: Sequence[str], deed: Deed, first: Lifecycle) -> Registered:
        """See `ports.Store.register`."""
        known = self._entries.get((definition.name, definition.version))
        if known is not None:
            lifecycle.check_same_content(known, definition)
        else:
            self._put([lifecycle.new_registration(definition, tags, deed, first)])
        return Registered(self._shown(definition.name, definition.version), known is None)

    def set_lifecycle(
        self, name: str, version: str, to: Lifecycle, deed: Deed, expected: Registration | None
    ) -> Registration:
        """See `ports.Store.set_lifecycle`."""
        versions = self.versions(name)
        known = lifecycle.known_version(versions, name, version)
        lifecycle.check_expected(versions, expected)
        if known.lifecycle != to:
            self._put([lifecycle.moved(known, to, deed)])
        return self._shown(name, version)

    def set_default(self, name: str, version: str, deed: Deed, expected: Registration | None) -> Registration:
        """See `ports.Store.set_default`."""
        versions = self.versions(name)
        known = lifecycle.known_version(versions, name, version)
        lifecycle.check_expected(versions, expected)
        self._put(lifecycle.chosen(versions, known, deed))
        return self._shown(name, version)

    def _put(self, registrations: Sequence[Registration]) -> None:
        for each in registrations:
            self._entries[each.name, each.version] = each

    def _shown(self, name: str, version: str) -> Registration:
        return lifecycle.known_version(lifecycle.arranged(self.versions(name)), name, version)
