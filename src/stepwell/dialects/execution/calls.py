"""How an activity is run natively: a Python task of its name, a request, or a wait."""

from __future__ import annotations

from typing import Any, Final

from stepwell.definition.model import Path
from stepwell.dialects.execution.models import ManifestDoc
from stepwell.dialects.execution.names import step_name
from stepwell.dialects.execution.whole import Whole, given
from stepwell.dialects.native.parts import duration

SLEEP: Final = "workflows:sleep-platform"
"""The activity that does nothing for a while: its `input` is `{duration}`."""
SKIP: Final = "skip"
BODILESS: Final = frozenset({"GET", "DELETE"})
"""Methods with which what is sent goes into the query string."""


def call(activity: str, path: Path, written: Any, whole: Whole, *, sleeps: bool = False) -> dict[str, Any]:
    """The type and settings of a step that runs an activity.

    Args:
        path: where its name stands.
        written: what it is given and where that stands, `(value, path)`; the value is None when nothing is said.
        sleeps: it is a wait, whatever it is called.
    """
    manifest = whole.manifests.get(activity)
    if manifest is not None:
        return _request(activity, *manifest, path, written, whole)
    if sleeps or activity == SLEEP:
        return _wait(path, written, whole)
    value, place = written
    settings = {"task": whole.taken(activity, path)}
    if value is None:
        return {"type": "python", "config": {**settings, "available": whole.taken(whole.all_variables(), path)}}
    return {"type": "python", "config": {**settings, "args": whole.template(value, place)}}


def rate_limit(activity: str, whole: Whole) -> Any:
    """The name of the policy that bounds how often an activity is called, if it says so."""
    found = whole.manifests.get(activity)
    throttler = found[0].throttler if found is not None else None
    if found is None or throttler is None or throttler.enabled is False:
        return None
    path = (*found[1], "throttler")
    name = f"{step_name(activity)}_throttler"
    limit = {"limit": throttler.limit, "per": duration(throttler.ttl)}
    if throttler.key is not None:
        key = whole.language.template(throttler.key, (*path, "key"), whole.findings)
        if key or not throttler.key:  # nothing is left of one whose expressions are wrong, which was found
            limit["key"] = whole.taken(key, (*path, "key"))
    whole.policies[name] = whole.taken({"rate_limit": limit}, path)
    return whole.taken(name, path)


def _wait(path: Path, written: Any, whole: Whole) -> dict[str, Any]:
    value, place = written
    if not isinstance(value, dict) or "duration" not in value:
        message = "a sleep needs `duration` in its input"
        whole.findings.add("missing-key", message, place if value is not None else path, hint="such as `duration: 5m`")
        return {"type": "wait", "config": {"for": 0}}
    for key in value.keys() - {"duration"}:
        hint = whole.findings.hint_for(key, ["duration"])
        whole.findings.add("unknown-key", f"the key `{key}` is not known here", (*place, key), hint=hint, key=True)
    return {"type": "wait", "config": {"for": whole.template(value["duration"], (*place, "duration"))}}


def _request(
    activity: str, manifest: ManifestDoc, place: Path, path: Path, written: Any, whole: Whole
) -> dict[str, Any]:
    http, at = manifest.http_config, (*place, "http_config")
    verb = http.http_verb or "POST"
    value, value_path = written
    sent = whole.taken(whole.all_variables(), path) if value is None else whole.template(value, value_path)
    settings = given(
        url=whole.template(http.endpoint_url, (*at, "endpoint_url")),
        method=whole.taken(verb, (*at, "httpVerb")),
        headers=whole.template(http.headers, (*at, "headers")) if http.headers is not None else None,
        request_schema=whole.taken(manifest.request_schema, (*place, "request_schema")),
        response_schema=whole.taken(manifest.response_schema, (*place, "response_schema")),
    )
    return {"type": "http", "config": {**settings, "query" if verb in BODILESS else "body": sent}}
