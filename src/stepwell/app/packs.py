"""Packs: folders with actions, workflows and rules that belong together.

    packs/shipping/pack.yaml           ref, version, config
    packs/shipping/actions/*.yaml      an action each: a Python function, an HTTP request, or a workflow
    packs/shipping/workflows/*.yaml    task graphs
    packs/shipping/rules/*.yaml        what starts an action: an event or a time

A pack's Python actions become tasks; everything else becomes a workflow under its own name, registered with the version
of the pack.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stepwell.app.registries import Registries
from stepwell.base.errors import ConfigurationError, Conflict
from stepwell.base.spans import Source
from stepwell.decider.checking import SchemaCheck
from stepwell.definition.findings import Findings
from stepwell.definition.parsing import read_tree
from stepwell.dialects.graphs.schemas import schema_of
from stepwell.dialects.task_graph.dialect import TASK_GRAPH
from stepwell.dialects.task_graph.packs import (
    NotInPack,
    workflow_of_action,
    workflow_of_request,
    workflow_of_rule,
)
from stepwell.dialects.writing import as_text
from stepwell.ports.work import TaskContext, TaskError
from stepwell.tasks.registry import TaskFunction

if TYPE_CHECKING:
    from stepwell.app.definitions import Definitions

PACK_FILE: Final = "pack.yaml"
_FUNCTIONS: Final = ("run", "main")
"""What the function of a Python action is called when its entry point does not say."""

_log = logging.getLogger(__name__)


class Pack(msgspec.Struct, frozen=True):
    """A pack that was read.

    Attributes:
        tasks: its Python actions by reference.
        workflows: its workflows, and what is one here, by name: task graphs.
    """

    ref: str
    version: str
    folder: Path
    tasks: Mapping[str, Callable[..., Any]]
    workflows: Mapping[str, Source]


def packs_in(folders: Iterable[str]) -> list[Pack]:
    """The packs in folders: each is one, or holds some.

    Raises:
        ConfigurationError: (code `invalid-pack`) there is no such folder, or a file of a pack cannot be used.
    """
    return [_Reader(folder).read() for name in folders for folder in _pack_folders(Path(name).expanduser())]


def add_packs(folders: Iterable[str], registries: Registries) -> None:
    """Read the packs in these folders, as far as they were not yet, and register their Python actions.

    Raises:
        ConfigurationError: see `packs_in`; (code `duplicate-name`) a task has the name of an action.
    """
    for name in folders:
        if name in registries.packs:
            continue
        registries.packs[name] = packs_in([name])
        for pack in registries.packs[name]:
            for reference, function in pack.tasks.items():
                registries.tasks.register(function, reference)


async def register_workflows(packs: Iterable[Pack], definitions: Definitions, at: int, by: str) -> None:
    """Register the workflows of packs; those that are there with the same content stay as they are.

    Raises:
        InvalidDefinition: one of them is wrong. Conflict: (code `version-exists`) one is there with other content.
    """
    found = [(pack, source) for pack in packs for source in pack.workflows.values()]
    if not found:
        return
    definitions.expect(name for pack in packs for name in pack.workflows)
    for pack, source in found:
        try:
            await definitions.register(source, at=at, by=by, reason=f"pack {pack.ref}")
        except Conflict as error:
            hint = f"raise `version` in {pack.folder / PACK_FILE}"
            raise Conflict(f"{source.name}: {error.message}", code=error.code, hint=hint) from None


def _pack_folders(folder: Path) -> list[Path]:
    if (folder / PACK_FILE).is_file():
        return [folder]
    found = sorted(inner for inner in folder.iterdir() if (inner / PACK_FILE).is_file()) if folder.is_dir() else []
    if not found:
        hint = f"a pack is a folder with a {PACK_FILE}; name it, or the folder that holds it"
        raise ConfigurationError(f"there is no pack in {folder}", code="invalid-pack", hint=hint)
    return found


class _Reader:
    """Reads one pack."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        about = _mapping(folder / PACK_FILE)
        self._ref = str(about.get("ref") or about.get("name") or folder.name)
        self._version = str(about.get("version", "1.0.0"))
        config = about.get("config")
        self._config = dict(config) if isinstance(config, Mapping) else {}
        self._is_enabled = about.get("enabled") is not False
        self._tasks: dict[str, Callable[..., Any]] = {}
        self._workflows: dict[str, Source] = {}

    def read(self) -> Pack:
        """The pack, as far as it is enabled."""
        for path in self._files("actions"):
            self._read(path, self._action)
        for path in self._files("workflows"):
            self._read(path, self._workflow)
        for path in self._files("rules"):
            self._read(path, self._rule)
        return Pack(self._ref, self._version, self._folder, self._tasks, self._workflows)

    def _files(self, name: str) -> Iterator[Path]:
        if self._is_enabled:
            yield from sorted((self._folder / name).glob("*.y*ml"))

    def _read(self, path: Path, take: Callable[[Path, dict[str, Any]], None]) -> None:
        try:
            take(path, _mapping(path))
        except NotInPack as error:
            raise _invalid(path, str(error)) from None

    def _action(self, path: Path, action: dict[str, Any]) -> None:
        action.setdefault("ref", f"{self._ref}.{path.stem}")
        if action.get("enabled") is False and "workflow_file" not in action:
            return
        if "workflow_file" in action:
            file = path.parent / str(action["workflow_file"])
            self._keep(file, workflow_of_action(action, _mapping(file), self._version))
            return
        match action.get("runner_type"):
            case "python" | "python-script":
                function = _function(self._folder, path, str(action.get("entry_point") or f"{path.stem}.py"), self._ref)
                self._tasks[action["ref"]] = _checked(action["ref"], function, action.get("parameters"))
            case "http" | "http-request":
                self._keep(path, workflow_of_request(action, self._version))
            case other:
                _log.warning("%s: runner_type %r is not run here, so there is no action %s", path, other, action["ref"])

    def _workflow(self, path: Path, workflow: dict[str, Any]) -> None:
        self._keep(path, {"ref": f"{self._ref}.{path.name.split('.')[0]}", "version": self._version, **workflow})

    def _rule(self, path: Path, rule: dict[str, Any]) -> None:
        if rule.get("enabled") is not False:
            self._keep(path, workflow_of_rule({"ref": f"{self._ref}.{path.stem}", **rule}, self._version))

    def _keep(self, path: Path, workflow: dict[str, Any]) -> None:
        """Keep a workflow; as the text of its file where that says all of it, so that findings have their places."""
        if self._config and "config" not in workflow:
            workflow = {**workflow, "config": self._config}
        name = str(workflow["ref"])
        if name in self._workflows or name in self._tasks:
            raise _invalid(path, f"the pack has {name!r} twice")
        added = {key: value for key, value in workflow.items() if _mapping(path).get(key) != value}
        text = _source(path).text
        if added:
            text = f"{text.rstrip()}\n{as_text(added, 'yaml')}"
        if _parsed(Source(str(path), text)) != workflow:
            text = as_text(workflow, "json")
        self._workflows[name] = Source(str(path), text, dialect=TASK_GRAPH.name)


def _parsed(source: Source) -> Any:
    """What a text says, read as definitions are; None when it cannot be."""
    findings = Findings(source)
    tree = read_tree(source, findings)
    return tree.value if tree is not None and not findings.has_errors() else None


def _mapping(path: Path) -> dict[str, Any]:
    """The mapping in a file.

    Raises:
        ConfigurationError: code `invalid-pack`.
    """
    source = _source(path)
    findings = Findings(source)
    tree = read_tree(source, findings)
    if tree is None or findings.has_errors():
        first = findings.sorted()[0]
        raise _invalid(path, f"line {first.span.line}: {first.message}")
    if not isinstance(tree.value, dict):
        raise _invalid(path, "a mapping was expected")
    return dict(tree.value)


def _source(path: Path) -> Source:
    try:
        return Source(str(path), path.read_bytes().decode("utf-8", errors="surrogateescape"))
    except OSError as error:
        raise _invalid(path, f"cannot be read: {error.strerror}") from None


def _invalid(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"{path}: {what}", code="invalid-pack")


# Python actions


def _function(folder: Path, path: Path, entry_point: str, pack: str) -> Callable[..., Any]:
    """The function that an entry point names: `file.py`, `file.py:function`, or `module:function`.

    Raises:
        ConfigurationError: (code `invalid-pack`) there is none.
    """
    place, _, name = entry_point.partition(":")
    file = next((each for each in (path.parent / place, folder / place) if each.is_file()), None)
    module = _module_of_file(file, pack, path) if file is not None else _module(place, path)
    names = (name,) if name else _FUNCTIONS
    found = next((value for each in names if callable(value := getattr(module, each, None))), None)
    if found is None:
        wanted = " or ".join(f"`{each}`" for each in names)
        raise _invalid(path, f"entry_point {entry_point!r}: there is no function {wanted} in it")
    return found  # type: ignore[no-any-return]


def _module_of_file(file: Path, pack: str, path: Path) -> ModuleType:
    name = f"stepwell_packs.{pack}.{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise _invalid(path, f"{file.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the module does when it is imported is its author's to mend
        raise _invalid(path, f"{file.name} cannot be imported: {type(error).__name__}: {error}") from None
    return module


def _module(name: str, path: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # as above
        raise _invalid(path, f"entry_point {name!r}: there is no such file beside it, nor a module: {error}") from None


def _checked(reference: str, function: Callable[..., Any], parameters: Any) -> Callable[..., Any]:
    """The function, called with the defaults of its parameters, and only with what they allow."""
    inner = TaskFunction(reference, function)
    check = SchemaCheck(schema_of(parameters) if isinstance(parameters, Mapping) else {})

    async def call(context: TaskContext, **given: Any) -> Any:
        arguments = check.with_defaults(given)
        problems = check.problems(arguments)
        if problems:
            said = "; ".join(f"{path or 'parameters'}: {message}" for path, message in problems)
            raise TaskError("invalid_arguments", f"{reference}: {said}")
        return await inner.call(arguments, context)

    call.__name__ = reference
    return call
