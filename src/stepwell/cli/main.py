"""The entry point of the command line. Nothing but click is imported until a command is known."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import click

COMMANDS: Final = (
    "run",
    "serve",
    "worker",
    "validate",
    "plan",
    "execution",
    "event",
    "approval",
    "workflow",
    "dlq",
    "schedule",
    "subscription",
    "key",
    "secret",
    "audit",
    "cluster",
    "db",
    "doctor",
    "completion",
)
"""Each is the `command` of the module of its name in `stepwell.cli.commands`."""

BRIEF: Final = ("validate", "plan")
"""Commands that read, say what they found, and end: what they hold they keep to the end. Python need not look for
cycles of references in it, which would take a tenth of their time."""


class LazyGroup(click.Group):
    """Commands by name; a command's module is imported when the command is asked for."""

    def __init__(self, *args: Any, lazy: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._lazy = tuple(lazy)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return None
        command: click.Command = importlib.import_module(f"stepwell.cli.commands.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self._lazy and not args[0].startswith("-"):
            from stepwell.base.suggest import hint_for
            from stepwell.cli.failures import WrongUse

            raise WrongUse(f"there is no command {args[0]!r}", ctx, hint_for(args[0], self._lazy))
        return super().resolve_command(ctx, args)


def _print_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from stepwell.base.version import VERSION
        from stepwell.cli.streams import write

        write(f"stepwell {VERSION}\n")
        context.exit()


@click.command(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`stepwell COMMAND --help` shows more, with an example.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def root() -> None:
    """Durable, declarative workflows: a process written as YAML or JSON, run to the end whatever crashes on the way.

    \b
    stepwell run process.yaml -i '{"name": "Ada"}'
    """


def call(arguments: Sequence[str] | None = None, settings: Mapping[str, Any] | None = None) -> int:
    """Run a command and return its exit status. Whatever goes wrong has been said on standard error.

    Args:
        arguments: without the program's name; None for those of this process.
        settings: for click's context, in tests.
    """
    from stepwell.cli.streams import prepare

    prepare()
    try:
        status = root.main(
            args=list(arguments) if arguments is not None else None,
            prog_name="stepwell",
            standalone_mode=False,
            **(settings or {}),
        )
    except BaseException as error:  # the one place where errors end: no traceback reaches a user
        from stepwell.cli.failures import report

        return report(error)
    return status if isinstance(status, int) else 0


def main() -> NoReturn:
    """The console script."""
    if sys.argv[1:2] and sys.argv[1] in BRIEF:
        gc.disable()
    status = call()
    gc.freeze()  # the process ends: all that it holds goes with it
    sys.exit(status)
