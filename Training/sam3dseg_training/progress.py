"""Progress through many cases: a bar on a terminal, and a line of the log now and then."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TypeVar

from sam3dseg.console import steps

log = logging.getLogger(__name__)

REPORTED_SHARE = 0.1  # of the cases, between two lines of a log

Item = TypeVar("Item")


def watched(items: Iterator[Item], total: int, *, noun: str = "cases") -> Iterator[Item]:
    """The items as they come."""
    every = max(1, round(total * REPORTED_SHARE))
    with steps(total) as begin:
        begin(f"{total} {noun}")
        for count, item in enumerate(items, start=1):
            begin(f"{count} of {total} {noun}")
            if count % every == 0 and count < total:
                log.info("%d of %d %s", count, total, noun)
            yield item
