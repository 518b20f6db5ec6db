"""Three slice views and a 3D view, rendered off screen by Slicer's own displayable managers and sent to the page."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import vtk
from trame_rca.encoders import RcaImageEncoder
from trame_rca.schedulers import RcaImageRenderScheduler
from trame_server.utils.asynchronous import create_task
from trame_slicer.core import SlicerApp
from trame_slicer.rca_view.rca_view_factory import RcaRenderStrategy, RcaWindow
from trame_slicer.views import SliceView, ThreeDView, ViewProps

from .remote_area import RemoteArea

log = logging.getLogger(__name__)

# Names, orientations and colours are Slicer's.
SLICES = {"red": ("Axial", "#F34A33"), "green": ("Coronal", "#6DAD4A"), "yellow": ("Sagittal", "#EFD64D")}
THREE_D = "3d"
NAMES = (*SLICES, THREE_D)
BACKGROUNDS = {"dark": ("#12151a", "#2c323b"), "light": ("#c9d3df", "#f4f7fb")}
FRAMES_PER_S = 30.0
QUALITY = 88  # of the pictures (JPEG); the same in motion and at rest: each change is drawn once


class Views:
    """The views of one scene, each sent to the area of its name. `on_moved(name)` is called when a slice view moves."""

    def __init__(self, app: SlicerApp, server: Any) -> None:
        self.on_moved: Callable[[str], None] = lambda name: None
        self.scene = app.scene
        self.slices = {name: _slice_view(app, name) for name in SLICES}
        self.threed = ThreeDView(scene=app.scene, app_logic=app.app_logic, name="1")
        self.threed.set_view_properties(ViewProps(box_visible=False, background_color=BACKGROUNDS["dark"]))
        self.all = {**self.slices, THREE_D: self.threed}
        self._areas = [_send(view, name, server) for name, view in self.all.items()]
        for name, view in self.slices.items():
            view.get_view_node().AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_, name=name: self.on_moved(name))

    def show(self, volume: Any) -> None:
        """Show a volume in all views, as large as fits."""
        for view in self.slices.values():
            view.set_background_volume_id(volume.GetID())
        self.reset()

    def reset(self) -> None:
        for view in self.all.values():
            view.reset_view()

    def position(self, name: str) -> dict[str, Any]:
        """Where a slice view cuts: offset, lowest, highest and step in mm along its normal, and the offset in words."""
        view = self.slices[name]
        lowest, highest = view.get_slice_range()
        matrix = view.get_view_node().GetSliceToRAS()
        normal = [matrix.GetElement(axis, 2) for axis in range(3)]
        return {
            "offset": view.get_slice_value(),
            "lowest": lowest,
            "highest": highest,
            "step": view.get_slice_step(),
            "text": side(normal, view.get_slice_value()),
        }

    def center(self) -> tuple[float, float, float]:
        """World point (RAS, mm) in which the slices meet."""
        normals, offsets = [], []
        for view in self.slices.values():
            matrix = view.get_view_node().GetSliceToRAS()
            normals.append([matrix.GetElement(axis, 2) for axis in range(3)])
            offsets.append(view.get_slice_value())
        x, y, z = np.linalg.solve(normals, offsets)
        return float(x), float(y), float(z)

    def camera_pose(self) -> tuple[float, ...]:
        """Where the camera of the 3D view stands, what it looks at, and what it holds upwards."""
        camera = self.threed.renderer().GetActiveCamera()
        return (*camera.GetPosition(), *camera.GetFocalPoint(), *camera.GetViewUp())

    def paint(self, theme: str) -> None:
        """Put a "dark" or "light" background behind the 3D view."""
        self.threed.set_view_properties(ViewProps(box_visible=False, background_color=BACKGROUNDS[theme]))
        self.threed.schedule_render()


def side(normal: Sequence[float], offset: float) -> str:
    """An offset (mm) along a normal (RAS) as Slicer writes it: "S 12.0 mm" is towards the head."""
    axis = max(range(3), key=lambda index: abs(normal[index]))
    along = offset if normal[axis] > 0 else -offset
    return f"{('RL', 'AP', 'SI')[axis][along < 0]} {abs(offset):.1f} mm"


def _slice_view(app: SlicerApp, name: str) -> SliceView:
    orientation, color = SLICES[name]
    view = SliceView(scene=app.scene, app_logic=app.app_logic, name=name.title())
    view.set_view_properties(ViewProps(label=name.title(), orientation=orientation, color=color))
    view.renderer().AddViewProp(view._render_manager.image_actor)  # before segments: what comes first is drawn below
    return view


def _send(view: Any, name: str, server: Any) -> RemoteArea:
    """Send what a view shows to the area of this name, and the area's events to the view."""
    view.set_mapped_in_layout(True)
    view.render_window().SetMultiSamples(0)  # without a graphics card, samples cost more than all the rest
    view.renderer().SetUseFXAA(name == THREE_D)
    cursor = f"cursor_{name}"
    server.state.setdefault(cursor, "default")
    window = RcaWindow(view.render_window(), state=server.state, active_view_cursor=cursor)
    scheduler = RcaImageRenderScheduler(
        window,
        interactive_quality=QUALITY,
        still_quality=QUALITY,
        rca_encoder=RcaImageEncoder.TURBO_JPEG,
        target_fps=FRAMES_PER_S,
    )
    area = RemoteArea(window, name, scheduler=scheduler, view=view)
    view.set_scheduled_render(RcaRenderStrategy(scheduler))

    async def register() -> None:
        await server.ready
        server.controller.rc_area_register(area)

    create_task(register())
    return area
