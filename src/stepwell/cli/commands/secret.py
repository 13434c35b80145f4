"""`stepwell secret`: secrets that the store keeps."""

from __future__ import annotations

import click

from stepwell.cli.options import Setup, output_option, setup_options


@click.group("secret")
def command() -> None:
    """Secrets that the store keeps, encrypted. Steps use them as {{ secrets.NAME }}; nothing shows their values."""


@command.command("set")
@click.argument("name")
@click.option("--namespace", "namespaces", multiple=True, metavar="NAME", help="Only workflows of these may use it.")
@setup_options(server=True)
@output_option()
def set_(name: str, namespaces: tuple[str, ...], setup: Setup, output: str) -> int:
    """Set a secret. Its value is asked for, or read from standard input; a newline at its end is not part of it.

    \b
    stepwell secret set CRM_TOKEN < token.txt
    """
    from stepwell.cli.secrets import set_secret

    return set_secret(name, namespaces, setup, output)


@command.command("list")
@setup_options(server=True)
@output_option()
def list_(setup: Setup, output: str) -> int:
    """List the secrets by name. Their values are not shown.

    \b
    stepwell secret list
    """
    from stepwell.cli.secrets import list_secrets

    return list_secrets(setup, output)


@command.command("delete")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@setup_options(server=True)
@output_option()
def delete(names: tuple[str, ...], setup: Setup, output: str) -> int:
    """Forget secrets.

    \b
    stepwell secret delete CRM_TOKEN
    """
    from stepwell.cli.secrets import delete_secrets

    return delete_secrets(names, setup, output)


@command.command("rotate-key")
@setup_options()
@output_option()
def rotate_key(setup: Setup, output: str) -> int:
    """Encrypt all secrets with a new key. Steps that run meanwhile are not held up.

    Where the key is in a file beside the database, a new one is put before it. Where it is in STEPWELL_KEY, put the
    old one into STEPWELL_OLD_KEYS and a new one into STEPWELL_KEY first. Old keys stay needed for what is recorded of
    executions.

    \b
    stepwell secret rotate-key
    """
    from stepwell.cli.secrets import rotate_secrets_key

    return rotate_secrets_key(setup, output)
