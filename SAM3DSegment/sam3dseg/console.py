"""Progress on a terminal; silent when nobody is watching."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .request import Progress


def _is_watched() -> bool:
    return sys.stderr.isatty() and find_spec("rich") is not None


class Steps:
    """What is shown of the steps of a piece of work: `show` gets the text and how many steps are done."""

    def __init__(self, show: Callable[[str, int], None]) -> None:
        self._show, self._name, self._begun = show, "", 0

    def __call__(self, name: str) -> None:
        """A step begins, and the one before is done."""
        self._show(name, self._begun)
        self._name, self._begun = name, self._begun + 1

    def detail(self, text: str) -> None:
        """Say what is being done within the step."""
        self._show(f"{self._name}: {text}", self._begun - 1)


@contextmanager
def steps(total: int) -> Iterator[Steps]:
    """A bar of `total` steps on stderr; call what is yielded with the name of each step as it begins."""
    if not _is_watched():
        yield Steps(lambda text, done: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), BarColumn(bar_width=24), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield Steps(lambda text, done: bar.update(task, description=text, completed=min(done, total)))


@contextmanager
def working() -> Iterator[Callable[[Progress], None]]:
    """A bar of one piece of work on stderr; call what is yielded with how far it is."""
    if not _is_watched():
        yield lambda progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (SpinnerColumn(), BarColumn(bar_width=24), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda now: bar.update(task, description=now.text, completed=now.done, total=now.total)


@contextmanager
def transfer(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar for a download on stderr; call what is yielded with the bytes so far and in all."""
    if not _is_watched():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
