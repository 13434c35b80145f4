"""Where a server keeps a dead letter."""

from __future__ import annotations

from stepwell.base.errors import NotFound
from stepwell.cli.remote.address import quoted


def letter_path(id_: str) -> str:
    """The path of the dead letter with the id `EXECUTION/STEP/NUMBER`.

    Raises:
        NotFound: (code `unknown-dead-letter`) no dead letter has such an id.
    """
    execution, _, rest = id_.partition("/")
    step, _, seq = rest.rpartition("/")
    if not (execution and step and seq.isascii() and seq.isdigit()):
        raise NotFound(
            f"there is no dead letter {id_!r}", code="unknown-dead-letter", hint="`stepwell dlq list` shows them"
        )
    return f"/dead-letters/{quoted(execution)}/{quoted(step)}/{seq}"
