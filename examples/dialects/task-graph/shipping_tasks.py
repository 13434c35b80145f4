"""The actions of `deploy.yaml`."""

from __future__ import annotations

from typing import Any

from stepwell import task


@task("shipping.build")
def build(version: str) -> dict[str, str]:
    """Build a version."""
    return {"artifact": f"app-{version}.tar"}


@task("shipping.test")
def test(artifact: str) -> str:
    """Test what was built."""
    return f"{artifact} is fine"


@task("shipping.scan")
def scan() -> str:
    """Look for known problems."""
    return "nothing was found"


@task("shipping.deploy_to")
def deploy_to(hosts: list[dict[str, Any]], artifact: str, batch: int = 0) -> dict[str, Any]:
    """Deploy to hosts."""
    return {"deployed": len(hosts), "artifact": artifact, "batch": batch}
