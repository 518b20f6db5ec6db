"""The Segment Editor's own rules hold for clicks in views: editable area, intensity range, overwriting, visibility.

Slicer has no lock on a single segment: what protects one is the editable area, or an overwrite mode that leaves it.
"""

from __future__ import annotations

import importlib
import threading

import numpy as np
import pytest

pytest.importorskip("PySide6")
slicer = pytest.importorskip("slicer")

from slicer_host.fixtures import chain, makeChain  # noqa: E402, F401
from slicer_host.scene import segmentVoxels  # noqa: E402

FIRST, CUT = (14, 20, 18), (14, 20, 13)
SEGMENTS = ("Segment_1", "Segment_2", "Segment_3")


@pytest.fixture
def rules(makeChain):
    """Three segments: the first is clicked, the second cuts through the blob and is visible, the third is hidden."""
    chain = makeChain(segments=SEGMENTS)
    chain.paint((16, 12, 10), (18, 27, 25), segmentId="Segment_2")
    chain.paint((30, 0, 0), (33, 7, 7), segmentId="Segment_3")
    chain.paint((10, 18, 16), (11, 21, 19), segmentId="Segment_3")  # a hidden corner within the blob
    chain.segmentation.GetDisplayNode().SetSegmentVisibility("Segment_3", False)
    return chain


@pytest.fixture(scope="module")
def free():
    """The mask without any rule."""
    from conftest import ThresholdSegmenter
    from slicer_host.effect_chain import EffectChain

    chain = EffectChain(lambda name, device: ThresholdSegmenter())
    chain.press(FIRST)
    mask = chain.mask()
    chain.close()
    return mask


AREAS = {
    "EditAllowedInsideAllSegments": lambda wall, hidden: wall | hidden,
    "EditAllowedInsideVisibleSegments": lambda wall, hidden: wall,
    "EditAllowedOutsideAllSegments": lambda wall, hidden: ~(wall | hidden),
    "EditAllowedOutsideVisibleSegments": lambda wall, hidden: ~wall,
    "EditAllowedInsideSingleSegment": lambda wall, hidden: wall,
}


@pytest.mark.parametrize("mode", AREAS)
def test_the_editable_area_limits_a_click(rules, free, mode):
    rules.editor.node.SetMaskMode(getattr(slicer.vtkMRMLSegmentationNode, mode))
    rules.editor.node.SetMaskSegmentID("Segment_2")
    wall, hidden = rules.mask("Segment_2"), rules.mask("Segment_3")
    rules.press(FIRST)
    assert np.array_equal(rules.mask(), free & AREAS[mode](wall, hidden))
    assert np.array_equal(rules.mask("Segment_2"), wall) and np.array_equal(rules.mask("Segment_3"), hidden)
    assert len(rules.status().prompts) == 1
    rules.undo()
    assert not rules.mask().any() and rules.status().prompts == ()


def test_the_area_is_that_of_the_clicked_segment_whichever_is_selected_when_the_answer_comes(rules, free, segmenter):
    rules.editor.node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)
    gate = threading.Event()
    segmenter.on_encode = gate.wait
    wall, hidden = rules.mask("Segment_2"), rules.mask("Segment_3")
    rules.press(FIRST, waits=False)
    rules.editor.selectSegment("Segment_2")
    gate.set()
    rules.settle()
    assert np.array_equal(rules.mask(), free & ~wall & ~hidden) and np.array_equal(rules.mask("Segment_2"), wall)
    assert rules.status().prompts == () and rules.editor.node.GetSelectedSegmentID() == "Segment_2"


def test_the_intensity_range_limits_a_click(chain):
    values = slicer.util.arrayFromVolume(chain.volume).T
    values[14:28] -= 60 * (values[14:28] > 0)  # half of the blob is darker
    slicer.util.arrayFromVolumeModified(chain.volume)
    chain.editor.node.SetSourceVolumeIntensityMask(True)
    chain.editor.node.SetSourceVolumeIntensityMaskRange(180, 300)
    chain.press((12, 20, 18))
    mask = chain.mask()
    assert mask[12, 20, 18] and mask.sum() > 400 and (values[mask] >= 180).all()
    chain.press((12, 20, 14), ctrl=True)
    assert not chain.mask()[12, 20, 14] and len(chain.status().prompts) == 2


OVERWRITES = {"OverwriteNone": (), "OverwriteVisibleSegments": ("Segment_2",), "OverwriteAllSegments": SEGMENTS[1:]}


@pytest.mark.parametrize("mode", OVERWRITES)
def test_the_overwrite_mode_says_which_neighbours_give_way(rules, free, mode):
    rules.editor.node.SetOverwriteMode(getattr(slicer.vtkMRMLSegmentEditorNode, mode))
    before = {name: rules.mask(name) for name in SEGMENTS}
    rules.press(FIRST)
    assert np.array_equal(rules.mask(), free)
    for name in SEGMENTS[1:]:
        expected = before[name] & ~free if name in OVERWRITES[mode] else before[name]
        assert np.array_equal(rules.mask(name), expected), name
    rules.undo()
    for name in SEGMENTS:
        assert np.array_equal(rules.mask(name), before[name]), name
    rules.redo()
    assert np.array_equal(rules.mask(), free) and len(rules.status().prompts) == 1


def test_a_neighbour_that_is_protected_keeps_its_voxels_while_others_are_overwritten(rules, free):
    rules.editor.node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteAllSegments)
    rules.editor.node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedOutsideVisibleSegments)
    wall, hidden = rules.mask("Segment_2"), rules.mask("Segment_3")
    rules.press(FIRST)
    assert np.array_equal(rules.mask("Segment_2"), wall) and np.array_equal(rules.mask(), free & ~wall)
    assert np.array_equal(rules.mask("Segment_3"), hidden & ~free)


PORT_RULES = [
    ("OverwriteNone", "EditAllowedEverywhere", False),
    ("OverwriteVisibleSegments", "EditAllowedEverywhere", False),
    ("OverwriteAllSegments", "EditAllowedEverywhere", True),
    ("OverwriteAllSegments", "EditAllowedInsideSingleSegment", False),
    ("OverwriteVisibleSegments", "EditAllowedOutsideVisibleSegments", True),
    ("OverwriteNone", "EditAllowedInsideAllSegments", False),
]


@pytest.mark.parametrize(("overwrite", "area", "inRange"), PORT_RULES)
def test_both_ports_write_the_same_voxels(rules, overwrite, area, inRange):
    """The same clicks through the effect, and without it through the logic in another editor."""
    other, editor = twin(rules)
    for parameters in (rules.editor.node, editor.GetSegmentEditorNode()):
        parameters.SetOverwriteMode(getattr(slicer.vtkMRMLSegmentEditorNode, overwrite))
        parameters.SetMaskMode(getattr(slicer.vtkMRMLSegmentationNode, area))
        parameters.SetMaskSegmentID("Segment_2")
        parameters.SetSourceVolumeIntensityMask(inRange)
        parameters.SetSourceVolumeIntensityMaskRange(100, 210)
    ports = importlib.import_module("SAM3DSegmentLib.Editor.EditPorts")
    for ijk, isForeground in ((FIRST, True), (CUT, False)):
        rules.press(ijk, ctrl=not isForeground)
        port = ports.LogicPort(editor, other, "Segment_1")
        rules.logic.addClick(rules.data.Target(rules.volume, other, "Segment_1", port), rules.ras(ijk), isForeground)
        rules.settle()
        for name in SEGMENTS:
            theirs = segmentVoxels(other, name, rules.volume)
            assert np.array_equal(rules.mask(name), theirs), name
    assert rules.mask().any()
    rules.undo()
    editor.Undo()
    assert np.array_equal(rules.mask(), segmentVoxels(other, "Segment_1", rules.volume))


def twin(chain):
    """A copy of the chain's segmentation in an editor without Qt."""
    other = chain.scene.addSegmentation(chain.volume, segments=(), name="Twin")
    other.GetSegmentation().DeepCopy(chain.segmentation.GetSegmentation())
    other.GetDisplayNode().SetSegmentVisibility("Segment_3", False)
    return other, chain.scene.addEditor(other, chain.volume)


def test_two_editors_on_two_segmentations_keep_apart(makeChain):
    """Each hears its own view; the requests run one after the other on the one worker."""
    chain = makeChain()
    other = chain.scene.addSegmentation(chain.volume, name="Other")
    second = chain.addEditor(other, views=[chain.views.yellow])
    chain.deactivate()
    chain.editor.views = [view for view in chain.editor.views if view.view is chain.views.red]
    chain.activate()
    chain.activate(second)
    chain.press(FIRST, view=chain.views.red, waits=False)
    chain.press((34, 24, 22), view=chain.views.yellow)
    theirs = chain.mask(segmentation=other)
    assert chain.mask()[FIRST] and not chain.mask()[34, 24, 22]
    assert theirs[34, 24, 22] and not theirs[FIRST]
    assert len(chain.status().prompts) == len(chain.status(second).prompts) == 1
    second.undo()
    chain.host.run(0.02)
    assert chain.mask()[FIRST] and len(chain.status().prompts) == 1 and chain.status(second).prompts == ()
    second.redo()
    chain.host.run(0.02)
    assert np.array_equal(chain.mask(segmentation=other), theirs)


def test_two_editors_on_one_segment_see_each_others_clicks(makeChain):
    chain = makeChain()
    second = chain.addEditor(views=[])
    chain.activate(second)
    chain.press(FIRST)
    mine, theirs = chain.options, second.effects["SAM3DSegment"].self().options
    assert len(chain.status(second).prompts) == 1
    assert mine.stepLabel.text == theirs.stepLabel.text == "1 / 1"
    chain.controllerOf(second).addClick(chain.ras(CUT), isOtherSign=True)
    chain.settle()
    assert not chain.mask()[CUT] and mine.stepLabel.text == theirs.stepLabel.text == "2 / 2"


def test_closing_one_editor_leaves_the_requests_of_the_other_alone(makeChain, segmenter):
    gate = threading.Event()
    segmenter.on_encode = gate.wait
    chain = makeChain()
    other = chain.scene.addSegmentation(chain.volume, name="Other")
    second = chain.addEditor(other, views=[])
    chain.activate(second)
    chain.press(FIRST, waits=False)
    chain.controllerOf(second).addClick(chain.ras((34, 24, 22)), isOtherSign=False)
    second.close()
    gate.set()
    chain.settle()
    assert chain.mask()[FIRST] and not chain.mask(segmentation=other).any()
    assert chain.options.errorLabel.text == ""
