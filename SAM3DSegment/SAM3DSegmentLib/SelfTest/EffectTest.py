"""What the effect does inside Slicer. Without PyTorch, what needs a mask is skipped."""

from __future__ import annotations

import os
import tempfile
import unittest
from importlib.util import find_spec

import numpy as np
import slicer
from numpy.typing import NDArray

from ..Setup.SampleCase import SHAPE, SPACING_MM, insideOf, organ
from .EffectStage import NAME, EffectStage

LIVER = organ("liver")
OUTSIDE = (0.0, 0.0, 1000.0)  # far above the volume
HAS_TORCH = bool(find_spec("torch") and find_spec("safetensors"))
NO_TORCH = "PyTorch is not installed in this Slicer: masks are not tested; install it on the page of the module"


class StageTest(unittest.TestCase):
    """A fresh stage for every test."""

    def setUp(self) -> None:
        self.stage = EffectStage()
        self.addCleanup(lambda: self.stage.close())

    def reopened(self) -> EffectStage:
        """Save the scene, close all, and open it again."""
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "scene.mrb")
            self.stage.save(file)
            self.stage.close()
            self.stage = EffectStage(file)
        return self.stage


class EffectTest(StageTest):
    """Needs no PyTorch."""

    def test_theEffectIsActive(self) -> None:
        self.assertEqual(self.stage.editor.activeEffect().name, NAME)
        self.assertIn("Left click", self.stage.effect.helpText())

    def test_refusalsAreOneLine(self) -> None:
        stage = self.stage
        stage.click(LIVER.centre, ctrl=True)
        self.assertIn("click inside the structure first", stage.options.errorLabel.text)
        stage.click(OUTSIDE)
        self.assertIn("outside", stage.options.errorLabel.text)
        self.assertFalse(stage.logic.isBusy)

    def test_theOptionsAreKeptInTheScene(self) -> None:
        stage = self.stage
        hint = not stage.options.hintBox.checked
        stage.options.outsideButton.click()
        stage.options.hintBox.click()
        self.addCleanup(lambda: self.stage.options.hintBox.click())  # a habit of the user, kept in the settings
        self.assertEqual(stage.parameters.GetAttribute(f"{NAME}.Sign"), "background")
        stage = self.reopened()
        self.assertEqual(stage.parameters.GetAttribute(f"{NAME}.ShowHint"), str(int(hint)))
        self.assertEqual(stage.options.hintBox.checked, hint)
        self.assertTrue(stage.options.outsideButton.checked)

    def test_leavingTheEffectLeavesNothingInTheScene(self) -> None:
        stage = self.stage
        stage.options.boxButton.click()
        self.assertIn("SAM 3D box", _names())
        stage.deactivate()
        self.assertEqual([name for name in _names() if name.startswith("SAM 3D")], [])

    @unittest.skipIf(HAS_TORCH, "PyTorch is installed in this Slicer")
    def test_missingPyTorchIsSaidAndOffered(self) -> None:
        stage = self.stage
        self.assertTrue(stage.click(LIVER.centre))
        stage.wait()
        self.assertIn("PyTorch", stage.options.errorLabel.text)
        self.assertFalse(stage.options.torchButton.isHidden())
        self.assertFalse(stage.mask.any())


@unittest.skipUnless(HAS_TORCH, NO_TORCH)
class MaskTest(StageTest):
    """Clicks with the embedded model."""

    def setUp(self) -> None:
        super().setUp()
        self.assertTrue(self.stage.click(LIVER.centre))
        self.stage.wait()
        self.assertEqual(self.stage.options.errorLabel.text, "")

    def test_aClickSegments(self) -> None:
        mask, reference = self.stage.mask, insideOf(LIVER)
        overlap = 2 * (mask & reference).sum() / (mask.sum() + reference.sum())
        self.assertGreater(overlap, 0.7)
        self.assertIn("IoU", self.stage.options.statusLabel.text)

    def test_aBackgroundClickCutsAndUndoTakesItBack(self) -> None:
        stage, first = self.stage, self.stage.mask
        rim = _rimOf(first)
        self.assertTrue(stage.click(rim, ctrl=True))
        stage.wait()
        second = stage.mask
        self.assertFalse(stage.isInMask(rim))
        self.assertEqual([prompt.isForeground for prompt in stage.status.prompts], [True, False])
        stage.editor.undo()
        self.expect(first, prompts=1)
        stage.editor.undo()
        self.expect(np.zeros_like(first), prompts=0)
        stage.editor.redo()
        self.expect(first, prompts=1)
        stage.editor.redo()
        self.expect(second, prompts=2)

    def test_theSliderStepsThroughTheHistory(self) -> None:
        stage, mask = self.stage, self.stage.mask
        self.assertEqual(stage.options.stepSlider.value, stage.options.stepSlider.maximum)
        stage.options.stepSlider.setValue(0)
        stage.wait()
        self.assertFalse(stage.mask.any())
        stage.options.stepSlider.setValue(stage.options.stepSlider.maximum)
        stage.wait()
        self.assertTrue(np.array_equal(stage.mask, mask))

    def test_pointsAndMaskAreSavedWithTheScene(self) -> None:
        mask, (prompt,) = self.stage.mask, self.stage.status.prompts
        stage = self.reopened()
        self.assertTrue(np.array_equal(stage.mask, mask))
        (kept,) = stage.status.prompts
        self.assertTrue(np.allclose(kept.ras, prompt.ras, atol=0.01))
        stage.options.replayButton.click()
        stage.wait()
        self.assertTrue(np.array_equal(stage.mask, mask))

    def test_nothingFollowsClicksAfterTheEffectIsLeft(self) -> None:
        stage, mask = self.stage, self.stage.mask
        self.assertIn("SAM 3D prompts", _names())
        stage.deactivate()
        self.assertNotIn("SAM 3D prompts", _names())
        slicer.app.processEvents()
        self.assertTrue(np.array_equal(stage.mask, mask))

    def expect(self, mask: NDArray[np.bool_], *, prompts: int) -> None:
        """The segment and the points become these."""
        self.stage.wait(lambda: len(self.stage.status.prompts) == prompts)
        self.assertTrue(np.array_equal(self.stage.mask, mask))


def _names() -> list[str]:
    scene = slicer.mrmlScene
    return [scene.GetNthNode(n).GetName() or "" for n in range(scene.GetNumberOfNodes())]


def _rimOf(mask: NDArray[np.bool_]) -> tuple[float, ...]:
    """World point of a voxel of the mask far from the liver's middle, where a user may find too much."""
    voxels = np.argwhere(mask)
    ras = (voxels - (np.array(SHAPE) - 1) / 2) * SPACING_MM
    distance = np.linalg.norm((ras - LIVER.centre) / LIVER.radii, axis=1)
    return tuple(float(value) for value in ras[np.argmax(distance)])
