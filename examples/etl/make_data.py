"""Writes CSV files with made-up sales for the report: `python make_data.py FOLDER [ROWS]`.

The same every time. About one row in five hundred is damaged, as happens.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

SHOPS = ("north", "south", "harbour")
PRODUCTS = {"kettle": "24.90", "lamp": "39.00", "rug": "129.50", "teapot": "18.25", "clock": "54.00"}
DAMAGED = ("2026-10-01,{shop},kettle,,24.90", "2026-10-01,{shop},lamp,two,39.00", "2026-10-02,{shop}")


def main() -> None:
    """Write one file for each shop."""
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python make_data.py FOLDER [ROWS]")
    folder = Path(sys.argv[1])
    rows = int(sys.argv[2]) if len(sys.argv) == 3 else 1_000
    folder.mkdir(parents=True, exist_ok=True)
    for shop in SHOPS:
        lines = "\n".join(["day,shop,product,quantity,price", *sales(shop, rows)])
        (folder / f"{shop}.csv").write_text(f"{lines}\n", "utf-8")
    print(f"wrote {len(SHOPS)} files of {rows} rows to {folder}")


def sales(shop: str, rows: int) -> list[str]:
    """The lines of one shop."""
    draw = random.Random(shop)
    lines = []
    for number in range(rows):
        product = draw.choice(list(PRODUCTS))
        line = f"2026-10-{draw.randint(1, 31):02},{shop},{product},{draw.randint(1, 5)},{PRODUCTS[product]}"
        lines.append(DAMAGED[number % len(DAMAGED)].format(shop=shop) if number % 500 == 499 else line)
    return lines


if __name__ == "__main__":
    main()
