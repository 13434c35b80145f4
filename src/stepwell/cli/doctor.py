"""`doctor`: whether everything that stepwell needs is there and works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from stepwell.app.configuration import Configuration, describe_limits, read_configuration
from stepwell.app.plugins import plugins_of
from stepwell.base.errors import StepwellError
from stepwell.cli.broker_checks import broker_check
from stepwell.cli.checks import Check, clock_check, key_check, library_checks, python_check, sqlite_check
from stepwell.cli.documents import emit
from stepwell.cli.opening import catalogue_for, configuration_of, registries_of
from stepwell.cli.options import Setup
from stepwell.cli.server_checks import server_checks
from stepwell.cli.store_checks import store_checks
from stepwell.cli.streams import output_kept_clean
from stepwell.cli.tables import rendered, status_text, table
from stepwell.cli.words import count


def examine(setup: Setup, output: str) -> int:
    """Print a line for everything looked at; 1 when something does not work."""
    with output_kept_clean():
        checks = list(_checks(setup))
    emit({"items": [check._asdict() for check in checks]}, output, lambda: _text(checks))
    return 1 if any(check.status == "fail" for check in checks) else 0


def _checks(setup: Setup) -> Iterator[Check]:
    yield python_check()
    yield from library_checks()
    if setup.server is not None:
        yield clock_check()
        yield from server_checks(setup)
        return
    yield sqlite_check()
    yield clock_check()
    configurations: list[Configuration] = []
    yield _attempt("configuration", lambda: _configuration(setup, configurations))
    if not configurations:
        return  # without it nothing is known of the rest
    configuration = configurations[0]
    yield _attempt("modules", lambda: _modules(setup, configuration))
    yield _attempt("plug-ins", lambda: _plugins(configuration))
    for name in configuration.events.brokers():
        yield _attempt(name, partial(broker_check, name, configuration))
    try:
        yield from store_checks(configuration)
    except StepwellError as error:
        yield Check("store", "fail", error.message, error.hint)
        return  # what is beside it is not known either
    yield _attempt("key", lambda: key_check(configuration))


def _attempt(name: str, look: Callable[[], Check]) -> Check:
    """What `look` finds, or the error that it meets."""
    try:
        return look()
    except StepwellError as error:
        return Check(name, "fail", error.message, error.hint)


def _configuration(setup: Setup, found: list[Configuration]) -> Check:
    values, where = read_configuration(setup.config, Path.cwd())
    configuration = configuration_of(setup)
    found.append(configuration)
    source = where if values else "no file: the defaults hold"
    services = count(len(configuration.services), "service")
    return Check("configuration", "ok", f"{source}; {services}; {describe_limits(configuration)}")


def _modules(setup: Setup, configuration: Configuration) -> Check:
    registries = registries_of(setup)
    catalogue_for(configuration, registries)
    tasks, rules = len(list(registries.tasks.names())), len(list(registries.rules.names()))
    if not setup.modules:
        return Check("modules", "ok", "none given with --import")
    found = f"{', '.join(setup.modules)}: {count(tasks, 'task')}, {count(rules, 'rule')}"
    if not tasks and not rules:
        return Check("modules", "warn", found, "mark functions with @task or @rule, so that workflows can call them")
    return Check("modules", "ok", found)


def _plugins(configuration: Configuration) -> Check:
    found = plugins_of(configuration.plugins).all
    broken = [f"{each.name} ({each.package}): {each.problem}" for each in found if each.problem is not None]
    if broken:
        return Check("plug-ins", "warn", "; ".join(broken), "these are left out; everything else works")
    named = ", ".join(f"{each.name} ({each.package})" for each in found)
    return Check("plug-ins", "ok", named or "none installed")


def _text(checks: Iterable[Check]) -> str:
    rows: list[tuple[RenderableType, ...]] = []
    for check in checks:
        rows.append((status_text(check.status), check.check, check.message))
        if check.hint:
            rows.append(("", "", Text(check.hint, "dim")))
    return rendered(table("", "looked at", "found", fold="found", rows=rows))
