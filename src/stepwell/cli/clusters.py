"""`cluster`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stepwell.base.clock import SystemClock
from stepwell.cli.documents import emit
from stepwell.cli.options import Setup
from stepwell.cli.subjects.cluster import open_nodes
from stepwell.cli.subjects.opening import run_in
from stepwell.cli.tables import rendered, table
from stepwell.cli.words import count, day_or_time

Report = Mapping[str, Any]


def show_cluster(setup: Setup, output: str) -> int:
    """Print who is there, and what each owns."""
    report = run_in(open_nodes(setup), lambda nodes: nodes.shown())
    emit(report, output, lambda: _text(report))
    return 0


def _text(report: Report) -> str:
    if not report["nodes"] and not report["leases"]:
        return "no engine runs on this store"
    now = SystemClock().now()
    nodes = table(
        "NODE",
        "SHARDS",
        "SINCE",
        "VERSION",
        "URL",
        "",
        rows=[_node(node, now) for node in report["nodes"]],
        fold="NODE",
    )
    leases = table(
        "SHARDS",
        "OWNER",
        "UNTIL",
        "",
        rows=[
            (_short(shards), owner, day_or_time(until, now), "" if alive else "to be taken over")
            for (owner, until, alive), shards in _ranges(report["leases"]).items()
        ],
        fold="OWNER",
    )
    shared = f"{count(report['shards'], 'shard')} shared out" if report["shards"] else "no shards are shared out"
    return rendered(nodes, "", leases, "", shared)


def _node(node: Report, now: int) -> Sequence[str]:
    since = day_or_time(node["since"], now) if node["since"] else "-"
    state = "leaving" if node["leaving"] else ""
    return node["id"], str(node["shards"]), since, node["version"] or "-", node["url"] or "-", state


def _ranges(leases: Sequence[Report]) -> Mapping[tuple[str, str, bool], list[int]]:
    """The shards of those that have one owner until one instant."""
    found: dict[tuple[str, str, bool], list[int]] = {}
    for lease in leases:
        found.setdefault((lease["owner"], lease["expires_at"], lease["alive"]), []).append(lease["shard"])
    return found


def _short(shards: Sequence[int]) -> str:
    """Numbers in order, those one behind the other as `3-7`."""
    parts: list[list[int]] = []
    for shard in sorted(shards):
        if parts and parts[-1][-1] == shard - 1:
            parts[-1].append(shard)
        else:
            parts.append([shard])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
