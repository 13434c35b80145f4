"""The activities of the examples: Python functions, found by their names."""

from __future__ import annotations

from typing import Any

from stepwell import task

FUNDS = 5_000


@task
def open_case(order: str, reason: str) -> dict[str, Any]:
    """It is given the variables that it has parameters for: here what came with the event."""
    return {"case_id": f"case-{order}", "reason": reason}


@task
def call_back_parcel(order: str) -> dict[str, Any]:
    return {"parcel": f"p-{order}"}


@task
def reserve_refund(order: str, amount: float, case: str) -> dict[str, Any]:
    if amount > FUNDS:
        raise RuntimeError(f"{amount} are more than anybody may put aside")
    return {"order": order, "amount": amount, "case": case}


@task
def close_case(case: str) -> str:
    return f"closed {case}"


@task
def release_parcel(order: str) -> str:
    return f"released p-{order}"
