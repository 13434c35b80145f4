"""The tasks of the sales report: plain functions, marked with `@task`, that the workflow calls by name.

They block (they read and write files), so they are not `async`, and stepwell runs each in a thread.

A try may be cut off anywhere, and is then made again. That does no harm here: every file is written beside its place
and then moved there, so that it is there as a whole or not at all; and its name is made from the idempotency key, which
is the same at each try of a step, so that a repeated try leaves no second file.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from stepwell import TaskContext, task

COLUMNS = ("day", "shop", "product", "quantity", "price")


@task("extract_sales")
def extract_sales(source: str, folder: str, context: TaskContext) -> dict[str, Any]:
    """Copy the usable rows of every CSV file below `source` into one file below `folder`, and count the others."""
    files = sorted(Path(source).glob("*.csv"))
    if not files:
        raise FileNotFoundError(f"there is no CSV file in {source}")
    accepted: list[list[str]] = []
    rejected = 0
    for file in files:
        for row in read_rows(file):
            if (clean := clean_row(row)) is not None:
                accepted.append(clean)
            else:
                rejected += 1
    target = Path(folder) / f"sales-{name_of(context)}.csv"
    write_whole(target, "".join(f"{line}\n" for line in csv_lines([COLUMNS, *accepted])))
    return {"path": str(target), "files": len(files), "accepted": len(accepted), "rejected": rejected}


@task("sum_sales")
def sum_sales(rows: str, by: str, context: TaskContext) -> dict[str, Any]:
    """Sum up `quantity * price` for each value of the column `by`."""
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in read_rows(Path(rows)):
        sums[row[by]] += Decimal(row["quantity"]) * Decimal(row["price"])
    target = Path(rows).with_name(f"by-{by}-{name_of(context)}.json")
    write_whole(target, json.dumps({value: str(amount) for value, amount in sorted(sums.items())}, indent=2))
    return {"path": str(target), "groups": len(sums)}


@task("write_report")
def write_report(folder: str, sums: dict[str, str], context: TaskContext) -> dict[str, Any]:
    """Put the sums together into one report."""
    target = Path(folder) / f"report-{name_of(context)}.json"
    if not target.exists():  # else an earlier try wrote it, and was cut off before that was recorded
        parts = {by: json.loads(Path(path).read_text("utf-8")) for by, path in sums.items()}
        total = sum((Decimal(amount) for amount in parts["day"].values()), Decimal())
        write_whole(target, json.dumps({"total": str(total), "by": parts}, indent=2))
    report = json.loads(target.read_text("utf-8"))
    return {"path": str(target), "total": report["total"]}


def read_rows(file: Path) -> Iterator[Mapping[str, str]]:
    """The rows of a CSV file with a header, by column."""
    with file.open(newline="", encoding="utf-8") as lines:
        yield from csv.DictReader(lines, restval="")


def clean_row(row: Mapping[str, str]) -> list[str] | None:
    """The row with its fields in order and without spaces around them; None when it makes no sense."""
    fields = [(row.get(column) or "").strip() for column in COLUMNS]
    try:
        quantity, price = int(fields[3]), Decimal(fields[4])
    except (ValueError, InvalidOperation):
        return None
    return fields if all(fields) and quantity > 0 and price.is_finite() and price >= 0 else None


def csv_lines(rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Rows as lines of CSV; no field of a clean row needs more than quotes around it."""
    for row in rows:
        yield ",".join('"' + field.replace('"', '""') + '"' for field in row)


def name_of(context: TaskContext) -> str:
    """A short name that belongs to this step of this execution, whichever try it is."""
    return hashlib.sha256(context.idempotency_key.encode()).hexdigest()[:12]


def write_whole(target: Path, content: str) -> None:
    """Write a file so that it is there as a whole or not at all, whatever happens in between."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    with unfinished.open("w", encoding="utf-8", newline="") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(target)
