"""Native steps as activities."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from stepwell.definition.model import (
    Bulkhead,
    CircuitBreaker,
    FailureAction,
    Fallback,
    Path,
    RateLimit,
    Step,
    StepBody,
    WorkflowDefinition,
)
from stepwell.dialects.dialect import Writing
from stepwell.dialects.execution.activities import ACTIONS, AGREED
from stepwell.dialects.execution.calls import BODILESS, SKIP, SLEEP
from stepwell.dialects.execution.outward import Outward
from stepwell.dialects.execution.whole import given as there
from stepwell.dialects.native.parts import duration, given
from stepwell.policy.retry import RetryPolicy

_ACTIONS: Final = {native: ours for ours, native in ACTIONS.items()}
_PLAIN: Final = Step(name="plain")
_SAID: Final = frozenset({
    "name", "type", "path", "depends_on", "when", "config", "publish", "retry", "timeout", "on_failure", "compensate",
    "circuit_breaker", "bulkhead", "rate_limit", "parallel",
})  # fmt: skip
"""The parts of a step that an activity says, or that are looked at by themselves."""
_SUFFIX: Final = re.compile(r"(?P<activity>.+)_(?:circuit_breaker|bulkhead|throttler)")
_HTTP: Final = frozenset({"url", "method", "headers", "body", "query", "request_schema", "response_schema"})


class Steps:
    """The activities of one definition."""

    def __init__(self, definition: WorkflowDefinition, outward: Outward, writing: Writing) -> None:
        self._definition = definition
        self._outward = outward
        self._writing = writing
        self._manifests: dict[str, dict[str, Any]] = {}
        self._named: set[str] = set()

    def activities(self) -> list[dict[str, Any]]:
        """All of them, in their order."""
        steps = {step.name: step for step in self._definition.steps}
        asks = {name: steps[f"approve_{name}"] for name in steps if _is_asked(name, steps)}
        hidden = {prefix + name for name in asks for prefix in ("approve_", "refused_")}
        made: list[dict[str, Any]] = []
        before: str | None = None
        for step in self._definition.steps:
            if step.name not in hidden:
                made.append(self._activity(step, asks.get(step.name), before))
                before = step.name
        return made

    def call(
        self, name: str, kind: str, config: Mapping[str, Any], path: Path, ref: str | None = None
    ) -> dict[str, Any]:
        """What is run, as `activity` and `input`; what is left out is as an activity has it that says nothing."""
        settings = dict(config)
        match kind:
            case "python":
                task = settings.pop("task", None)
                given_ = self._input(settings, "args", path)
                self._note_settings(settings, path, name)
                return given(activity=task if task != name else None) | given_
            case "wait" if set(settings) == {"for"}:
                return {"activity": SLEEP, "input": {"duration": self._outward.template(settings["for"], path)}}
            case "http":
                return self._request(ref or name, settings, path) | given(activity=ref if ref != name else None)
            case _:
                self._writing.lost(path, f"a step of type {kind!r} ({name!r})")
                return {}

    def retry(self, policy: RetryPolicy | None, path: Path) -> dict[str, Any] | None:
        """How often something is tried."""
        if policy is None:
            return None
        growing = policy.backoff != "linear" or policy.max_attempts <= 2
        if not growing or policy.max_delay is not None or policy.jitter or policy.when is not None:
            self._writing.lost(path, "waits that grow otherwise than by a multiplier")
        if policy.delay is not None:
            self._writing.lost(path, "waits that are computed")
        if policy.retry_on or policy.give_up_on:
            self._writing.lost(path, "which errors are tried again")
        multiplier = policy.multiplier if policy.backoff == "exponential" else 1.0
        return {
            "max_attempts": policy.max_attempts,
            "backoff": {"initial": duration(policy.initial_delay), "multiplier": multiplier},
        }

    def shared(self, kind: str) -> Any:
        """The policy of this kind, if every activity has the same one."""
        found = [self._policy(getattr(step, kind)) for step in self._definition.steps if _is_call(step)]
        if not found or any(each is None or _number(each) != _number(found[0]) for each in found):
            for step in self._definition.steps:
                if getattr(step, kind) is not None:
                    self._writing.lost((*step.path, kind), f"a {kind} that not every activity has")
            return None
        return found[0]

    def rejected(self, fallback: Fallback | None) -> dict[str, Any] | None:
        """What a rejected call runs."""
        if fallback is None:
            return None
        activity = self._stand_in(fallback)
        if activity is None:
            self._writing.lost(fallback.path, "what a rejected call gives instead of an activity")
        return given(activity=activity) or None

    def manifests(self) -> list[dict[str, Any]]:
        """The activities that are services on the net."""
        return list(self._manifests.values())

    def note_other_policies(self) -> None:
        """Note the policies that no step names."""
        for name in self._definition.config.policies.keys() - self._named:
            self._writing.dropped(("spec", "config", "policies", name), f"the policy {name!r}, which no step names")

    # One activity

    def _activity(self, step: Step, asks: Step | None, before: str | None) -> dict[str, Any]:
        self._note(step)
        first = asks or step
        filter_ = self._outward.filter(first.when)
        if first.when is not None and filter_ is None:
            self._writing.lost((*first.path, "when"), f"the condition of step {step.name!r}")
        return {
            "name": step.name,
            **self.call(step.name, step.type, step.config, step.path, _ref(step)),
            **given(
                publish=self._outward.template(dict(step.publish), (*step.path, "publish")),
                filters=filter_,
                retry=self.retry(step.retry, (*step.path, "retry")),
                timeout=duration(step.timeout),
                approval=self._approval(asks) if asks is not None else None,
                compensation=self._undo(step.compensate, step.name),
                **self._failure(step),
            ),
            **self._dependencies(first, before),
        }

    def _note(self, step: Step) -> None:
        for name in step.__struct_fields__:
            if name not in _SAID and getattr(step, name) != getattr(_PLAIN, name):
                weight = self._writing.dropped if name == "description" else self._writing.lost
                weight((*step.path, name), f"`{name}` of step {step.name!r}")
        for kind in ("circuit_breaker", "bulkhead", "rate_limit"):
            named = getattr(step, kind)
            if isinstance(named, str):
                self._named.add(named)
        if step.rate_limit is not None and step.type != "http":
            self._writing.lost((*step.path, "rate_limit"), f"a rate limit of step {step.name!r}")

    def _dependencies(self, step: Step, before: str | None) -> dict[str, Any]:
        names = [each.step for each in step.depends_on]
        for each in step.depends_on:
            if each.on != "satisfied":
                self._writing.lost(each.path, f"a dependency on how {each.step!r} ended")
        return {} if names == ([before] if before is not None else []) else {"depends_on": names}

    def _failure(self, step: Step) -> dict[str, Any]:
        action = step.on_failure
        if action is None:
            return {}
        for key in ("message", "compensation_workflow", "max_attempts"):
            if getattr(action, key) is not None:
                self._writing.lost((*action.path, key), f"`{key}` of what the failure of step {step.name!r} does")
        if action.action in ("skip", "fallback"):
            return self._fallback(action)
        if action.action not in _ACTIONS or action.notify:
            self._writing.lost(action.path, f"what the failure of step {step.name!r} does")
        return given(on_failure=_ACTIONS.get(action.action))

    def _fallback(self, action: FailureAction) -> dict[str, Any]:
        if action.notify not in (None, False, True):
            self._writing.lost((*action.path, "notify"), "who is told about a failure")
        activity = SKIP if action.fallback is None else self._stand_in(action.fallback)
        if activity is None:
            self._writing.lost(action.path, "a fallback that is no activity")
            return {}
        return {"fallback": {"activity": activity, **({"notify": True} if action.notify else {})}}

    def _stand_in(self, fallback: Fallback) -> str | None:
        """The activity that stands in, when it is nothing but one."""
        body = fallback.body
        if body is None or body.type != "python" or body.retry is not None or body.timeout is not None:
            return None
        is_plain = set(body.config) == {"task", "available"} and self._outward.is_all_variables(
            body.config["available"]
        )
        return body.config["task"] if is_plain else None

    def _undo(self, body: StepBody | None, name: str) -> Any:
        if body is None:
            return None
        if body.when is not None or body.retry is not None or body.timeout is not None:
            self._writing.lost(body.path, f"how the undoing of step {name!r} is run")
        called = self.call("", body.type, body.config, body.path, f"undo_{name}")
        if "activity" not in called:
            return None
        params = called.get("input")
        return {"activity": called["activity"], "params": params} if params is not None else called["activity"]

    def _approval(self, asks: Step) -> dict[str, Any]:
        approver = asks.config.get("assigned_to")
        return {"required": True, **given(approver=self._outward.template(approver, (*asks.path, "config")))}

    # What it is given

    def _input(self, settings: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
        available, args = settings.pop("available", None), settings.pop(key, None)
        if available is not None and (args is not None or not self._outward.is_all_variables(available)):
            self._writing.lost((*path, "config", "available"), "which values a task may take")
        if available is not None and args is None:
            return {}
        return {"input": self._outward.template(args if args is not None else {}, (*path, "config", key))}

    def _request(self, ref: str, settings: dict[str, Any], path: Path) -> dict[str, Any]:
        """The input of a step that sends a request; what is sent where becomes an activity of the document."""
        verb = str(settings.get("method", "GET")).upper()
        sent = settings.pop("query" if verb in BODILESS else "body", None)
        self._note_settings({key: part for key, part in settings.items() if key not in _HTTP}, path, ref)
        http = there(
            endpoint_url=self._outward.template(settings.get("url"), path),
            httpVerb=verb if verb != "POST" else None,
            headers=self._outward.template(settings.get("headers"), path),
        )
        schemas: dict[str, Any] = {
            key: settings[key] for key in ("request_schema", "response_schema") if key in settings
        }
        self._manifests[ref] = {"name": ref, "http_config": http, **schemas, **self._throttler(ref)}
        if self._outward.is_all_variables(sent):
            return {}
        return {"input": self._outward.template(sent if sent is not None else {}, (*path, "config"))}

    def _throttler(self, ref: str) -> dict[str, Any]:
        name = f"{ref}_throttler"
        policy = self._policy(name)
        if not isinstance(policy, RateLimit):
            return {}
        key = self._outward.template(policy.key, ("spec", "config", "policies", name, "rate_limit", "key"))
        return {"throttler": {"limit": policy.limit, "ttl": duration(policy.per), **given(key=key)}}

    def _note_settings(self, settings: Mapping[str, Any], path: Path, name: str) -> None:
        for key in settings:
            self._writing.lost((*path, "config", key), f"`{key}` of {name!r}")

    def _policy(self, said: Any) -> Any:
        return self._definition.config.policies.get(said) if isinstance(said, str) else said


def _is_asked(name: str, steps: Mapping[str, Step]) -> bool:
    """Whether somebody must agree before the step runs, in the way in which the dialect says so."""
    asks, refused = steps.get(f"approve_{name}"), steps.get(f"refused_{name}")
    if asks is None or refused is None or asks.type != "approval" or refused.type != "fail":
        return False
    return asks.config.get("response_schema") == AGREED and [each.step for each in steps[name].depends_on] == [
        refused.name
    ]


def _is_call(step: Step) -> bool:
    return step.type in ("python", "http")


def _ref(step: Step) -> str | None:
    """The activity of a step that sends requests: its policies are named after it."""
    for said in (step.rate_limit, step.circuit_breaker, step.bulkhead):
        found = _SUFFIX.fullmatch(said) if isinstance(said, str) else None
        if found is not None:
            return found["activity"]
    return step.name if step.type == "http" else None


def _number(policy: CircuitBreaker | Bulkhead) -> Any:
    """What of a policy counts when two are compared: not where it stands."""
    if isinstance(policy, Bulkhead) and isinstance(policy.fallback, Fallback) and policy.fallback.body is not None:
        body = policy.fallback.body
        return policy.max_concurrent, policy.max_queue_size, policy.timeout, body.type, dict(body.config)
    return policy
