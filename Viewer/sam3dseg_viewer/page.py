"""What the page shows: trame's state, kept equal to the workspace and the views."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trame.ui.html import DivLayout

from SAM3DSegmentLib.Views.PromptDisplay import PromptDisplay

from .display import AUTOMATIC, CONTRASTS
from .folders import Folders
from .saving import FORMATS
from .segments import SegmentRow
from .views import SLICES, THREE_D, Views
from .workspace import Workspace

WEB = Path(__file__).parent / "web"
ASSETS = "__sam3dseg"
TITLE = "SAM 3D Segment"
IMAGES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
TITLES = {name: orientation for name, (orientation, _) in SLICES.items()} | {THREE_D: "3D"}
COLORS = {name: color for name, (_, color) in SLICES.items()} | {THREE_D: "#9fb4d0"}
LOST = """<trame-reconnect class="lost" message="The connection was lost. Trying again…" :max-retry="3600" :delay="1000"
  give-up-message="The viewer does not answer: start it again, and reload the page."></trame-reconnect>"""
LAYOUT = ("red", THREE_D, "green", "yellow")  # from the upper left, as Slicer's four views


class Page:
    """Draws a workspace. `refresh` after every change; what did not change is not sent again."""

    def __init__(
        self, server: Any, workspace: Workspace, views: Views, *, folders: Folders, models: Sequence[str]
    ) -> None:
        self._state, self._workspace, self._views, self._folders = server.state, workspace, views, folders
        self._prompts = PromptDisplay(views.scene)
        self._had_surface = False
        self._framed: object = None  # what the 3D view was fitted to, and the pose of its camera then
        self._pose: tuple[float, ...] | None = None
        self.models = tuple(models)
        self.error = ""  # of the last command; the workspace tells its own
        self.note = ""  # the status, when it is not the workspace's
        self._saved: object = ()
        self._state.trame__title = TITLE
        self._state.trame__favicon = f"{ASSETS}/icon.png"
        self._state.trame__template_error_reconnect = LOST
        self._state.update(
            {
                "sign": "foreground",
                "models": list(models),
                "contrast": AUTOMATIC,
                "contrasts": list(CONTRASTS),
                "large": "",
                "formats": list(FORMATS),
                "folders": folders.text,
                "save_path": "",
                "views": [{"name": name, "title": TITLES[name], "color": COLORS[name]} for name in LAYOUT],
                "positions": {name: views.position(name) for name in SLICES},
            }
        )
        self.refresh()
        self.list_files()
        server.enable_module(
            {
                "serve": {ASSETS: str(WEB)},
                "styles": [f"{ASSETS}/page.css"],
                "scripts": [f"{ASSETS}/page.js"],
            }
        )
        with DivLayout(server) as layout:
            layout.root.add_child((WEB / "page.html").read_text(encoding="utf-8"))

    def refresh(self) -> None:
        """Send what changed in the workspace."""
        workspace, status = self._workspace, self._workspace.status
        rows = workspace.segments
        self._prompts.show(workspace.prompts)
        if self._prompts.markupsNode is not None:
            self._prompts.markupsNode.SetLocked(True)  # a press near a point is a click, too
        self._show_surfaces(rows)
        self._state.update(
            {
                "image_name": workspace.volume.GetName() if workspace.volume is not None else "",
                "segments": [
                    {
                        "id": row.id,
                        "name": row.name,
                        "color": _hex(row.color),
                        "is_visible": row.is_visible,
                        "clicks": row.clicks,
                    }
                    for row in rows
                ],
                "selected": workspace.selected,
                "can_undo": workspace.can_undo,
                "can_redo": workspace.can_redo,
                "model": workspace.model,
                "status": self.note or status.text,
                "is_busy": bool(status.is_busy or self.note),
                "progress": None if self.note else status.progress,
                "error": self.error or status.error or "",
                "can_retry": bool(status.error and not self.error),
                "is_unsaved": any(row.clicks for row in rows) and _content(rows) != self._saved,
                "has_surface": self._had_surface,
            }
        )

    def note_saved(self) -> None:
        """What is there now is in a file."""
        self._saved = _content(self._workspace.segments)

    def show_positions(self, names: Iterable[str]) -> None:
        """Send where slice views cut."""
        self._state.positions = {**self._state.positions, **{name: self._views.position(name) for name in names}}

    def list_files(self) -> None:
        self._state.files = self._folders.listed((*IMAGES, ".seg.nrrd"))

    def _show_surfaces(self, rows: Sequence[SegmentRow]) -> None:
        """Keep all surfaces in the 3D view as they change, until someone moves the camera."""
        self._had_surface = any(row.clicks for row in rows)
        if not self._had_surface:
            self._framed, self._pose = None, None
        elif _content(rows) != self._framed and self._pose in (None, self._views.camera_pose()):
            self._framed = _content(rows)
            self._views.threed.reset_view()
            self._pose = self._views.camera_pose()


def _content(rows: Sequence[SegmentRow]) -> object:
    return tuple((row.id, row.name, row.color, row.clicks) for row in rows)


def _hex(color: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * value):02x}" for value in color)
