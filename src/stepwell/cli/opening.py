"""From what the user said to a configuration, a catalogue and an open store.

What opens a store, and reads what is recorded, is imported when that is done: commands that only check definitions
need none of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stepwell.app.capabilities import capable_handlers
from stepwell.app.checking import Catalogue, catalogue_of, check
from stepwell.app.configuration import Configuration, completed, load_configuration, read_configuration
from stepwell.app.notifications import channels_of
from stepwell.app.plugins import plugins_of
from stepwell.app.policies import policies_of
from stepwell.app.registries import Registries, import_module
from stepwell.app.services import services_of
from stepwell.base.errors import StoreError
from stepwell.base.spans import Source
from stepwell.cli.logs import set_up_logging
from stepwell.cli.options import Setup
from stepwell.definition.context import Known
from stepwell.definition.diagnostics import InvalidDefinition
from stepwell.definition.loading import Loaded
from stepwell.definition.model import CONTROL_TYPES, LEAF_TYPES, WorkflowDefinition
from stepwell.dialects.loading import settings_in
from stepwell.ports.services import Cipher
from stepwell.ports.store import Store
from stepwell.store.factory import is_on_server, sqlite_path
from stepwell.tasks.builtin import builtin_types

if TYPE_CHECKING:
    from stepwell.app.definitions import Definitions
    from stepwell.app.reading import Reading
    from stepwell.execution.codec import Codec
    from stepwell.execution.history import HistoryEvent


def configuration_of(setup: Setup) -> Configuration:
    """The configuration in force; logging is set up as it says.

    Raises:
        ConfigurationError: naming everything that is wrong.
    """
    configuration = load_configuration(setup.config, store=setup.store)
    set_up_logging(configuration.logging)
    return configuration


def configured_for(definition: WorkflowDefinition, configuration: Configuration) -> Configuration:
    """The configuration, with what the file of a workflow says about the engine where it says nothing itself."""
    more = settings_in(definition)
    if not more:
        return configuration
    configuration = completed(configuration, more)
    set_up_logging(configuration.logging)
    return configuration


def registries_of(setup: Setup) -> Registries:
    """The tasks and rules of the modules given with `--import`.

    Raises:
        ConfigurationError: a module cannot be imported, or two functions have the same name.
    """
    return Registries(modules=[import_module(name) for name in setup.modules])


def catalogue_for(configuration: Configuration, registries: Registries) -> Catalogue:
    """What can be run here."""
    plugins = plugins_of(configuration.plugins)
    plugins.register(registries)
    brought = _brought_by_packs(configuration, registries)
    types = builtin_types(registries.tasks, registries.rules) | capable_handlers(configuration).keys() | {"emit_event"}
    types |= plugins.handlers().keys()
    services, policies, channels = services_of(configuration), policies_of(configuration), channels_of(configuration)
    brokers = configuration.events.brokers().keys()
    catalogue = catalogue_of(registries, types, services.keys(), policies, channels.keys(), plugins, brokers)
    registered = _registered_names(configuration)
    catalogue.workflows = registered | brought if registered is not None else brought or None
    return catalogue


def _brought_by_packs(configuration: Configuration, registries: Registries) -> Set[str]:
    """The names of the workflows of the configured packs, whose actions are registered with that."""
    if not configuration.packs:
        return frozenset()

    from stepwell.app.packs import add_packs

    add_packs(configuration.packs, registries)
    return {name for packs in registries.packs.values() for pack in packs for name in pack.workflows}


def _registered_names(configuration: Configuration) -> Set[str] | None:
    """The names of the workflows that are registered; None when there is no store that can be read as it is."""
    file = store_file(configuration)
    if not (is_on_server(configuration.state_store.url) or (file is not None and file.exists())):
        return None

    import asyncio

    from stepwell.app.registry import Registry

    async def read() -> Set[str]:
        async with existing_store(configuration) as store:
            return await Registry(store).names()

    try:
        return asyncio.run(read())
    except StoreError:
        return None


class _AnyTask(set[str]):
    """The types of steps that have a handler, and whatever could be the name of a task."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name not in LEAF_TYPES | CONTROL_TYPES


class _PartlyKnown(Catalogue):
    """A catalogue of which some is not known here, and not asked for."""

    def __init__(self, whole: Catalogue, *, services: bool, tasks: bool) -> None:
        self._whole = whole
        self._knows_services = services
        self._knows_tasks = tasks
        self.workflows = whole.workflows
        self.channels = whole.channels if services else None
        self.brokers = whole.brokers

    def known(self) -> Known:
        known = self._whole.known()
        return Known(
            step_types=known.step_types if self._knows_tasks else None,
            settings=known.settings,
            broken=known.broken,
            tasks=known.tasks if self._knows_tasks else None,
            rules=known.rules if self._knows_tasks else None,
            services=known.services if self._knows_services else None,
            policies=known.policies if self._knows_services else None,
            workflows=self.workflows,
            channels=self.channels,
        )

    def leaf_types(self) -> set[str]:
        types = self._whole.leaf_types()
        return types if self._knows_tasks else _AnyTask(types)


def catalogue_for_checking(setup: Setup) -> Catalogue:
    """For commands that run nothing: services and policies are known with a configuration only, tasks and rules with
    `--import`, workflows with a store or packs.

    Raises:
        ConfigurationError: the configuration or a module is wrong.
    """
    configuration = configuration_of(setup)
    configured = bool(read_configuration(setup.config, Path.cwd())[0])
    whole = catalogue_for(configuration, registries_of(setup))
    if setup.server is not None:
        whole.workflows = None  # which there are is for the server to know
    return _PartlyKnown(whole, services=configured, tasks=bool(setup.modules))


def checked(source: Source, catalogue: Catalogue) -> tuple[WorkflowDefinition, Loaded]:
    """A definition without errors, and everything found about it.

    Raises:
        InvalidDefinition: with all findings.
    """
    loaded = check(source, catalogue)
    if loaded.definition is None:
        raise InvalidDefinition(tuple(loaded.diagnostics), source)
    return loaded.definition, loaded


def store_file(configuration: Configuration) -> Path | None:
    """The file of the configured store, or None when it is in memory or on a server.

    Raises:
        ConfigurationError: code `invalid-store`.
    """
    path = sqlite_path(configuration.state_store.url)
    return path.expanduser() if path is not None else None


def require_store(configuration: Configuration) -> None:
    """Refuse to go on when there is no store yet: looking must not make one. One on a server is asked later.

    Raises:
        StoreError: code `store-missing`.
    """
    path = store_file(configuration)
    if is_on_server(configuration.state_store.url):
        return
    if path is None:
        raise StoreError(
            "a store in memory ends with the process that made it: there is nothing to look at",
            code="store-missing",
            hint="name a file with --store, such as --store sqlite:stepwell.db",
        )
    if not path.exists():
        raise StoreError(
            f"there is no store at {path}",
            code="store-missing",
            hint="name the store with --store URL; the first `stepwell run` makes one",
        )


@asynccontextmanager
async def existing_store(configuration: Configuration, *, migrate: bool = False) -> AsyncIterator[Store]:
    """The configured store, open, which must be there.

    Raises:
        StoreError: it is not there (code `store-missing`) or cannot be used.
    """
    from stepwell.app.session import open_store

    require_store(configuration)
    migrate = migrate and not is_on_server(configuration.state_store.url)  # there, it would make one
    async with open_store(configuration, migrate=migrate) as store:
        yield store


def reading_of(store: Store) -> Reading:
    """Reads what is recorded in the store."""
    from stepwell.app.reading import Reading

    return Reading(store, reading_codec(), definitions_of(store))


def definitions_of(store: Store) -> Definitions:
    """The definitions of the store, for reading them."""
    from stepwell.app.definitions import Definitions

    return Definitions(store, catalogue_of(Registries(), set(), None))


class _Unopened(Cipher):
    """Leaves secret values closed: they are shown as `***` anyway, so that looking needs no key."""

    def encrypt(self, plain: bytes) -> bytes:
        raise AssertionError("who only looks writes nothing")

    def decrypt(self, sealed: bytes) -> bytes:
        return _NIL


_NIL: Final = b"\xc0"
"""MessagePack's null."""


def reading_codec() -> Codec:
    """Decodes what is recorded, for showing it."""
    from stepwell.execution.codec import Codec

    return Codec(_Unopened())


async def events_of(store: Store, codec: Codec, execution: str, after: int = 0) -> AsyncIterator[HistoryEvent]:
    """The history events of an execution with a number greater than `after`, in order."""
    while rows := await store.history(execution, after):
        for row in rows:
            events = codec.decode_events(row.events)
            for event in events[max(0, after - row.seq + len(events)) :]:
                yield event
        after = rows[-1].seq
