"""The table: a row for each sg rule, ioctl and errno. A row runs on any `Node`.

`expect` is what Linux 6.12 does; where the rule's own text says something else, the row says so.
"""

from __future__ import annotations

from . import bsg, filtering, opening_and_writing, reading, requests, results
from .row import ROWS, Row

__all__ = ["ROWS", "Row", "bsg", "filtering", "opening_and_writing", "reading", "requests", "results"]

assert len({each.name for each in ROWS}) == len(ROWS), "every row has a name of its own"
