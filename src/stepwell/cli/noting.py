"""What commands change in a store is noted in its audit log."""

from __future__ import annotations

from stepwell.app.audit import act_entry, local_doer
from stepwell.base.clock import SystemClock
from stepwell.ports.ledger import Ledger


async def note(ledger: Ledger, what: str, on: str) -> None:
    """Note that the user did something.

    Args:
        what: the command, such as `execution.pause`.
        on: what it was done to, such as `execution:ID`.
    """
    now = SystemClock().now()
    await ledger.write([], now, entries=[act_entry(local_doer(), what, on, now)])
