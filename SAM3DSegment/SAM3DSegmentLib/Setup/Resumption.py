"""Going on after a restart that an installation asked for. Does nothing at any other start."""

from __future__ import annotations

import logging
from typing import Any

import slicer

from .SampleCase import openInEditor
from .TorchSetup import EFFECT, Resume, TorchSetup

log = logging.getLogger(__name__)

NAME = "SAM3DSegment"  # of the module and of its effect


def resumeAfterRestart(setup: TorchSetup | None = None) -> Resume | None:
    """Open the place that was kept, load its files, and offer the next step of the installation.

    Gives what was resumed, None when there was nothing or there is no window to show it in.
    """
    setup = setup or TorchSetup(slicer)
    point = setup.takeResume()
    if point is None or slicer.util.mainWindow() is None:
        return None
    volume = _load(point.files)
    if point.place == EFFECT:
        if volume is not None:
            openInEditor(slicer, volume, NAME)
        else:
            slicer.util.selectModule("SegmentEditor")
        if setup.missing:
            setup.offer(point)
    else:
        slicer.util.selectModule(NAME)
        slicer.util.getModuleWidget(NAME).page.resume(point)
    return point


def _load(files: tuple[str, ...]) -> Any | None:
    """The last volume that could be loaded."""
    volume = None
    for path in files:
        try:
            volume = slicer.util.loadVolume(path)
        except RuntimeError as error:
            log.warning("%s could not be loaded again: %s", path, error)
    return volume
