"""`stepwell validate`."""

from __future__ import annotations

from pathlib import Path

import click

from stepwell.cli.options import Setup, output_option, path_type, quiet_option, setup_options


@click.command("validate")
@click.argument("files", type=path_type(), nargs=-1, required=True, metavar="FILE...")
@setup_options(store=False, modules=True)
@output_option()
@quiet_option
def command(files: tuple[Path, ...], setup: Setup, output: str, quiet: bool) -> int:
    """Check workflow definitions: every problem, with its place and what to do about it.

    Names of services are checked when there is a configuration, names of tasks and rules with --import.

    \b
    stepwell validate signup.yaml
    stepwell validate *.yaml --import tasks.py -o json
    """
    from stepwell.cli.validating import validate

    return validate(files, setup, output, quiet=quiet)
