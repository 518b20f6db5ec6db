"""What happens between commands: finished answers enter the scene, and the page follows, on the server's event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from .ahead import Ahead
from .messages import one_line
from .page import Page
from .views import Views
from .workspace import Workspace

log = logging.getLogger(__name__)

POLL_S = 0.02


class Polling:
    """Looks again and again, from `start` to the end of the server."""

    def __init__(self, state: Any, workspace: Workspace, views: Views, page: Page, ahead: Ahead) -> None:
        self._state, self._workspace, self._page, self._ahead = state, workspace, page, ahead
        self._is_stale = False
        self._moved: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        views.on_moved = self._moved.add
        workspace.on_change(self._note_change)

    def start(self) -> None:
        """Within the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._poll_on())

    def poll(self) -> None:
        """Once."""
        self._workspace.poll()
        if not self._workspace.needs_poll:
            self._ahead.poll()
        if self._is_stale or self._moved:
            moved, self._is_stale = sorted(self._moved), False
            self._moved.clear()
            with self._state:
                self._page.show_positions(moved)
                self._page.refresh()

    async def _poll_on(self) -> None:
        while True:
            try:
                self.poll()
            except Exception as error:  # whatever it is: the page goes on, and says so
                log.exception("an answer could not be shown")
                with self._state:
                    self._state.error = one_line(error)
            await asyncio.sleep(POLL_S)

    def _note_change(self) -> None:
        self._is_stale = True
