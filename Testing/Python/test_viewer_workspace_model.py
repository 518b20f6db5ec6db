"""The workspace with the embedded model: its masks are the command line's for the same clicks."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("torch", reason="PyTorch is not installed")

from slicer_host.editing import dice  # noqa: E402
from slicer_host.fixtures import scene  # noqa: E402, F401
from slicer_host.phantom import ORGAN, SPACING_MM, phantom  # noqa: E402
from viewer_workspace import settle, voxels  # noqa: E402

from sam3dseg.cli import main  # noqa: E402
from sam3dseg.imageio import Image, read_image, write_mask  # noqa: E402
from sam3dseg.simulated_user import next_click  # noqa: E402
from sam3dseg_viewer.workspace import Workspace  # noqa: E402

CLICKS = 2


def test_masks_are_the_command_line_s_for_the_same_clicks(scene, tmp_path):
    case = phantom()
    image_file = tmp_path / "phantom.nii.gz"
    levels = np.clip(case.image.astype(float) / 4 + 20, 0, 255).astype(np.uint8)
    direction = case.ijkToRas[:3, :3] / SPACING_MM
    write_mask(image_file, levels, Image(levels, SPACING_MM, direction, case.ijkToRas[:3, 3], "phantom"))
    workspace = Workspace(scene.mrml, scene.applicationLogic, device="cpu")
    workspace.open_image(image_file)
    image, truth = read_image(image_file), case.labels == ORGAN
    mask, words = None, []
    for _ in range(CLICKS):
        click = next_click(truth, mask)
        workspace.click(image.ras_of(click.ijk), click.is_foreground)
        settle(workspace)
        assert workspace.status.error is None
        mask = voxels(workspace)
        words += ["--click", ",".join(map(str, click.ijk)) + ("" if click.is_foreground else "-")]
    workspace.save(tmp_path / "x.seg.nrrd")
    workspace.close()
    for name, asked in (("clicked", words), ("replayed", ["--clicks", str(tmp_path / "x.seg.nrrd")])):
        output = tmp_path / f"{name}.nii.gz"
        assert main(["segment", str(image_file), *asked, "-o", str(output), "--device", "cpu"]) == 0
        assert ((read_image(output).array_ijk > 0) == mask).all()
    assert dice(mask, truth) > 0.5
