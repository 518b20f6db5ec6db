"""The effect at work on a real volume, in four views that look as Slicer's four-up layout does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from slicer_host.effect_chain import EffectChain

VIEW_PX = (520, 460)
BAR_PX, GAP_PX, CAPTION_PX = 20, 2, 30
BARS = {  # colour and letter of the bar above each of Slicer's views
    "red": ((243, 74, 51), "R"),
    "yellow": ((237, 213, 76), "Y"),
    "green": ((110, 176, 75), "G"),
    "threeD": ((116, 125, 190), "1"),
}
COLORS = {"Segment_1": (0.30, 0.66, 0.95), "Segment_2": (0.95, 0.70, 0.25)}
GREY = (0.15, 1.0)  # what the slice views show as black and as white
CAMERA_FROM = (0.62, 0.62, 0.48)  # right, front, above
OPTIONS_PX = 420
PIXELS_TRIED_STEP = 7  # of the voxels that are looked for in the 3D view, every so many
POINTER = ((0, 0), (0, 19), (5, 15), (9, 22), (12, 20), (8, 14), (14, 13))  # x right, y down


class Tour:
    """image: an engine Image; slices centred on `center_ras` show `across_mm` from side to side, the 3D view
    `across_3d_mm`.
    """

    def __init__(
        self,
        image: Any,
        *,
        center_ras: Sequence[float],
        across_mm: float,
        across_3d_mm: float,
        load: Callable[[str, str], Any] | None = None,
    ) -> None:
        self.image, self.center = image, np.asarray(center_ras, dtype=float)
        self.chain = EffectChain(load, volume_ijk=image.array_ijk, ijkToRas=image.ijk_to_ras, segments=tuple(COLORS))
        self.views = self.chain.views
        self._styleNodes()
        for view in self.views.all:
            view.window.SetSize(*VIEW_PX)
        for view in self.views.slices:
            view.logic.ResizeSliceNode(*VIEW_PX)
            self._frame(view, across_mm)
        self._lookFrom(CAMERA_FROM, across_3d_mm)

    def close(self) -> None:
        self.chain.close()

    def click(self, ras: Sequence[float], *, isForeground: bool = True) -> None:
        """Click a world point in the Red view; the other slices go there too."""
        self.goTo(ras)
        red = self.views.red
        red.click(red.xyOf(ras), ctrl=not isForeground)
        self.chain.settle()

    def goTo(self, ras: Sequence[float], *, centred: bool = False) -> None:
        """Move all slices through a world point; without panning them, unless it is to be in their middle."""
        for view in self.views.slices:
            jump = view.node.JumpSliceByCentering if centred else view.node.JumpSliceByOffsetting
            jump(*map(float, ras))

    def mask(self) -> NDArray[np.bool_]:
        return self.chain.mask()

    def quiet(self) -> None:
        """Let what the last click changed fade."""
        self.chain.controller._changes.clear()

    def fourUp(self, *, mouseAt: Sequence[float] | None = None) -> Image.Image:
        """Red and 3D above Green and Yellow, each below its bar; the mouse pointer at a world point, in Red."""
        mouse = None if mouseAt is None else self.views.red.xyOf(mouseAt)
        red, yellow, green, threeD = (self.panel(name, mouse=mouse if name == "red" else None) for name in BARS)
        return beside([below([red, green]), below([threeD, yellow])])

    def panel(self, name: str, *, mouse: Sequence[float] | None = None) -> Image.Image:
        """One view below its bar, which says where the slice lies; with a mouse pointer at a pixel of the view."""
        view = getattr(self.views, name)
        color, letter = BARS[name]
        width, height = VIEW_PX
        panel = Image.new("RGB", (width, height + BAR_PX), color)
        view.renderer.ResetCameraClippingRange()
        panel.paste(Image.fromarray(view.pixels()), (0, BAR_PX))
        draw = ImageDraw.Draw(panel)
        draw.text((8, BAR_PX / 2), letter, fill=(20, 20, 20), font=font(13), anchor="lm")
        if name != "threeD":
            axis, sign = {"red": ("S", 2), "yellow": ("R", 0), "green": ("A", 1)}[name]
            matrix = view.node.GetSliceToRAS()
            where = f"{axis}: {matrix.GetElement(sign, 3):.1f} mm"
            draw.text((width - 8, BAR_PX / 2), where, fill=(20, 20, 20), font=font(13), anchor="rm")
        if mouse is not None:
            x, y = mouse[0], BAR_PX + height - 1 - mouse[1]
            draw.polygon([(x + a, y + b) for a, b in POINTER], fill="white", outline="black", width=2)
        return panel

    def pixelOnSurface(self, ras: Sequence[float], *, wrong: NDArray[np.bool_]) -> tuple[int, int]:
        """The pixel of the 3D view where a voxel of `wrong` (I, J, K) is seen that lies nearest to a world point."""
        from SAM3DSegmentLib.Views.ViewPicking import pickIn3D

        view, depth_mm = self.views.threeD, min(self.image.spacing_mm)
        view.pixels()
        points = self.image.ras_of(np.argwhere(wrong))
        order = np.argsort(np.linalg.norm(points - ras, axis=1))
        for point in points[order[::PIXELS_TRIED_STEP]]:
            pixel = tuple(int(round(v)) for v in view.xyOf(point))
            pick = pickIn3D(view.renderer, pixel, depth_mm=depth_mm)
            if pick is None:
                continue
            ijk = np.round(self.image.ijk_of(pick.ras)).astype(int)
            if wrong[tuple(ijk)]:
                return pixel
        raise ValueError("nothing that is wrong can be seen in the 3D view: move the camera")

    def drawBox(self, corners_ras: NDArray[np.float64]) -> None:
        """What Box and two clicks do: an ROI between two opposite corners (2, 3)."""
        self.chain.controller.onBoxButton()
        roi = self.chain.controller._box.node
        roi.SetXYZ(*corners_ras.mean(axis=0).tolist())
        roi.SetSize(*np.abs(np.diff(corners_ras, axis=0))[0].tolist())
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)

    def optionsPanel(self) -> Image.Image:
        """The effect's options as they are now."""
        from PySide6.QtCore import QBuffer
        from PySide6.QtWidgets import QWidget

        frame = self.chain.scripted.optionsFrame()
        QWidget.setParent(frame, None)
        QWidget.resize(frame, OPTIONS_PX, QWidget.sizeHint(frame).height())
        QWidget.show(frame)
        self.chain.host.run(0.1)
        buffer = QBuffer()
        QWidget.grab(frame).save(buffer, "PNG")
        return Image.open(BytesIO(buffer.data().data())).convert("RGB")

    def _lookFrom(self, direction: Sequence[float], across_mm: float) -> None:
        camera = self.views.threeD.cameraNode.GetCamera()
        far = across_mm / 2 / np.tan(np.radians(camera.GetViewAngle() / 2))
        self.views.threeD.look(self.center, self.center + far * np.asarray(direction) / np.linalg.norm(direction))

    def _frame(self, view: Any, across_mm: float) -> None:
        view.show(self.chain.volume)
        width, height, depth = view.node.GetFieldOfView()
        view.node.SetFieldOfView(across_mm, across_mm * height / width, depth)
        view.node.JumpSliceByCentering(*map(float, self.center))

    def _styleNodes(self) -> None:
        display = self.chain.volume.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(*GREY)
        segmentation = self.chain.segmentation
        for segment, color in COLORS.items():
            segmentation.GetSegmentation().GetSegment(segment).SetColor(color)
        segmentation.CreateClosedSurfaceRepresentation()
        shown = segmentation.GetDisplayNode()
        shown.SetSliceIntersectionThickness(3)
        shown.SetOpacity2DFill(0.25)
        view = self.views.threeD.node
        view.SetBoxVisible(False)
        view.SetAxisLabelsVisible(False)
        view.SetOrientationMarkerType(slicer.vtkMRMLAbstractViewNode.OrientationMarkerTypeNone)


def beside(pictures: Sequence[Image.Image], gap: int = GAP_PX) -> Image.Image:
    """Pictures of one height side by side."""
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    made = Image.new("RGB", (width, max(picture.height for picture in pictures)), (40, 40, 40))
    x = 0
    for picture in pictures:
        made.paste(picture, (x, 0))
        x += picture.width + gap
    return made


def below(pictures: Sequence[Image.Image], gap: int = GAP_PX) -> Image.Image:
    """Pictures of one width, one below the other."""
    height = sum(picture.height for picture in pictures) + gap * (len(pictures) - 1)
    made = Image.new("RGB", (max(picture.width for picture in pictures), height), (40, 40, 40))
    y = 0
    for picture in pictures:
        made.paste(picture, (0, y))
        y += picture.height + gap
    return made


def captioned(pictures: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    """Pictures side by side, each with a line below it."""
    made = []
    for picture, text in zip(pictures, captions, strict=True):
        line = Image.new("RGB", (picture.width, CAPTION_PX), "white")
        ImageDraw.Draw(line).text(
            (picture.width / 2, CAPTION_PX / 2), text, fill=(40, 40, 40), font=font(16), anchor="mm"
        )
        made.append(below([picture, line], gap=0))
    return beside(made)


def font(size: int) -> Any:
    return ImageFont.load_default(size)
