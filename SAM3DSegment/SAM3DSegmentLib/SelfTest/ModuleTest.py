"""The module itself inside Slicer: its entry, its engine and its page."""

from __future__ import annotations

import unittest
from pathlib import Path

import slicer

import sam3dseg

from .EffectStage import NAME, ensureRegistered


class ModuleTest(unittest.TestCase):
    def test_theModuleIsLoaded(self) -> None:
        self.assertTrue(hasattr(slicer.modules, NAME.lower()))

    def test_theEngineIsBesideTheModule(self) -> None:
        self.assertEqual(Path(sam3dseg.__file__).parents[1], Path(__file__).parents[2])

    def test_theEffectIsRegisteredOnce(self) -> None:
        ensureRegistered()
        ensureRegistered()
        effects = slicer.qSlicerSegmentEditorEffectFactory.instance().registeredEffects()
        self.assertEqual([effect.name for effect in effects].count(NAME), 1)

    def test_thePageNamesTheEngine(self) -> None:
        widget = slicer.modules.sam3dsegment.widgetRepresentation().self()
        self.assertIn(sam3dseg.__version__, widget.page.engineLabel.text)
        for title in ("models", "training", "about", "start"):
            widget.page.show(title)
            slicer.app.processEvents()
