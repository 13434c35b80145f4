"""The reference of the command line, made from the commands' own help."""

from __future__ import annotations

from collections.abc import Iterator

import click

from stepwell.cli.main import root

_INTRODUCTION = """# Command line

| exit status | meaning |
| --- | --- |
| 0 | done |
| 1 | the execution failed, or something was found to be wrong |
| 2 | wrong usage, an invalid definition, an invalid input |
| 3 | timed out waiting |
| 4 | the store, or the server, cannot be reached or used |
| 130 | interrupted; `run` says how to resume |

With `-o json` a command prints one JSON document on standard output and nothing else there; messages go to standard
error.
`STEPWELL_STORE` stands for `--store`, `STEPWELL_SERVER` for `--server` and `STEPWELL_TOKEN` for `--token`.
`--store` has it that `STEPWELL_SERVER` does not count, and `--server` that `STEPWELL_STORE` does not.
"""


def command_page() -> str:
    """The page: every command with its help, as a terminal of 100 columns shows it."""
    parts = [_INTRODUCTION]
    for path, command in _commands(root, ("stepwell",)):
        with click.Context(command, info_name=" ".join(path), max_content_width=100, terminal_width=100) as context:
            parts.append(f"\n## {' '.join(path)}\n\n```text\n{command.get_help(context)}\n```\n")
    return "".join(parts)


def _commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that is not a group, in the order of its name."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if inner is not None:
            yield from _commands(inner, (*path, name))
