"""Runs inside Slicer through ctest: the module is registered, its page opens and its own test passes."""

from __future__ import annotations

import unittest

import slicer


class SAM3DSegmentSelfTest(unittest.TestCase):
    def test_module_is_registered(self) -> None:
        self.assertTrue(hasattr(slicer.modules, "sam3dsegment"))

    def test_page_names_the_engine(self) -> None:
        import sam3dseg

        page = slicer.modules.sam3dsegment.widgetRepresentation().self()
        self.assertIn(sam3dseg.__version__, page.engineLabel.text)

    def test_own_test_passes(self) -> None:
        from SAM3DSegment import SAM3DSegmentTest

        SAM3DSegmentTest().runTest()
