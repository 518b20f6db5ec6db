"""The whole chain with the embedded model: clicks on a made-up volume, and on real ones where there are any."""

from __future__ import annotations

import importlib
from functools import cache

import numpy as np
import pytest

pytest.importorskip("PySide6")
pytest.importorskip("slicer")
pytest.importorskip("torch")

from PySide6 import QtCore  # noqa: E402
from slicer_host.editing import dice  # noqa: E402
from slicer_host.fixtures import makeChain  # noqa: E402, F401
from slicer_host.phantom import LUMP, ORGAN, phantom  # noqa: E402

from sam3dseg.imageio import read_image  # noqa: E402
from sam3dseg.session import Session  # noqa: E402
from sam3dseg.simulated_user import next_click  # noqa: E402

MR = "hippocampus_001.nii.gz"


@cache
def embedded():
    """The embedded model, loaded once."""
    from sam3dseg.segmenter import load_segmenter

    return load_segmenter("embedded", device="cpu")


def load(name, device):
    return embedded()


def clickThrough(chain, truth, clicks):
    """Clicks where the mask is most wrong, in the slice views in turn; after each the segment is what the engine says.

    Gives Dice after each.
    """
    volume = chain.volume
    geometry = importlib.import_module("SAM3DSegmentLib.Editor.SourceGeometry").SourceGeometry(volume)
    session = Session(embedded())
    session.set_image(geometry.voxels(), spacing_mm=geometry.spacing_mm, direction=geometry.direction)
    scores, mask = [], None
    for number in range(clicks):
        click = next_click(truth, mask)
        chain.press(click.ijk, view=chain.views.slices[number % 3], ctrl=not click.is_foreground)
        assert chain.options.errorLabel.text == ""
        mask = chain.mask()
        session.add(click)
        assert np.array_equal(mask, session.mask)
        scores.append(dice(mask, truth))
    return scores


@pytest.fixture
def made(makeChain):
    """A made-up volume in four views, its first structure's truth, and its second's."""
    case = phantom()
    return makeChain(load, volume_ijk=case.image, ijkToRas=case.ijkToRas), case.labels == ORGAN, case.labels == LUMP


def test_two_structures_of_a_made_up_volume(made):
    chain, organ, lump = made
    assert clickThrough(chain, organ, 2)[-1] > 0.8
    before = chain.mask()
    chain.controller.acceptSegment()
    chain.press(next_click(lump).ijk)
    assert dice(chain.mask("Segment_2"), lump) > 0.7 and np.array_equal(chain.mask(), before)
    assert chain.options.statusLabel.text.startswith("Predicted IoU") and "CPU" in chain.options.statusLabel.text
    chain.undo()  # of the second segment's click
    assert not chain.mask("Segment_2").any()
    chain.undo()
    chain.editor.selectSegment("Segment_1")
    assert len(chain.status().prompts) == 1
    chain.redo()
    assert np.array_equal(chain.mask(), before) and len(chain.status().prompts) == 2


def test_a_scene_replayed_by_the_shared_logic_gives_the_same_mask(made, makeChain, tmp_path):
    """Loaded from the weights that come with the software, in an editor that nothing was put into."""
    chain, organ, _ = made
    ticks, beats = [], QtCore.QTimer()
    beats.timeout.connect(lambda: ticks.append(chain.logic.isBusy))
    beats.start(20)
    chain.press(next_click(organ).ijk)
    beats.stop()
    assert sum(ticks) >= 5  # the window lived on
    mask = chain.mask()
    chain.scene.save(tmp_path / "case.mrb")
    chain.close()
    again = makeChain(load=None, sceneFile=tmp_path / "case.mrb")
    again.deactivate()
    again.editor = again.addEditor(parameters=again.editor.node)
    again.logic = importlib.import_module("SAM3DSegmentLib.Editor.EditorLogic").sharedLogic()
    again.activate()
    assert len(again.status().prompts) == 1
    again.options.replayButton.click()
    again.settle()
    assert again.options.errorLabel.text == "" and np.array_equal(again.mask(), mask)


def test_clicks_on_the_surface_in_3d(made):
    chain, organ, _ = made
    chain.segmentation.CreateClosedSurfaceRepresentation()
    chain.press(next_click(organ).ijk)
    before, view = chain.mask(), chain.views.threeD
    view.window.Render()
    x, y = view.xyOf(chain.ras(next_click(organ).ijk))
    view.click((x + 25, y), ctrl=True)
    chain.settle()
    assert [prompt.isForeground for prompt in chain.status().prompts] == [True, False]
    assert chain.options.errorLabel.text == "" and not np.array_equal(chain.mask(), before)
    assert (before & ~chain.mask()).any()


REAL = {
    "CT, liver": ("total_ct/image.nii.gz", "total_ct/labels.nii.gz", {5}),
    "MR, hippocampus": (f"hippocampus/imagesTr/{MR}", f"hippocampus/labelsTr/{MR}", {1, 2}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_structures_of_real_volumes(makeChain, shared_dir, name):
    file, labels, chosen = REAL[name]
    image = read_image(shared_dir / "data" / file)
    truth = np.isin(read_image(shared_dir / "data" / labels).array_ijk, list(chosen))
    chain = makeChain(load, volume_ijk=image.array_ijk, ijkToRas=image.ijk_to_ras)
    assert max(clickThrough(chain, truth, 3)) > 0.5


def test_an_adapter_from_training_answers_the_clicks(makeChain, tmp_path):
    from sam3dseg.adapters import save_adapter
    from sam3dseg.prompts import Click
    from sam3dseg.segmenter import load_segmenter, load_weights

    base, path = load_weights("embedded"), tmp_path / "mine.safetensors"
    changed = {"mask_decoder.shortcut.weight": 0.5 * base.weights["mask_decoder.shortcut.weight"]}
    save_adapter(path, base=base, base_name="embedded", tensors=changed, rank=2, alpha=2.0, provenance={})
    case = phantom()
    chain = makeChain(None, volume_ijk=case.image, ijkToRas=case.ijkToRas)  # real models are loaded
    chain.logic.setModel(str(path), "cpu")
    click = next_click(case.labels == ORGAN)
    chain.press(click.ijk)
    assert chain.options.errorLabel.text == ""
    geometry = importlib.import_module("SAM3DSegmentLib.Editor.SourceGeometry").SourceGeometry(chain.volume)
    masks = []
    for segmenter in (load_segmenter(path, device="cpu"), embedded()):
        session = Session(segmenter)
        session.set_image(geometry.voxels(), spacing_mm=geometry.spacing_mm, direction=geometry.direction)
        masks.append(session.add(Click(click.ijk)))
    assert np.array_equal(chain.mask(), masks[0]) and not np.array_equal(*masks)
