"""Which migrations a database still needs, and which databases must not be touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stepwell.base.errors import StoreError
from stepwell.base.version import VERSION
from stepwell.store.statements import Migration


class Applied(NamedTuple):
    """A migration that a database says it has had. `applied_by` is the version of stepwell that did it."""

    number: int
    name: str
    checksum: str
    applied_by: str


def pending(known: Sequence[Migration], applied: Sequence[Applied], location: str) -> Sequence[Migration]:
    """The migrations that are still to be applied, in order.

    Raises:
        StoreError: (code `store-too-new`) a newer version migrated the database; (code `store-migration-changed`) it
            has had a migration whose text is another one than ours.
    """
    newest = known[-1].number
    if applied and applied[-1].number > newest:
        last = applied[-1]
        raise StoreError(
            f"{location} was written by stepwell {last.applied_by} and has schema {last.number}; "
            f"this is stepwell {VERSION}, which knows schemas up to {newest}",
            code="store-too-new",
            hint=f"use stepwell {last.applied_by} or later",
        )
    for ours, theirs in zip(known, applied, strict=False):
        if (ours.number, ours.checksum) != (theirs.number, theirs.checksum):
            raise StoreError(
                f"migration {theirs.number} ({theirs.name}), which stepwell {theirs.applied_by} applied to {location}, "
                f"is not the one that stepwell {VERSION} knows under this number",
                code="store-migration-changed",
                hint=f"use a released stepwell, {theirs.applied_by} or later; a released migration is never edited",
            )
    return known[len(applied) :]


def outdated(missing: Sequence[Migration], location: str) -> StoreError:
    """What to raise when migrations are missing and must not be applied."""
    return StoreError(
        f"the schema of {location} is older than stepwell {VERSION}: it lacks migration "
        + ", ".join(f"{migration.number} ({migration.name})" for migration in missing),
        code="store-outdated",
        hint="`stepwell db migrate` brings it up to date",
    )
