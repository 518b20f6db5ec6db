"""What the page opens and saves: triggers that answer with what went wrong, or with nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from .ahead import Ahead
from .display import set_contrast, suggested_contrast
from .folders import Folders
from .image_file import read_image_file
from .messages import EXPECTED_ERRORS, one_line
from .page import Page
from .saving import SEGMENTATION
from .scene_file import SUFFIX as SCENE
from .views import Views
from .workspace import Workspace


class Files:
    """Opens and saves for the page. Paths come from a browser: `Folders` decides on them."""

    def __init__(
        self, server: Any, workspace: Workspace, views: Views, page: Page, *, folders: Folders, ahead: Ahead
    ) -> None:
        self._state, self._workspace, self._views, self._page = server.state, workspace, views, page
        self._folders, self._ahead = folders, ahead
        self._opening = asyncio.Lock()
        server.trigger("open")(self.open)
        server.trigger("save")(self.save)

    async def open(self, path: str) -> str:
        """Open a file of the chosen folders."""
        return await self._answered(lambda: self._open(self._folders.to_open(str(path))))

    async def open_upload(self, path: Path) -> str:
        """Open a file that came from the browser."""
        return await self._answered(lambda: self._open(path))

    async def save(self, path: str) -> str:
        """Save into a chosen folder."""
        return await self._answered(lambda: self._save(self._folders.to_save(str(path))))

    def show_image(self, image: Any, path: Path) -> None:
        """Work on an image that was read from `path`."""
        self._workspace.set_image(image)
        self._show_volume(path)

    async def _open(self, path: Path) -> None:
        """A segmentation of the open image, a scene, or an image, which is read beside the event loop."""
        async with self._opening:
            self._tell(f"Opening {path.name}…")
            try:
                name = path.name.lower()
                if name.endswith(SEGMENTATION):
                    self._workspace.open_segmentation(path)
                    self._page.note_saved()
                elif name.endswith(SCENE):
                    self._workspace.open_scene(path)
                    self._show_volume(path)
                else:
                    self.show_image(await asyncio.to_thread(read_image_file, path), path)
            finally:
                self._tell("")

    async def _save(self, path: Path) -> None:
        self._workspace.save(path)
        self._page.note_saved()
        self._page.list_files()

    def _show_volume(self, path: Path) -> None:
        volume = self._workspace.volume
        self._views.show(volume)
        self._state.contrast = suggested_contrast(volume)
        set_contrast(volume, self._state.contrast)
        self._state.save_path = f"{path.name.split('.')[0] or 'image'}{SEGMENTATION}"
        self._page.note_saved()
        self._ahead.forget()
        self._ahead.mouse_at(self._views.center())  # the model is loaded before the first click

    def _tell(self, note: str) -> None:
        self._page.note = note
        with self._state:
            self._page.refresh()

    async def _answered(self, work: Callable[[], Awaitable[None]]) -> str:
        """What went wrong goes back to the dialog that asked."""
        error = ""
        try:
            await work()
        except EXPECTED_ERRORS as problem:
            error = one_line(problem)
        with self._state:
            self._page.refresh()
        return error
