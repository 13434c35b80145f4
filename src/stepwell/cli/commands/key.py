"""`stepwell key`: API keys."""

from __future__ import annotations

import click

from stepwell.cli.options import Duration, Setup, output_option, quiet_option, setup_options


@click.group("key")
def command() -> None:
    """API keys of the server. Each opens what its role and its namespaces allow."""


@command.command("create")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator", "developer", "admin"]),
    required=True,
    help="What it may do; each may do what those before it may.",
)
@click.option("--namespace", "namespaces", multiple=True, metavar="NAME", help="Only these; may be repeated.")
@click.option("--expires", type=Duration(), metavar="DURATION", help="It is good for so long.")
@setup_options(server=True)
@output_option()
@quiet_option
def create(
    name: str,
    role: str,
    namespaces: tuple[str, ...],
    expires: int | None,
    setup: Setup,
    output: str,
    quiet: bool,
) -> int:
    """Make a key. It is printed once, and cannot be had again.

    \b
    stepwell key create ci --role developer --namespace payments --expires 90d
    """
    from stepwell.cli.keys import create_key

    return create_key(name, role, namespaces, expires, setup, output, quiet=quiet)


@command.command("list")
@setup_options(server=True)
@output_option()
def list_(setup: Setup, output: str) -> int:
    """List the keys, those that are no longer good too, the newest first.

    \b
    stepwell key list -o json
    """
    from stepwell.cli.keys import list_keys

    return list_keys(setup, output)


@command.command("revoke")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@setup_options(server=True)
@output_option()
def revoke(ids: tuple[str, ...], setup: Setup, output: str) -> int:
    """Have keys open nothing from now on.

    \b
    stepwell key revoke 4k2m9x1q7b3d
    """
    from stepwell.cli.keys import revoke_keys

    return revoke_keys(ids, setup, output)


@command.command("rotate")
@click.argument("id_", metavar="ID")
@click.option("--overlap", type=Duration(), default=0, metavar="DURATION", help="The old key is good for so long yet.")
@setup_options(server=True)
@output_option()
@quiet_option
def rotate(id_: str, overlap: int, setup: Setup, output: str, quiet: bool) -> int:
    """Make a key with the same rights in place of one, and print it.

    \b
    stepwell key rotate 4k2m9x1q7b3d --overlap 1d
    """
    from stepwell.cli.keys import rotate_key

    return rotate_key(id_, overlap, setup, output, quiet=quiet)
