"""A viewer's workspace on two blobs, in a headless scene, with the stand-in for a network."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from slicer_host.editing import PATIENCE_S, twoBlobs

from sam3dseg.imageio import Image
from sam3dseg_viewer.segments import SegmentList
from sam3dseg_viewer.workspace import Workspace
from SAM3DSegmentLib.Editor.EditorLogic import EditorLogic
from SAM3DSegmentLib.Editor.InferenceEngine import InferenceEngine


def image_of_blobs(**changes) -> Image:
    """Two blobs (48, 44, 40) of 1 mm, whose voxel indices are their RAS mm."""
    return replace(Image(twoBlobs(), (1.0, 1.0, 1.0), np.eye(3), np.zeros(3), "blobs"), **changes)


@pytest.fixture
def make_workspace(scene, segmenter):
    """Workspace of an image, of the blobs by default, of none for None; changes go to the image. Closed at the end."""
    made = []

    def make(image=..., *, load=lambda name, device: segmenter, **changes):
        logic = EditorLogic(engine=InferenceEngine(load))
        made.append(Workspace(scene.mrml, scene.applicationLogic, logic=logic))
        if image is not None:
            made[-1].set_image(replace(image_of_blobs() if image is ... else image, **changes))
        return made[-1]

    yield make
    for workspace in made:
        workspace.close()


@pytest.fixture
def workspace(make_workspace):
    return make_workspace()


def settle(workspace: Workspace) -> None:
    """Poll until nothing is left to do."""
    limit = time.monotonic() + PATIENCE_S
    while workspace.needs_poll:
        workspace.poll()
        time.sleep(0.002)
        assert time.monotonic() < limit, "the workspace does not come to rest"


def voxels(workspace: Workspace, segment_id: str | None = None):
    """A segment, the selected one by default, as bool (I, J, K) on the image's grid."""
    return SegmentList(workspace.segmentation).mask(segment_id or workspace.selected, workspace.volume)
