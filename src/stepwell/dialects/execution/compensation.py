"""What undoes a workflow: activities that are linked to others, and activities that are only listed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from stepwell.definition.model import Path
from stepwell.dialects.execution.activities import Activity, either
from stepwell.dialects.execution.calls import call
from stepwell.dialects.execution.models import CompensationDoc, ListedDoc, UndoDoc
from stepwell.dialects.execution.names import step_name
from stepwell.dialects.execution.whole import Whole, given
from stepwell.dialects.native.parts import duration

Choice = str | UndoDoc


class Said(NamedTuple):
    """That an activity undoes another one, and where that is said."""

    choice: Choice
    path: Path

    @property
    def activity(self) -> str:
        """The activity that undoes."""
        return self.choice if isinstance(self.choice, str) else self.choice.activity


def linked(
    activities: Sequence[Activity], by_name: Mapping[str, UndoDoc], pairs: Mapping[str, Said], whole: Whole
) -> list[Activity]:
    """The activities with what undoes them: they say it themselves, `compensation_activities` does, or the saga."""
    named = {name for activity in activities for name in (activity.name, activity.ref)}
    for name in by_name.keys() - named:
        message = f"there is no activity {name!r} to undo"
        hint = whole.findings.hint_for(name, named)
        whole.findings.add("unknown-step", message, ("compensation_activities", name), hint=hint, key=True)
    return [_linked(activity, by_name, pairs, whole) for activity in activities]


def _linked(activity: Activity, by_name: Mapping[str, UndoDoc], pairs: Mapping[str, Said], whole: Whole) -> Activity:
    said: list[Said] = []
    if activity.written.compensation is not None:
        said.append(Said(activity.written.compensation, (*activity.path, "compensation")))
    key = next((name for name in (activity.name, activity.ref) if name in by_name), None)
    if key is not None:
        said.append(Said(by_name[key], ("compensation_activities", key)))
    pair = pairs.get(activity.name) or pairs.get(activity.ref)
    if pair is not None:
        said.append(pair)
    for other in said[1:]:
        if other.activity != said[0].activity:
            message = f"{activity.name!r} is undone by {other.activity!r} here, and by {said[0].activity!r} elsewhere"
            hint = f"keep one of them; the other is in {whole.findings.place(said[0].path)}"
            whole.findings.add("conflicting-keys", message, other.path, hint=hint)
    detailed = [each for each in said if isinstance(each.choice, UndoDoc)]
    chosen = (detailed or said)[:1]
    return Activity(activity.written, activity.path, _undo(chosen[0], whole)) if chosen else activity


def _undo(said: Said, whole: Whole) -> Any:
    choice, path = said
    if isinstance(choice, str):
        return whole.taken(call(choice, path, (None, path), whole), path)
    place = (*path, "activity")
    return whole.taken(call(choice.activity, place, either(choice, "params", "input", path, whole), whole), path)


def compensation(
    written: Sequence[tuple[CompensationDoc, Path]],
    listed: Sequence[tuple[ListedDoc, Path]],
    activities: Collection[Activity],
    whole: Whole,
) -> Any:
    """The native `compensation`; None when nothing is said about it."""
    if not written and not any(activity.undo is not None for activity in activities):
        return None
    said = {key: _said(written, key, whole) for key in ("strategy", "mode", "timeout", "notification")}
    timeout = said["timeout"]
    return given(
        strategy=whole.taken(*(said["strategy"] or ("reverse", ()))),
        mode=whole.taken(*said["mode"]) if said["mode"] else None,
        timeout=whole.taken(duration(timeout[0]), timeout[1]) if timeout else None,
        notification=whole.taken(*said["notification"]) if said["notification"] else None,
        steps=[_listed(each, path, whole) for each, path in listed] or None,
    )


def _said(written: Sequence[tuple[CompensationDoc, Path]], key: str, whole: Whole) -> tuple[Any, Path] | None:
    found = [(getattr(each, key), (*path, key)) for each, path in written if getattr(each, key) is not None]
    for value, path in found[1:]:
        if value != found[0][0]:
            message = f"`{key}` is said twice, and not the same: first in {whole.findings.place(found[0][1])}"
            whole.findings.add("conflicting-keys", message, path, hint="keep one of them", key=True)
    return found[0] if found else None


def _listed(written: ListedDoc, path: Path, whole: Whole) -> Any:
    ref = written.activity if written.activity is not None else written.name
    place = (*path, "activity" if written.activity is not None else "name")
    work = call(ref, place, either(written, "params", "input", path, whole), whole)
    return whole.taken({"name": whole.taken(step_name(written.name), (*path, "name")), **work}, path)
