"""`stepwell validate`."""

from __future__ import annotations

import click

from stepwell.cli.options import DefinitionType, Setup, output_option, quiet_option, setup_options


@click.command("validate")
@click.argument("given", type=DefinitionType(), nargs=-1, required=True, metavar="FILE|NAME[@VERSION]...")
@setup_options(server=True, modules=True)
@output_option()
@quiet_option
def command(given: tuple[str, ...], setup: Setup, output: str, quiet: bool) -> int:
    """Check workflow definitions: every problem, with its place and what to do about it.

    Files, or workflows registered in the store.

    Names of services are checked when there is a configuration, names of tasks and rules with --import.

    \b
    stepwell validate signup.yaml
    stepwell validate *.yaml --import tasks.py -o json
    """
    from stepwell.cli.validating import validate

    return validate(given, setup, output, quiet=quiet)
