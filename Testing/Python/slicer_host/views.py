"""Off-screen slice and 3D views with Slicer's own displayable managers, navigation and mouse events.

Pixels (x, y) count from the lower left corner of a view, as VTK's do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from slicer_host.rendering import skipWithoutRendering
from slicer_host.scene import Scene

SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",  # carries the navigation of slice views
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
)
THREE_D_MANAGERS = (
    "vtkMRMLVolumeRenderingDisplayableManager",
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
)
Pixel = Sequence[float]


class View:
    """A window off screen: what a slice view and a 3D view have in common, and their mouse and keys."""

    def __init__(self, scene: Scene, *, size: tuple[int, int]) -> None:
        self.scene = scene
        self.node: Any = None
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetSize(*size)
        self.renderer = vtk.vtkRenderer()
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkGenericRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self.interactor.Initialize()
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.SetRenderer(self.renderer)

    def _connect(self, factoryClass: Any, managers: Sequence[str], style: Any) -> None:
        factory = factoryClass.GetInstance()
        factory.SetMRMLApplicationLogic(self.scene.applicationLogic)
        for name in managers:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self.group.Initialize(factory, self.renderer)
        self.group.SetMRMLDisplayableNode(self.node)
        self.style = style
        self.style.SetInteractor(self.interactor)
        self.style.SetDisplayableManagers(self.group)

    def close(self) -> None:
        """Let go of the scene and of the graphics memory."""
        self.style.SetInteractor(None)
        self.group.SetMRMLDisplayableNode(None)
        self.interactor.SetRenderWindow(None)
        self.window.Finalize()

    @property
    def size(self) -> tuple[int, int]:
        return self.window.GetSize()

    def move(self, xy: Pixel, *, ctrl: bool = False, shift: bool = False) -> None:
        self._at(xy, ctrl, shift)
        self.interactor.MouseMoveEvent()

    def press(self, xy: Pixel, *, button: str = "Left", ctrl: bool = False, shift: bool = False) -> None:
        self._at(xy, ctrl, shift)
        getattr(self.interactor, f"{button}ButtonPressEvent")()

    def release(self, xy: Pixel, *, button: str = "Left", ctrl: bool = False, shift: bool = False) -> None:
        self._at(xy, ctrl, shift)
        getattr(self.interactor, f"{button}ButtonReleaseEvent")()

    def click(self, xy: Pixel, **how: Any) -> None:
        """Move there, press and release."""
        self.drag(xy, xy, steps=0, **how)

    def drag(
        self,
        start: Pixel,
        end: Pixel,
        *,
        steps: int = 4,
        button: str = "Left",
        ctrl: bool = False,
        shift: bool = False,
    ) -> None:
        """Move to start, press, move to end in some steps, and release."""
        keys = {"ctrl": ctrl, "shift": shift}
        self.move(start, **keys)
        self.press(start, button=button, **keys)
        for part in np.linspace(0, 1, steps + 1)[1:]:
            self.move(np.add(start, part * np.subtract(end, start)), **keys)
        self.release(end, button=button, **keys)

    def wheel(self, xy: Pixel, *, forward: bool = True, ctrl: bool = False) -> None:
        self._at(xy, ctrl, False)
        self.interactor.InvokeEvent("MouseWheelForwardEvent" if forward else "MouseWheelBackwardEvent")

    def key(self, symbol: str, xy: Pixel, *, ctrl: bool = False, shift: bool = False) -> None:
        """Press and release a key, named by VTK's key symbol such as "Delete", with the mouse at xy."""
        code = {"Delete": "\x7f", "Escape": "\x1b", "space": " "}.get(symbol, symbol[0])
        x, y = np.round(xy).astype(int).tolist()
        self.interactor.SetEventInformation(x, y, int(ctrl), int(shift), code, 1, symbol)
        for event in "KeyPressEvent", "CharEvent", "KeyReleaseEvent":
            self.interactor.InvokeEvent(event)

    def pixels(self) -> NDArray[np.uint8]:
        """(rows, columns, 3) RGB, top row first, rendered now."""
        self.window.Render()
        width, height = self.size
        values = vtk.vtkUnsignedCharArray()
        self.window.GetPixelData(0, 0, width - 1, height - 1, 0, values, 0)
        return np.flipud(vtk_to_numpy(values).reshape(height, width, 3)).copy()

    def screenshot(self, path: Path | str) -> NDArray[np.uint8]:
        """Save `pixels` as PNG, and return them."""
        from PIL import Image

        pixels = self.pixels()
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return pixels

    def _at(self, xy: Pixel, ctrl: bool, shift: bool) -> None:
        x, y = np.round(xy).astype(int).tolist()
        self.interactor.SetEventInformation(x, y, int(ctrl), int(shift), "\0", 0, None)


class SliceView(View):
    """A slice view: its node, its logic, and the image under everything else."""

    def __init__(
        self, scene: Scene, name: str = "Red", *, orientation: str = "Axial", size: tuple[int, int] = (300, 300)
    ) -> None:
        super().__init__(scene, size=size)
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(scene.applicationLogic)
        scene.applicationLogic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(scene.mrml)
        self.node = self.logic.AddSliceNode(name)
        self.node.SetMappedInLayout(1)
        self.node.SetOrientation(orientation)
        self.logic.ResizeSliceNode(*size)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self._addImage()
        style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._connect(slicer.vtkMRMLSliceViewDisplayableManagerFactory, SLICE_MANAGERS, style)
        style.SetSliceLogic(self.logic)

    def _addImage(self) -> None:
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(self._mapper)
        self._image.GetProperty().SetDisplayLocationToBackground()
        self._image.VisibilityOff()
        self.renderer.AddViewProp(self._image)

    def show(self, volumeNode: Any | None) -> None:
        """Show a volume in the whole view."""
        composite = self.logic.GetSliceCompositeNode()
        composite.SetBackgroundVolumeID(volumeNode.GetID() if volumeNode else None)
        if volumeNode is not None:
            self.logic.FitSliceToBackground()
            self.logic.SnapSliceOffsetToIJK()
        self._connectImage()

    def _connectImage(self) -> None:
        connection = self.logic.GetImageDataConnection()
        self._image.SetVisibility(connection is not None)
        self._mapper.SetInputConnection(connection)

    def pixels(self) -> NDArray[np.uint8]:
        self._connectImage()  # the logic makes a new pipeline when its volume appears or goes
        return super().pixels()

    def xyOf(self, ras: Sequence[float]) -> tuple[float, float]:
        """Pixel at which a world point lies, projected onto the slice."""
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), inverse)
        return inverse.MultiplyPoint((*ras, 1.0))[:2]

    def zoom(self, factor: float) -> None:
        """Enlarge what is shown by this factor, about the view's centre."""
        width, height, depth = self.node.GetFieldOfView()
        self.node.SetFieldOfView(width / factor, height / factor, depth)

    def pan(self, right_mm: float, up_mm: float) -> None:
        x, y, z = self.node.GetXYZOrigin()
        self.node.SetXYZOrigin(x + right_mm, y + up_mm, z)


class ThreeDView(View):
    """A 3D view with its view and camera nodes."""

    def __init__(self, scene: Scene, name: str = "1", *, size: tuple[int, int] = (300, 300)) -> None:
        super().__init__(scene, size=size)
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(scene.applicationLogic)
        scene.applicationLogic.GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(scene.mrml)
        self.node = self.logic.AddViewNode(name)
        self.node.SetMappedInLayout(1)
        style = slicer.vtkMRMLThreeDViewInteractorStyle()
        self._connect(slicer.vtkMRMLThreeDViewDisplayableManagerFactory, THREE_D_MANAGERS, style)
        self.cameraNode = self.group.GetDisplayableManagerByClassName("vtkMRMLCameraDisplayableManager").GetCameraNode()
        style.SetCameraNode(self.cameraNode)

    def look(
        self, focalPoint: Sequence[float], position: Sequence[float], viewUp: Sequence[float] = (0.0, 0.0, 1.0)
    ) -> None:
        """Place the camera, all in world RAS, mm."""
        self.cameraNode.SetFocalPoint(focalPoint)
        self.cameraNode.SetPosition(position)
        self.cameraNode.SetViewUp(viewUp)
        self.renderer.ResetCameraClippingRange()
        self.window.Render()

    def xyOf(self, ras: Sequence[float]) -> tuple[float, float]:
        """Pixel at which a world point is seen."""
        self.renderer.SetWorldPoint(*ras, 1.0)
        self.renderer.WorldToDisplay()
        return self.renderer.GetDisplayPoint()[:2]


class Views:
    """Red, Yellow, Green and a 3D view on one scene, as in the four-up layout; skips the test without rendering."""

    def __init__(self, scene: Scene, *, size: tuple[int, int] = (300, 300)) -> None:
        skipWithoutRendering()
        self.scene = scene
        logic = scene.applicationLogic
        logic.SetSliceLogics(vtk.vtkCollection())
        logic.SetViewLogics(vtk.vtkCollection())
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene.mrml, True)
        self.red = SliceView(scene, "Red", orientation="Axial", size=size)
        self.yellow = SliceView(scene, "Yellow", orientation="Sagittal", size=size)
        self.green = SliceView(scene, "Green", orientation="Coronal", size=size)
        self.threeD = ThreeDView(scene, size=size)

    @property
    def slices(self) -> tuple[SliceView, SliceView, SliceView]:
        return self.red, self.yellow, self.green

    @property
    def all(self) -> tuple[View, ...]:
        return *self.slices, self.threeD

    def show(self, volumeNode: Any, *, at: Sequence[float] | None = None) -> None:
        """Show a volume in the slice views, through a world point, and stand the 3D camera in front of it."""
        bounds = [0.0] * 6
        volumeNode.GetRASBounds(bounds)
        lower, upper = np.array(bounds[::2]), np.array(bounds[1::2])
        center = (lower + upper) / 2
        for view in self.slices:
            view.show(volumeNode)
            view.node.JumpSlice(*(center if at is None else at))
        self.threeD.look(center, center + (0, 2.5 * np.linalg.norm(upper - lower), 0))

    def mosaic(self, path: Path | str | None = None) -> NDArray[np.uint8]:
        """Red and 3D above Green and Yellow as one picture (rows, columns, 3), saved as PNG where a path is given."""
        from PIL import Image

        red, yellow, green, threeD = (view.pixels() for view in self.all)
        picture = np.vstack([np.hstack([red, threeD]), np.hstack([green, yellow])])
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
        return picture

    def close(self) -> None:
        """Before the scene is closed."""
        for view in self.all:
            view.close()
        self.scene.applicationLogic.GetSliceLogics().RemoveAllItems()
        self.scene.applicationLogic.GetViewLogics().RemoveAllItems()
