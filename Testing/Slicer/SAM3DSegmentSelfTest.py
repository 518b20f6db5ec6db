"""Runs inside Slicer through ctest, without network and GPU: the tests are part of the module.

Slicer --testing --no-splash --no-main-window --additional-module-path <build>/lib/Slicer-5.12/qt-scripted-modules
       --python-code "import slicer.testing; slicer.testing.runUnitTest(['<this folder>'], 'SAM3DSegmentSelfTest')"
"""

from SAM3DSegmentLib.SelfTest.EffectTest import EffectTest, MaskTest
from SAM3DSegmentLib.SelfTest.ModuleTest import ModuleTest

__all__ = ["EffectTest", "MaskTest", "ModuleTest"]
