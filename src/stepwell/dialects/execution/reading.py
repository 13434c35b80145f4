"""From the documents of a source to one native document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from stepwell.definition.findings import Findings
from stepwell.definition.json_schemas import check_schema
from stepwell.definition.model import Path
from stepwell.definition.reading import read, wrong_type
from stepwell.definition.shapes import Doc
from stepwell.dialects.dialect import Document, Reading
from stepwell.dialects.execution import models
from stepwell.dialects.execution.activities import Activity, Around, retry_of, steps
from stepwell.dialects.execution.api import KEY as API_KEY
from stepwell.dialects.execution.api import read_api
from stepwell.dialects.execution.calls import call
from stepwell.dialects.execution.compensation import Said, compensation, linked
from stepwell.dialects.execution.expressions import EVENT_MAP, Names, activities_language, api_language
from stepwell.dialects.execution.filters import taken_filter
from stepwell.dialects.execution.merging import merged
from stepwell.dialects.execution.settings import settings_of
from stepwell.dialects.execution.whole import Whole, given
from stepwell.dialects.native.parts import duration
from stepwell.dialects.origin import Settled, SettledTree, settle, source_path

D = TypeVar("D", bound=Doc)

KEY: Final = "dialect"
"""The key that names the dialect."""

STRATEGIES: Final = {"compensate": "compensate", "abort": "terminate", "continue": "continue"}
"""What an unhandled failure leads to, natively."""
DEFAULT_VERSION: Final = "1.0.0"
SAGA: Final = "saga"
"""What a saga without a name is called."""


def read_documents(reading: Reading) -> Any:
    """The native document that the documents mean together; None when they say no workflow."""
    whole = _whole_of(reading)
    if whole is None:
        return None
    document, is_api, origins = whole
    return _Native(document, is_api, origins, reading.findings).written()


def settings_in(reading: Reading) -> dict[str, Any]:
    """What the documents say about the engine, in the form of the configuration."""
    whole = _whole_of(reading)
    return settings_of(whole[0], reading.findings) if whole is not None else {}


def has_parts_only(document: dict[str, Any]) -> bool:
    """Whether a mapping holds nothing but parts of a workflow of activities."""
    return bool(document) and document.keys() <= models.WholeDoc.model_fields.keys()


def _whole_of(reading: Reading) -> tuple[dict[str, Any], bool, dict[Path, Path]] | None:
    """The documents as one, whether they are of the API, and where in the source its parts stand."""
    findings = reading.findings
    settled = settle(merged(_with_content(reading.documents), findings))
    findings.tree = SettledTree(settled, reading.tree)
    if API_KEY not in settled.document:
        return settled.document, False, settled.origins
    document = read_api(settled.document, findings)
    if document is None:
        return None
    translated = settle(document)
    origins = {path: source_path(origin, settled.origins) for path, origin in translated.origins.items()}
    findings.tree = SettledTree(Settled(translated.document, origins), reading.tree)
    return translated.document, True, origins


def _with_content(documents: Sequence[Document]) -> list[Document]:
    """The documents without the key that names the dialect, and without keys that say nothing."""
    return [(path, _said(value) if isinstance(value, dict) else value) for path, value in documents]


def _said(document: dict[str, Any]) -> dict[str, Any]:
    return {key: part for key, part in document.items() if key != KEY and part is not None}


class _Native:
    """The native document of one whole."""

    def __init__(self, document: dict[str, Any], is_api: bool, origins: dict[Path, Path], findings: Findings) -> None:
        self._document = document
        self._findings = findings
        self._activities = list(self._found_activities())
        self._names = Names(self._published())
        language = api_language(self._names) if is_api else activities_language(self._names)
        self._whole = Whole(origins, findings, language, self._names, self._manifests())

    def written(self) -> dict[str, Any] | None:
        """The document, with `Taken` in it; None when it says no workflow."""
        whole, document = self._whole, self._document
        read(models.WholeDoc, document, (), self._findings)
        for key in models.OUTPUTS:
            if document.get(key) is not None:
                message = f"`{key}` is what the engine gives out about executions; it is not read"
                self._findings.add("output-only", message, (key,), key=True)
        settings_of(document, self._findings)
        name = self._name()
        if name is None:
            return None
        handling = self._part(models.ErrorHandlingDoc, "error_handling")
        said = list(self._compensations())
        made = linked(self._activities, self._undone_by_name(), self._pairs(), whole)
        found = steps(made, self._around(handling), whole)
        execution = document.get("execution") or {}
        spec = given(
            config=self._config(handling) or None,
            triggers=self._triggers(),
            steps=whole.taken(found, self._activities_path),
            compensation=compensation(said, list(self._listed(said)), made, whole),
        )
        metadata = given(
            name=name,
            version=whole.taken(*self._version()),
            description=whole.taken(execution.get("description"), ("execution", "description")),
        )
        return {"apiVersion": "workflow/v1", "kind": "Workflow", "metadata": metadata, "spec": spec}

    # What it is

    def _name(self) -> Any:
        document = self._document
        if "execution" in document:
            written = self._part(models.ExecutionDoc, "execution")
            return self._whole.taken(written.workflow, ("execution", "workflow")) if written is not None else None
        if "saga" in document:
            saga = self._part(models.SagaDoc, "saga")
            return None if saga is None else self._whole.taken(saga.workflow or SAGA, ("saga", "workflow"))
        parts = ", ".join(f"`{key}`" for key in document)
        message = f"{parts or 'nothing'} by itself is no workflow: there is neither `execution` nor `saga`"
        hint = "put it into the file of the workflow that it belongs to, separated by `---`"
        self._findings.add("not-a-workflow", message, hint=hint)
        return None

    def _version(self) -> tuple[Any, Path]:
        version = (self._document.get("execution") or {}).get("version")
        path = ("execution", "version")
        if version is None:
            return DEFAULT_VERSION, path
        return (f"{version}.0.0" if type(version) is int else version), path

    # What it does

    @property
    def _activities_path(self) -> Path:
        return ("execution", "activities") if "execution" in self._document else ("saga", "steps")

    def _found_activities(self) -> Iterator[Activity]:
        model: type[models.WorkDoc] = models.ActivityDoc if "execution" in self._document else models.PairDoc
        for entry, path in self._entries(self._activities_path):
            written = read(model, entry, path, self._findings)
            if isinstance(written, (models.ActivityDoc, models.PairDoc)):
                yield Activity(written, path)

    def _published(self) -> frozenset[str]:
        sets = (activity.written.publish or activity.written.output or {} for activity in self._activities)
        return frozenset(name for names in sets for name in names)

    def _manifests(self) -> dict[str, tuple[models.ManifestDoc, Path]]:
        found: dict[str, tuple[models.ManifestDoc, Path]] = {}
        for entry, path in self._entries(("activities",)):
            written = read(models.ManifestDoc, entry, path, self._findings)
            if written is None:
                continue
            for key in written.given("request_schema", "response_schema"):
                check_schema(getattr(written, key), (*path, key), self._findings)
            if written.name in found:
                message = f"there are two activities {written.name!r}"
                self._findings.add("duplicate-name", message, (*path, "name"))
            found[written.name] = written, path
        return found

    def _around(self, handling: models.ErrorHandlingDoc | None) -> Around:
        error = handling.activity_error if handling is not None else None
        fallback = error.fallback if error is not None else None
        return Around(
            fallback=(fallback, ("error_handling", "activity_error", "fallback")) if fallback is not None else None,
            breaker=self._breaker(),
            bulkhead=self._bulkhead(),
        )

    def _breaker(self) -> Any:
        written = self._part(models.CircuitBreakerDoc, "circuit_breaker")
        if written is None:
            return None
        taken, path = self._whole.taken, ("circuit_breaker",)
        policy = given(
            threshold=taken(written.threshold, (*path, "threshold")),
            call_timeout=taken(duration(written.timeout), (*path, "timeout")),
            open_for=taken(duration(written.reset), (*path, "reset")),
        )
        return taken({"circuit_breaker": policy}, path)

    def _bulkhead(self) -> Any:
        written = self._part(models.BulkheadDoc, "bulkhead")
        if written is None:
            return None
        taken, path = self._whole.taken, ("bulkhead",)
        place = (*path, "fallback", "activity")
        instead = call(written.fallback.activity, place, (None, place), self._whole) if written.fallback else None
        policy = given(
            max_concurrent=taken(written.max_concurrent, (*path, "max_concurrent")),
            max_queue_size=taken(written.max_queue_size, (*path, "max_queue_size")),
            timeout=taken(duration(written.timeout), (*path, "timeout")),
            fallback=taken(instead, place),
        )
        return taken({"bulkhead": policy}, path)

    # How it goes on when something fails

    def _config(self, handling: models.ErrorHandlingDoc | None) -> dict[str, Any]:
        path = ("error_handling",)
        activity = handling.activity_error if handling is not None else None
        workflow = handling.workflow_error if handling is not None else None
        retry = activity.retry if activity is not None else None
        return given(
            retry_policy=retry_of(retry, (*path, "activity_error", "retry"), self._whole),
            on_error=self._on_error(workflow, (*path, "workflow_error")) if workflow is not None else None,
            policies=self._whole.policies or None,
        )

    def _on_error(self, written: models.WorkflowErrorDoc, path: Path) -> Any:
        taken, told = self._whole.taken, (*path, "notification")
        notification = written.notification
        notify = None
        if notification is not None:
            notify = given(
                channels=taken(notification.channels, (*told, "channels")),
                recipients=taken(notification.recipients, (*told, "recipients")),
            )
        strategy = STRATEGIES[written.strategy] if written.strategy is not None else None
        return taken(given(strategy=taken(strategy, (*path, "strategy")), notify=taken(notify, told)), path)

    def _compensations(self) -> Iterator[tuple[models.CompensationDoc, Path]]:
        """What is said about compensation, inside of the workflow and beside it."""
        for path in (("execution", "compensation"), ("compensation",)):
            value = self._at(path)
            written = read(models.CompensationDoc, value, path, self._findings) if value is not None else None
            if written is not None:
                yield written, path

    def _listed(self, said: list[tuple[models.CompensationDoc, Path]]) -> Iterator[tuple[models.ListedDoc, Path]]:
        for _, path in said:
            entries = list(self._entries((*path, "activities")))
            if entries:
                message = "these are linked to no activity: all of them run, also for activities that never ran"
                hint = "to link one, write it under `compensation_activities`"
                place = (*path, "activities")
                self._findings.add("unlinked-compensation", message, place, hint=hint, key=True)
            for entry, place in entries:
                written = read(models.ListedDoc, entry, place, self._findings)
                if written is not None:
                    yield written, place

    def _undone_by_name(self) -> dict[str, models.UndoDoc]:
        path = ("compensation_activities",)
        value = self._document.get(path[0])
        if value is None:
            return {}
        if not isinstance(value, dict):
            wrong_type("a mapping from activity to what undoes it", value, path, self._findings)
            return {}
        read_all = {name: read(models.UndoDoc, part, (*path, name), self._findings) for name, part in value.items()}
        return {name: written for name, written in read_all.items() if written is not None}

    def _pairs(self) -> dict[str, Said]:
        """What undoes the activities of a saga that stands beside a workflow; in one that stands alone they say it
        themselves."""
        if "execution" not in self._document:
            return {}
        names = {name for activity in self._activities for name in (activity.name, activity.ref)}
        found: dict[str, Said] = {}
        for entry, path in self._entries(("saga", "steps")):
            pair = read(models.PairDoc, entry, path, self._findings)
            if pair is None:
                continue
            if pair.activity not in names:
                message = f"{pair.activity!r} is no activity of the workflow, so nothing undoes it"
                self._findings.add("no-effect", message, (*path, "activity"))
            elif pair.compensation is not None:
                found[pair.activity] = Said(pair.compensation, (*path, "compensation"))
        return found

    # What starts it

    def _triggers(self) -> Any:
        path = ("execution", "trigger")
        value = self._at(path)
        written = read(models.TriggerDoc, value, path, self._findings) if value is not None else None
        if written is None:
            return None
        conditions, place = written.conditions, (*path, "conditions")
        whole = self._whole
        fits = conditions is None or whole.checked_filter(conditions, place)
        trigger = given(
            event=whole.taken(written.event, (*path, "event")),
            filter=taken_filter(conditions, place, whole.origin(place), self._findings)
            if fits and conditions
            else None,
            map=EVENT_MAP if self._names.reads_event else None,
            active=whole.taken(written.active, (*path, "active")),
        )
        return [whole.taken(trigger, path)]

    # Looking into it

    def _part(self, model: type[D], key: str) -> D | None:
        value = self._document.get(key)
        return read(model, value, (key,), self._findings) if value is not None else None

    def _at(self, path: Path) -> Any:
        value: Any = self._document
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def _entries(self, path: Path) -> Iterator[tuple[Any, Path]]:
        """The entries of the list at `path`, each with its place."""
        value = self._at(path)
        if isinstance(value, list):
            yield from ((entry, (*path, number)) for number, entry in enumerate(value))
        elif value is not None:
            wrong_type("a list", value, path, self._findings)
