"""The tables of `docs/scaling.md`, made by simulating."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.scaling.costs import Size
from benchmarks.scaling.scenarios import SCENARIOS, SIZES, Outcome, run
from benchmarks.scaling.skew import keyed, spread

PAGE: Final = Path(__file__).parents[2] / "docs" / "scaling.md"
SEED: Final = 6

EXPONENTS: Final = (0.0, 0.5, 0.8, 1.0)
EXECUTIONS: Final = 100_000
SECONDS: Final[Mapping[int, float]] = {10: 10, 100: 5, 1_000: 2}
"""How long events come to so many nodes; enough for 20,000 and more of them."""

Row = Sequence[str]


def tables() -> Mapping[str, Callable[[], Iterator[Row]]]:
    """By name; each gives its rows as they are simulated, the heading first."""
    return {
        "storms": partial(storms, SIZES),
        "hot": partial(hot, [size for size in SIZES if size.databases == 1]),
        "keys": partial(keys, SECONDS),
    }


def storms(sizes: Iterable[Size]) -> Iterator[Row]:
    """What happens to clusters."""
    yield (
        "nodes / databases / shards", "what happens", "shards moved", "half back", "all back", "caught up",
        "statements/s", "slowest", "refused", "shards per node",
    )  # fmt: skip
    for size in sizes:
        for name in SCENARIOS:
            yield storm(size, name)


def storm(size: Size, scenario: str) -> Row:
    """One row of it."""
    outcome = run(size, scenario, SEED)
    return (size.name, scenario, *_cells(outcome))


def _cells(outcome: Outcome) -> Row:
    return (
        f"{outcome.moved:,}",
        f"{outcome.half_back:.1f} s",
        _seconds(outcome.all_back),
        _seconds(outcome.caught_up),
        f"{outcome.statements:,}",
        f"{outcome.longest_ms:,.0f} ms",
        f"{outcome.refused:,}",
        f"{outcome.fewest} to {outcome.most}",
    )


def _seconds(value: float | None) -> str:
    return "not within 100 s" if value is None else f"{value:.1f} s"


def hot(sizes: Iterable[Size]) -> Iterator[Row]:
    """How uneven shards and nodes are when executions are."""
    yield ("nodes / shards", *(f"n^-{exponent:g}" if exponent else "all alike" for exponent in EXPONENTS))
    for size in sizes:
        found = [spread(size.nodes, size.shards, EXECUTIONS, exponent, SEED) for exponent in EXPONENTS]
        cells = (f"{each.shard:.1f} and {each.node:.2f}" for each in found)
        yield (f"{size.nodes:,} / {size.shards:,}", *cells)


def keys(seconds: Mapping[int, float]) -> Iterator[Row]:
    """How long events with skewed keys take."""
    yield ("nodes", *(f"n^-{exponent:g}" if exponent else "all alike" for exponent in EXPONENTS))
    for nodes, length in seconds.items():
        yield (f"{nodes:,}", *(_keyed(nodes, exponent, length) for exponent in EXPONENTS))


def _keyed(nodes: int, exponent: float, seconds: float) -> str:
    found = keyed(nodes, exponent, SEED, seconds)
    if found.p50_ms is None:
        return f"{found.busy * 100:,.0f} %: too much"
    return f"{found.busy * 100:,.0f} %: {found.p50_ms:.1f} and {found.p99_ms:.1f} ms"


def lines_of(row: Row, *, is_heading: bool) -> str:
    """A row as Markdown has it."""
    line = f"| {' | '.join(row)} |"
    return f"{line}\n|{'---|' * len(row)}" if is_heading else line


def put(text: str, name: str, table: str) -> str:
    """The page with this table in its place.

    Raises:
        ValueError: the page has no such place.
    """
    place = re.compile(rf"(<!-- {name}: made by `make scaling` -->\n).*?(<!-- end -->)", re.DOTALL)
    if place.search(text) is None:
        raise ValueError(f"{PAGE.name} has no place for the table {name!r}")
    return place.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text)


def write(names: Collection[str]) -> None:
    """Simulate for these tables, show them, and put them into the page."""
    text = PAGE.read_text("utf-8")
    for name in names:
        rows = tables()[name]
        lines: list[str] = []
        began = time.perf_counter()
        for row in rows():
            lines.append(lines_of(row, is_heading=not lines))
            print(lines[-1], flush=True)
        print(f"{name}: {time.perf_counter() - began:.0f} s\n", file=sys.stderr, flush=True)
        text = put(text, name, "\n".join(lines))
    PAGE.write_text(text, "utf-8")
