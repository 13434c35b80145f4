"""`make scaling`: simulate clusters of 10, 100 and 1,000 nodes, and write the tables of `docs/scaling.md`.

In about four minutes; `make scaling SCALING_ARGS="keys"` makes one of the tables.
"""

from __future__ import annotations

import argparse

from benchmarks.scaling.page import tables, write

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("tables", nargs="*", choices=[*tables()], default=[*tables()], help="all when left out")
    write(parser.parse_args().tables)
