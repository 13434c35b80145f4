"""`stepwell db`."""

from __future__ import annotations

from pathlib import Path

import click

from stepwell.cli.options import Setup, output_option, path_type, quiet_option, setup_options


@click.group("db")
def command() -> None:
    """Care for the store: migrate, status, verify, backup."""


@command.command("migrate")
@setup_options()
@output_option()
def migrate(setup: Setup, output: str) -> int:
    """Make the store, or bring it up to the form that this version uses.

    \b
    stepwell db migrate --store sqlite:orders.db
    """
    from stepwell.cli.databases import migrate_store

    return migrate_store(setup, output)


@command.command("status")
@setup_options()
@output_option()
def status(setup: Setup, output: str) -> int:
    """Show what is in the store, and who works on it.

    \b
    stepwell db status
    """
    from stepwell.cli.databases import show_status

    return show_status(setup, output)


@command.command("verify")
@setup_options()
@output_option()
@quiet_option
def verify(setup: Setup, output: str, quiet: bool) -> int:
    """Read every history again and compare it with everything derived from it. The exit status is 1 on problems.

    \b
    stepwell db verify
    """
    from stepwell.cli.databases import verify_store

    return verify_store(setup, output, quiet=quiet)


@command.command("backup")
@click.argument("file", type=path_type())
@setup_options()
@output_option()
def backup(file: Path, setup: Setup, output: str) -> int:
    """Copy the store to FILE, and its key file to FILE.key, while engines may be at work on it.

    To restore, put both in the place of the store while nothing works on it, and run `stepwell db verify`.

    \b
    stepwell db backup backups/monday.db --store sqlite:orders.db
    """
    from stepwell.cli.backups import back_up_store

    return back_up_store(file, setup, output)
