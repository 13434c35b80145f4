"""Configuration: a file, the environment, flags; flags win.

`stepwell.yaml`, `stepwell.toml`, or `[tool.stepwell]` in `pyproject.toml`; environment variables mirror the flags.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from stepwell.app.ai_sections import Ai
from stepwell.app.broker_sections import BROKERS, Events
from stepwell.app.cluster_sections import ClusterSection
from stepwell.app.remote_sections import ComputeSection, NatsSection
from stepwell.app.sections import Duration, PositiveDuration, RateLimitSection
from stepwell.app.security_sections import Security
from stepwell.app.telemetry_sections import (
    AlertingSection,
    AlertSection,
    LoggingSection,
    SlaSection,
    TracingSection,
)
from stepwell.base.durations import MINUTE, format_duration
from stepwell.base.errors import ConfigurationError
from stepwell.base.suggest import hint_for
from stepwell.policy.limits import CircuitBreaker
from stepwell.policy.process_limits import ShellLimits

DEFAULT_FILES: Final = ("stepwell.yaml", "stepwell.toml", "pyproject.toml")
DEFAULT_PATH: Final = "stepwell.db"

PolicyName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=128)]
"""Without a slash or a colon: those are in the names of policies that belong to a workflow or a service."""


def _checked_channel(url: str) -> str:
    if not _CHANNEL.match(url):
        raise ValueError("a channel is the URL of a notification service, or an expression that begins with a secret")
    return url


_CHANNEL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|\{\{", re.ASCII)
ChannelUrl = Annotated[str, AfterValidator(_checked_channel)]
"""Where notifications go. It may hold secrets, so it is never shown."""

_KINDS_OF_STORE: Final = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "sqlite": "sqlite",
    "memory": "memory",
}
"""By the scheme of its URL."""

_BREAKER: Final = CircuitBreaker()
_SHELL: Final = ShellLimits()


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StateStore(_Section):
    """Where executions are kept: in the SQLite file `path`, or where `connection_string` says: `memory:`,
    `sqlite:PATH`, `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`. `url` is another name for `connection_string`.

    An outage of a server is sat out for `reconnect`; by `stepwell serve` as long as it takes, which waits for
    `reconnect` when the server is not there at the start.
    """

    type: Literal["sqlite", "memory", "postgresql"] = "sqlite"
    path: str = DEFAULT_PATH
    connection_string: str | None = None
    reconnect: PositiveDuration = 5 * MINUTE

    @model_validator(mode="after")
    def _is_of_its_type(self) -> StateStore:
        kind = _KINDS_OF_STORE.get((self.connection_string or "").partition(":")[0].strip().lower())
        if self.connection_string is None and self.type == "postgresql":
            raise ValueError("`type: postgresql` needs `url`, which is postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
        if "type" in self.model_fields_set and kind is not None and kind != self.type:
            raise ValueError(f"the type is {self.type}, and `url` means a store of the type {kind}")
        return self

    @property
    def url(self) -> str:
        """The store's URL."""
        if self.connection_string is not None:
            return self.connection_string
        return "memory:" if self.type == "memory" else f"sqlite:{self.path}"


class Queuing(_Section):
    """What happens beyond the limits."""

    strategy: Literal["fifo"] = "fifo"
    timeout: Duration | None = None


class Execution(_Section):
    """Limits of one engine. `max_activities` is another name for `max_concurrent_tasks`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    max_concurrent_tasks: int = Field(default=100, ge=1)
    max_workflows: int = Field(default=1_000, ge=1)
    default_timeout: Duration | None = None
    queuing: Queuing = Queuing()


class Files(_Section):
    """Where steps may work on files: `directory` and, by name, further `roots`; without any they may not.

    A root is a path, or the URL of a folder in an object store as fsspec has it. It may hold `{{ secrets.NAME }}`.
    """

    directory: str | None = None
    roots: dict[PolicyName, str] = {}


class Shell(_Section):
    """Programs that steps may run, within these limits. Without this section they may run none.

    `directory` is where they run; without one each gets an empty folder, which is deleted afterwards. Sizes in bytes.
    """

    directory: str | None = None
    cpu: PositiveDuration = _SHELL.cpu
    memory: int = Field(default=_SHELL.memory, ge=1024 * 1024)
    file_size: int = Field(default=_SHELL.file_size, ge=0)
    open_files: int = Field(default=_SHELL.open_files, ge=8)
    output: int = Field(default=_SHELL.output, ge=0)
    timeout: PositiveDuration = _SHELL.timeout


class CircuitBreakerSection(_Section):
    """Fail fast after `threshold` failures within `window`; try again after `open_for`."""

    threshold: int = Field(default=_BREAKER.threshold, ge=1)
    call_timeout: PositiveDuration | None = None
    open_for: PositiveDuration = _BREAKER.open_for
    window: PositiveDuration = _BREAKER.window
    half_open_calls: int = Field(default=_BREAKER.half_open_calls, ge=1)


class BulkheadSection(_Section):
    """At most `max_concurrent` calls at once and `max_queue_size` waiting, for at most `timeout`."""

    max_concurrent: int = Field(ge=1)
    max_queue_size: int = Field(default=0, ge=0)
    timeout: PositiveDuration | None = None


class PolicySection(_Section):
    """A policy that steps refer to by its name; exactly one of the keys."""

    circuit_breaker: CircuitBreakerSection | None = None
    bulkhead: BulkheadSection | None = None
    rate_limit: RateLimitSection | None = None

    @model_validator(mode="after")
    def _is_one(self) -> PolicySection:
        if len(self.model_fields_set) != 1 or getattr(self, *self.model_fields_set) is None:
            raise ValueError("a policy is exactly one of circuit_breaker, bulkhead, rate_limit")
        return self


class ServiceSection(_Section):
    """A service that steps may call. `circuit_breaker` and `bulkhead` stand before every `service_call` of it.

    It has one instance (`url`), several (`urls`), or those that the SRV records of a name tell (`srv`; then `url` gives
    the scheme and the path, http://HOST otherwise).
    """

    url: str | None = None
    urls: list[str] | None = Field(default=None, min_length=1)
    srv: str | None = Field(default=None, min_length=1)
    balance: Literal["least_loaded", "round_robin"] = "least_loaded"
    timeout: Duration = 30_000_000
    headers: dict[str, str] = {}
    auth: dict[str, Any] | None = None
    verify: bool = True
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    max_response_bytes: int = Field(default=8 * 1024 * 1024, ge=1)
    rule_path: str = "/validations/{rule}"
    circuit_breaker: CircuitBreakerSection | None = None
    bulkhead: BulkheadSection | None = None

    @model_validator(mode="after")
    def _is_somewhere(self) -> ServiceSection:
        if self.urls is not None and (self.url is not None or self.srv is not None):
            raise ValueError("a service has either `urls` or `url` and `srv`")
        if self.urls is None and self.url is None and self.srv is None:
            raise ValueError("a service needs `url`, `urls` or `srv`")
        return self


class Secrets(_Section):
    """Where secrets are found besides the environment (`STEPWELL_SECRET_NAME`): a folder with one file for each."""

    directory: str | None = None


class Configuration(_Section):
    """The whole configuration."""

    state_store: StateStore = StateStore()
    execution: Execution = Execution()
    events: Events = Events()
    files: Files = Files()
    shell: Shell | None = None
    databases: dict[PolicyName, str] = {}
    ai: Ai | None = None
    nats: NatsSection | None = None
    cluster: ClusterSection = ClusterSection()
    compute: ComputeSection = ComputeSection()
    services: dict[str, ServiceSection] = {}
    policies: dict[PolicyName, PolicySection] = {}
    notifications: dict[PolicyName, ChannelUrl] = {}
    plugins: dict[str, dict[str, Any] | Literal[False]] = {}
    packs: list[str] = []
    secrets: Secrets = Secrets()
    security: Security = Security()
    logging: LoggingSection = LoggingSection()
    tracing: TracingSection = TracingSection()
    alerts: dict[PolicyName, AlertSection] = {}
    sla: dict[str, SlaSection] = {}
    alerting: AlertingSection = AlertingSection()


def configuration_from(values: Mapping[str, Any], *, where: str = "the configuration") -> Configuration:
    """Check values as they stand in a file.

    Raises:
        ConfigurationError: naming everything that is wrong.
    """
    values = _with_other_names(values)
    try:
        return Configuration.model_validate(values)
    except ValidationError as error:
        problems = [_problem(detail) for detail in error.errors(include_url=False)]
        raise ConfigurationError(f"{where}: " + "; ".join(problems)) from None


def _with_other_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """`execution.max_activities` and a top-level `concurrency` block say the same as `execution`, and `state_store.url`
    as `state_store.connection_string`."""
    merged = dict(values)
    if isinstance(store := merged.get("state_store"), Mapping) and "url" in store:
        if "connection_string" in store:
            raise ConfigurationError("state_store: `url` and `connection_string` are two names of one thing: give one")
        others = {name: value for name, value in store.items() if name != "url"}
        merged["state_store"] = {"connection_string": store["url"], **others}
    execution = {**dict(merged.pop("concurrency", {}) or {}), **dict(merged.get("execution") or {})}
    if "max_activities" in execution:
        execution.setdefault("max_concurrent_tasks", execution.pop("max_activities"))
    if execution:
        merged["execution"] = execution
    return merged


def _problem(detail: Any) -> str:
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"unknown key {path!r} ({hint_for(str(detail['loc'][-1]), _known_keys(detail['loc'][:-1]))})"
    message = detail["msg"].removeprefix("Value error, ")
    said = f"{path}: {message[0].lower()}{message[1:]}"
    return said if _may_hold_secrets(detail["loc"]) else f"{said}, saw {_shown(detail.get('input'))}"


def _may_hold_secrets(path: tuple[int | str, ...]) -> bool:
    whole = (("notifications",), ("nats",), ("compute",))
    is_broker = path[:1] == ("events",) and (len(path) == 1 or path[1] in BROKERS)
    return path[:1] in whole or is_broker or path in (("state_store",), ("state_store", "connection_string"))


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    """The keys of the section at `path`."""
    kind: Any = Configuration
    for part in path:
        inner = {dict: 1, list: 0}.get(get_origin(kind))
        kind = get_args(kind)[inner] if inner is not None else kind.model_fields[part].annotation
        if get_origin(kind) in (Union, UnionType):
            kind = get_args(kind)[0]  # the other one is None
    return [field.alias or name for name, field in kind.model_fields.items()]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def read_configuration(path: Path | None, folder: Path) -> tuple[Mapping[str, Any], str]:
    """The values of a configuration file and its name: the given one, or the first default one in `folder`.

    Raises:
        ConfigurationError: the file cannot be read or is not what its ending says.
    """
    if path is not None:
        return _read(path), str(path)
    for name in DEFAULT_FILES:
        candidate = folder / name
        if candidate.is_file():
            values = _read(candidate)
            if values:
                return values, name
    return {}, "the configuration"


def _read(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not UTF-8 text") from None
    values = _parse_toml(path, text) if path.suffix == ".toml" else _parse_yaml(path, text)
    if path.name == "pyproject.toml":
        values = values.get("tool", {}).get("stepwell", {})
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{path}: expected a map of settings, saw {type(values).__name__}")
    return values


def _parse_toml(path: Path, text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: is not valid TOML: {error}") from None


def _parse_yaml(path: Path, text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: is not valid YAML: {error}") from None


def load_configuration(
    path: Path | None = None,
    *,
    store: str | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Configuration:
    """The configuration in force: file, then `STEPWELL_STORE`, then the given store URL.

    Raises:
        ConfigurationError: naming everything that is wrong.
    """
    environment = os.environ if environment is None else environment
    values, where = read_configuration(path, folder or Path.cwd())
    configuration = configuration_from(values, where=where)
    url = store or environment.get("STEPWELL_STORE")
    if url:
        rest = {"reconnect": configuration.state_store.reconnect}
        given = StateStore(connection_string=url).model_copy(update=rest)
        configuration = configuration.model_copy(update={"state_store": given})
    nats = environment.get("STEPWELL_NATS")
    if nats:
        configuration = with_nats(configuration, nats, where="STEPWELL_NATS")
    return configuration


def with_nats(configuration: Configuration, url: str, *, where: str) -> Configuration:
    """The configuration, with NATS at that URL.

    Raises:
        ConfigurationError: it is none.
    """
    written = configuration.nats.model_dump(exclude_unset=True) if configuration.nats is not None else {}
    nats = configuration_from({"nats": {**written, "url": url}}, where=where).nats
    return configuration.model_copy(update={"nats": nats})


def completed(configuration: Configuration, more: Mapping[str, Any]) -> Configuration:
    """The configuration, and what `more` says where it says nothing.

    Args:
        more: values as they stand in a file.

    Raises:
        ConfigurationError: naming everything that is wrong with them.
    """
    return _completed(configuration, configuration_from(more, where="the workflow's file"))


_S = TypeVar("_S", bound=BaseModel)


def _completed(section: _S, more: _S) -> _S:
    added: dict[str, Any] = {}
    for name in more.model_fields_set:
        mine, other = getattr(section, name), getattr(more, name)
        if name not in section.model_fields_set:
            added[name] = other
        elif isinstance(mine, BaseModel) and isinstance(other, type(mine)):
            added[name] = _completed(mine, other)
    return section.model_copy(update=added)


def configuration_schema() -> dict[str, Any]:
    """The JSON Schema of the configuration file."""
    return Configuration.model_json_schema()


def describe_limits(configuration: Configuration) -> str:
    """The limits in one line, for `doctor`."""
    execution = configuration.execution
    timeout = execution.default_timeout
    default = format_duration(timeout) if timeout is not None else "none"
    return (
        f"{execution.max_workflows} workflows at work, {execution.max_concurrent_tasks} tasks at once, "
        f"default timeout {default}"
    )
