"""The actions of `rollout.yaml`: `stepwell run rollout.yaml --import rollout.py -i '{"release": "1.2"}'`."""

from __future__ import annotations

from typing import Any

from stepwell import task

_seen: dict[str, int] = {}


@task("rollout.check")
def check(release: str) -> dict[str, Any]:
    """Whether a release can be rolled out: not one that ends in `-dev`."""
    return {"ready": not release.endswith("-dev")}


@task("rollout.install")
def install(host: str, release: str) -> dict[str, str]:
    """Put a release on a host. The first try on `flaky` hosts fails."""
    _seen[host] = _seen.get(host, 0) + 1
    if host.startswith("flaky") and _seen[host] == 1:
        raise RuntimeError(f"{host} does not answer")
    return {"host": host, "release": release}


@task("rollout.restore")
def restore(hosts: list[str]) -> list[str]:
    """Put back what was on the hosts before."""
    return hosts
