"""`stepwell completion`."""

from __future__ import annotations

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print a script that completes commands and options in your shell.

    \b
    stepwell completion bash > ~/.local/share/bash-completion/completions/stepwell
    stepwell completion zsh > ~/.zfunc/_stepwell
    stepwell completion fish > ~/.config/fish/completions/stepwell.fish
    """
    from click.shell_completion import get_completion_class

    from stepwell.cli.main import root
    from stepwell.cli.streams import write

    kind = get_completion_class(shell)
    assert kind is not None, "click knows these shells"
    write(kind(root, {}, "stepwell", "_STEPWELL_COMPLETE").source() + "\n")
    return 0
