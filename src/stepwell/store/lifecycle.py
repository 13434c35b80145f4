"""What a registered version may become, and which version of a name is its default. Pure: every store uses it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, assert_never

from msgspec.structs import replace

from stepwell.base.errors import Conflict, NotFound
from stepwell.base.semantic_version import precedence
from stepwell.base.suggest import hint_for
from stepwell.ports.records import Deed, Lifecycle, Registration, StoredDefinition

MOVES: Final[Mapping[Lifecycle, frozenset[Lifecycle]]] = {
    "draft": frozenset({"active", "retired"}),
    "active": frozenset({"deprecated", "retired"}),
    "deprecated": frozenset({"active", "retired"}),
    "retired": frozenset({"active"}),
}
"""From where to where a version may move."""

_DEFAULT_FROM: Final[Sequence[Lifecycle]] = ("active", "deprecated")
"""Without a chosen version, the newest of the first of these of which there is one."""


def new_registration(
    definition: StoredDefinition, tags: Sequence[str], deed: Deed, lifecycle: Lifecycle
) -> Registration:
    """The registration of a version that is not there yet."""
    return Registration(
        name=definition.name,
        version=definition.version,
        digest=definition.digest,
        lifecycle=lifecycle,
        tags=tuple(tags),
        log=(deed,),
    )


def check_same_content(known: Registration, definition: StoredDefinition) -> None:
    """Raises: Conflict: (code `version-exists`) the version is registered with other content."""
    if known.digest != definition.digest:
        raise Conflict(
            f"{known.name} {known.version} is registered with the content {known.digest[:12]}; "
            f"{definition.source_name} has the content {definition.digest[:12]}",
            code="version-exists",
            hint="a version never changes: give the new content a new version",
        )


def known_version(versions: Sequence[Registration], name: str, version: str) -> Registration:
    """The version among those of its name.

    Raises:
        NotFound: code `unknown-version`.
    """
    for registration in versions:
        if registration.version == version:
            return registration
    known = [registration.version for registration in versions]
    raise NotFound(
        f"{name} {version} is not registered",
        code="unknown-version",
        hint=hint_for(version, known) if known else "`stepwell workflow list` shows what is",
    )


def check_expected(versions: Sequence[Registration], expected: Registration | None) -> None:
    """Refuse to change a version that is not as it was read.

    Args:
        versions: all of its name, as they are.
        expected: the version as it was read; None when that does not matter.

    Raises:
        Conflict: code `changed-meanwhile`.
    """
    if expected is not None and expected not in arranged(versions):
        raise Conflict(
            f"{expected.name} {expected.version} is no longer as it was read",
            code="changed-meanwhile",
            hint="read it again, and decide anew",
        )


def moved(registration: Registration, to: Lifecycle, deed: Deed) -> Registration:
    """The version in another lifecycle; a retired one is no longer chosen as the default.

    Raises:
        Conflict: (code `illegal-lifecycle`) it cannot move there.
    """
    if to not in MOVES[registration.lifecycle]:
        allowed = " or ".join(sorted(MOVES[registration.lifecycle]))
        raise Conflict(
            f"{registration.name} {registration.version} is {registration.lifecycle} and cannot become {to}",
            code="illegal-lifecycle",
            hint=f"it can become {allowed}",
        )
    is_chosen = registration.is_chosen and to != "retired"
    return replace(registration, lifecycle=to, is_chosen=is_chosen, log=(*registration.log, deed))


def chosen(versions: Sequence[Registration], version: Registration, deed: Deed) -> Sequence[Registration]:
    """What changes among the versions of a name when this one is chosen as the default; it comes last.

    Raises:
        Conflict: see `check_startable`.
    """
    check_startable(version)
    others = [replace(other, is_chosen=False) for other in versions if other.is_chosen and other != version]
    return [*others, replace(version, is_chosen=True, log=(*version.log, deed))]


def check_startable(registration: Registration) -> None:
    """Refuse a version that must not be started.

    Raises:
        Conflict: code `version-draft` or `version-retired`, with the reason that was given for it.
    """
    name = f"{registration.name}@{registration.version}"
    match registration.lifecycle:
        case "draft":
            raise Conflict(
                f"{name} is a draft",
                code="version-draft",
                hint=f"`stepwell workflow activate {name}` makes it ready to be started",
            )
        case "retired":
            raise Conflict(
                f"{name} is retired{reason_of(registration)}",
                code="version-retired",
                hint=f"name another version; `stepwell workflow list --name {registration.name}` shows them",
            )
        case "active" | "deprecated":
            pass
        case _:
            assert_never(registration.lifecycle)


def reason_of(registration: Registration) -> str:
    """`: REASON`, why the version is in the lifecycle it is in; nothing when no reason was given."""
    deeds = [deed for deed in registration.log if deed.what == registration.lifecycle]
    return f": {deeds[-1].reason}" if deeds and deeds[-1].reason else ""


def arranged(registrations: Iterable[Registration]) -> list[Registration]:
    """All versions of some names: by name, the newest first, each name's default marked."""
    newest_first = sorted(registrations, key=lambda each: precedence(each.version), reverse=True)
    by_name = sorted(newest_first, key=attrgetter("name"))
    found: list[Registration] = []
    for _, versions in groupby(by_name, key=attrgetter("name")):
        found += _with_default(list(versions))
    return found


def wanted(
    registrations: Iterable[Registration], name: str | None, tag: str | None, lifecycle: Lifecycle | None
) -> Sequence[Registration]:
    """See `ports.Store.registrations`; `registrations` are all versions of all names, or of this one."""
    return [
        each
        for each in arranged(registrations)
        if (name is None or each.name == name)
        and (tag is None or tag in each.tags)
        and (lifecycle is None or each.lifecycle == lifecycle)
    ]


def found(versions: Iterable[Registration], version: str | None) -> Registration | None:
    """See `ports.Store.registered`; `versions` are all those of the name."""
    for each in arranged(versions):
        if each.is_default if version is None else each.version == version:
            return each
    return None


def _with_default(newest_first: Sequence[Registration]) -> Iterable[Registration]:
    default = next((each for each in newest_first if each.is_chosen), None)
    for lifecycle in _DEFAULT_FROM:
        default = default or next((each for each in newest_first if each.lifecycle == lifecycle), None)
    return (replace(each, is_default=each is default) for each in newest_first)
