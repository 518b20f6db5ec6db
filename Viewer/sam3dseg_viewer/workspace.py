"""What the page works on: an image, its segments, and the editor that answers clicks. No trame here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sam3dseg.imageio import Image, read_image
from SAM3DSegmentLib.Editor.EditorData import Prompt, Target
from SAM3DSegmentLib.Editor.EditorLogic import EditorLogic
from SAM3DSegmentLib.Editor.InferenceWorker import InferenceWorker

from .reopening import adopt_prompts, read_segmentation
from .saving import FORMATS, save
from .scene_file import copied, reading_scene
from .scene_host import SceneHost
from .segments import SegmentList, SegmentRow
from .status import Status, status_of

NO_IMAGE = "expected an image, none is open: open one first"


class Workspace:
    """One image and its segments in a MRML scene, edited by clicks. Everything is called from the scene's one thread.

    A click is answered on a worker thread; what it answered enters the scene in `poll`. What cannot be done raises
    ValueError (or OSError, for files) in one line, and changes nothing.
    """

    def __init__(
        self,
        scene: Any,
        application_logic: Any | None = None,
        *,
        model: str = "embedded",
        device: str = "auto",
        logic: EditorLogic | None = None,
    ) -> None:
        self._host = SceneHost(scene, application_logic)
        self._logic = logic or EditorLogic(worker=InferenceWorker(grace_s=0.0))  # an event loop waits for no thread
        self._logic.setModel(model, device)
        self._logic.addListener(self._on_event)
        self._model, self._device = model, device
        self._selected = ""
        self._callbacks: list[Callable[[], None]] = []

    # Image

    @property
    def volume(self) -> Any | None:
        """The volume node, or None."""
        return self._host.volume

    @property
    def segmentation(self) -> Any | None:
        """The segmentation node, or None."""
        return self._host.segmentation

    def open_image(self, path: str | os.PathLike[str]) -> None:
        """Read an image file, or a folder of DICOM slices, in place of what is there; one empty segment with it."""
        self.set_image(read_image(path))

    def set_image(self, image: Image) -> None:
        """The same with an image that was read already."""
        self._host.show(image)
        self._selected = self._list.add()
        self._changed()

    def open_segmentation(self, path: str | os.PathLike[str]) -> None:
        """Take the segments of a .seg.nrrd in place of those of this image; their prompts come with them."""
        if self.volume is None:
            raise ValueError(NO_IMAGE)
        segmentation = read_segmentation(self._host.scene, path, self.volume)
        adopt_prompts(segmentation, self.volume, self._model)
        self._host.exchange(segmentation)
        self._changed()

    def open_scene(self, path: str | os.PathLike[str]) -> None:
        """Take image, segments and prompts from a .mrb that `save` or 3D Slicer wrote."""
        with reading_scene(Path(path)) as nodes:
            volume, segmentation = (None if n is None else copied(self._host.scene, n) for n in nodes)
        self._host.adopt(volume, segmentation)
        self._changed()

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write a file of one of `save_formats`, without what is asked and not answered; gives what was written."""
        if self.volume is None:
            raise ValueError(NO_IMAGE)
        return save(Path(path), self.volume, self.segmentation)

    @property
    def save_formats(self) -> Mapping[str, str]:
        """File name endings, and what is in such a file."""
        return FORMATS

    # Segments

    @property
    def segments(self) -> list[SegmentRow]:
        return self._list.rows() if self.segmentation is not None else []

    @property
    def selected(self) -> str:
        """Id of the segment that clicks go to; "" without any."""
        ids = self._list.ids if self.segmentation is not None else []
        if self._selected not in ids:  # undo and redo take segments away and bring them back
            self._selected = ids[-1] if ids else ""
        return self._selected

    def add_segment(self, name: str | None = None) -> str:
        """A new empty segment, which is selected; gives its id. `undo` takes it away."""
        segments = self._list
        self._host.editor.SaveStateForUndo()
        self._selected = segments.add(name)
        self._changed()
        return self._selected

    def select(self, segment_id: str) -> None:
        self._list.segment(segment_id)
        self._selected = segment_id
        self._changed()

    def select_next(self) -> str:
        """The segment after the selected one, or the first; gives its id."""
        ids = self._list.ids
        if ids:
            self.select(ids[(ids.index(self.selected) + 1) % len(ids)])
        return self.selected

    def remove(self, segment_id: str) -> None:
        """Take a segment away; `undo` brings it back."""
        self._list.segment(segment_id)
        self._logic.cancel(lambda target: target.segmentId == segment_id)
        self._host.editor.SaveStateForUndo()
        self._list.remove(segment_id)
        self._changed()

    def rename(self, segment_id: str, name: str) -> None:
        self._list.rename(segment_id, name)
        self._changed()

    def set_visible(self, segment_id: str, is_visible: bool) -> None:
        self._list.set_visible(segment_id, is_visible)
        self._changed()

    # Clicks

    def click(self, ras: Sequence[float], is_foreground: bool = True) -> None:
        """Ask with one more point of the selected segment, in world RAS mm."""
        if self.segmentation is None:
            raise ValueError(NO_IMAGE)
        if not self.selected:
            self._selected = self._list.add()
        self._logic.addClick(self._target(), tuple(ras), is_foreground)

    def undo(self) -> None:
        """Take the last change of a segment back."""
        if self.can_undo:
            self._host.editor.Undo()
            self._changed()

    def redo(self) -> None:
        if self.can_redo:
            self._host.editor.Redo()
            self._changed()

    @property
    def can_undo(self) -> bool:
        return self._host.editor is not None and bool(self._host.editor.CanUndo())

    @property
    def can_redo(self) -> bool:
        return self._host.editor is not None and bool(self._host.editor.CanRedo())

    def cancel(self) -> None:
        """Drop what was asked and not answered."""
        self._logic.cancel()
        self._changed()

    def retry(self) -> None:
        """Ask again what failed."""
        self._logic.retry()
        self._changed()

    def prepare(self, ras: Sequence[float]) -> None:
        """Encode ahead what a first click at a world point needs, when there is nothing else to do."""
        if self.segmentation is not None and self.selected:
            self._logic.prepare(self._target(), tuple(ras))

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The points of the selected segment in world RAS mm, those that are not answered yet included."""
        return self._logic.statusOf(self._target()).prompts if self.selected else ()

    def poll(self) -> bool:
        """Let what is finished enter the scene; True when there was something."""
        return self._logic.poll()

    @property
    def needs_poll(self) -> bool:
        """Whether anything is asked or being encoded ahead."""
        return self._logic.needsPoll

    # State

    @property
    def model(self) -> str:
        return self._model

    def set_model(self, model: str, device: str | None = None) -> None:
        """Answer with another model from the next click on."""
        self._model, self._device = model, device or self._device
        self._logic.setModel(self._model, self._device)
        self._changed()

    @property
    def status(self) -> Status:
        if self.segmentation is None:
            return Status("Open an image.")
        if not self.selected:
            return Status("Click inside a structure.")
        return status_of(self._logic, self._target())

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call this after every change of image, segments, prompts or status."""
        self._callbacks.append(callback)

    def close(self) -> None:
        """Let go of the image and the model; the workspace cannot be used any more."""
        self._callbacks.clear()
        self._logic.close()
        self._host.clear()

    @property
    def _list(self) -> SegmentList:
        if self.segmentation is None:
            raise ValueError(NO_IMAGE)
        return SegmentList(self.segmentation)

    def _target(self) -> Target:
        return self._host.target(self.selected)

    def _on_event(self, event: str, target: Target | None) -> None:
        self._changed()

    def _changed(self) -> None:
        for callback in tuple(self._callbacks):
            callback()
