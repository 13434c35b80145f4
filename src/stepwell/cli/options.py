"""Options that several commands share."""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Token(str):
    """What proves to a server who calls; nothing shows it by accident."""

    def __repr__(self) -> str:
        return "'***'"


class Setup(NamedTuple):
    """Which configuration, store or server, and modules a command works with, as the user said it.

    Attributes:
        store: the URL given with `--store`, or None.
        config: the file given with `--config`, or None.
        modules: what was given with `--import`.
        dialect: the dialect of the files, when it was said.
        lenient: keys that mean nothing are only pointed out.
        server: the URL of the server that has the store, or None when this process opens the store itself.
        token: what the server is shown: the token, or `@FILE`; None for nothing.
    """

    store: str | None = None
    config: Path | None = None
    modules: tuple[str, ...] = ()
    dialect: str | None = None
    lenient: bool = False
    server: str | None = None
    token: Token | None = None

    def again(self) -> str:
        """The options that say the same in another call, with a space before them; without token and passwords."""
        words = ["--server", self.server] if self.server is not None else []
        words += ["--store", _shown(self.store)] if self.store is not None else []
        words += ["--config", str(self.config)] if self.config is not None else []
        for module in self.modules:
            words += ["--import", module]
        return _options(words)

    def same_store(self) -> str:
        """The options that name the same store, or server, in another call, with a space before them."""
        if self.server is not None:
            return _options(["--server", self.server])
        if self.store is not None:
            return _options(["--store", _shown(self.store)])
        return _options(["--config", str(self.config)] if self.config is not None else [])


def _shown(store: str) -> str:
    from stepwell.store.factory import without_password

    return without_password(store)


def _options(words: Iterable[str]) -> str:
    return "".join(f" {shlex.quote(word)}" for word in words)


class Duration(click.ParamType[int]):
    """A duration such as `30s` or `1h30m`, in microseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from stepwell.base.durations import parse_duration

        try:
            return value if isinstance(value, int) else parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Dialect(click.ParamType[str]):
    """The name of a dialect; the names are looked up when one is given."""

    name = "dialect"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from stepwell.base.suggest import hint_for
        from stepwell.dialects.table import DIALECTS, dialect_named

        dialect = dialect_named(str(value))
        if dialect is None:
            self.fail(f"there is no dialect {value!r}; {hint_for(value, list(DIALECTS))}", param, ctx)
        return dialect.name


def path_type() -> click.Path:
    """A file's path. Whether it can be read is said where it is read, in the same words everywhere."""
    return click.Path(path_type=Path)


class DefinitionType(click.Path):
    """A file's path, or the name of a registered workflow; completed as a path, and kept as it was written."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)


def output_option(*formats: str, help: str = "Print a table, or one JSON or YAML document.") -> Decorator:  # noqa: A002
    """`-o`; the first format is the default."""
    names = formats or ("table", "json", "yaml")
    return click.option("-o", "--output", type=click.Choice(names), default=names[0], show_default=True, help=help)


reason_option = click.option("--reason", metavar="TEXT", help="Why: it is kept with who did it and when.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print the result and errors only.")


def setup_options(
    *, store: bool = True, server: bool = False, modules: bool = False, dialect: str | None = "--dialect"
) -> Decorator:
    """`--store`, `--server`, `--token`, `--config`, `--import`, `--dialect`, `--lenient`, given to the command as one
    `setup`.

    Args:
        server: it can also be done through a server that has the store.
        modules: it needs to know what can be run.
        dialect: with `modules`, the option that says what files are written in; None when it reads none.
    """
    named = dialect if modules else None

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def gathering(**values: Any) -> Any:
            setup = Setup(**{field: values.pop(field) for field in Setup._fields if field in values})
            return function(setup=_reaching(setup) if server else setup, **values)

        decorated: Callable[..., Any] = gathering
        for option in reversed(_setup_options(store=store, server=server, modules=modules, dialect=named)):
            decorated = option(decorated)
        return decorated

    return decorate


def _reaching(setup: Setup) -> Setup:
    """The same with what the environment says about a server, unless a store was named.

    Raises:
        WrongUse: the options contradict each other.
    """
    from stepwell.cli.failures import WrongUse

    if setup.server is not None and setup.store is not None:
        raise WrongUse("--server and --store contradict each other: give one of them")
    named = None if setup.store is not None else os.environ.get("STEPWELL_SERVER") or None
    server = setup.server or named
    if server is None and setup.token is not None:
        raise WrongUse("--token goes with --server: a store asks nobody who he is")
    token = setup.token or os.environ.get("STEPWELL_TOKEN") or None
    return setup._replace(server=server, token=Token(token) if server is not None and token is not None else None)


def _setup_options(*, store: bool, server: bool, modules: bool, dialect: str | None) -> list[Decorator]:
    options: list[Decorator] = []
    if store:
        help_ = (
            "The store: sqlite:PATH, a path ending in .db, postgresql://USER@HOST/DATABASE, or memory:.  "
            "[env var: STEPWELL_STORE; default: stepwell.db]"
        )
        options.append(click.option("--store", metavar="URL", help=help_))
    if server:
        help_ = "The server, instead of a store, such as http://127.0.0.1:8080.  [env var: STEPWELL_SERVER]"
        options.append(click.option("--server", metavar="URL", help=help_))
        help_ = "An API key or other token for the server, or @FILE.  [env var: STEPWELL_TOKEN]"
        options.append(click.option("--token", metavar="TEXT", help=help_))
    help_ = "The configuration.  [default: stepwell.yaml, stepwell.toml or pyproject.toml of this folder]"
    options.append(click.option("--config", type=path_type(), metavar="FILE", help=help_))
    if modules:
        help_ = "A Python module or .py file with tasks and rules; may be repeated."
        options.append(click.option("--import", "modules", multiple=True, metavar="MODULE", help=help_))
    if dialect is not None:
        options.append(
            click.option(dialect, "dialect", type=Dialect(), help="What files are written in; told from them else.")
        )
        options.append(click.option("--lenient", is_flag=True, help="Keys that mean nothing are warnings."))
    return options
