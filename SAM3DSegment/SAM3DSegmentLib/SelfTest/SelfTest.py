"""All of the module's tests as one call, for "Reload and Test"."""

from __future__ import annotations

import unittest
from collections.abc import Callable

from .EffectTest import EffectTest, MaskTest
from .ModuleTest import ModuleTest
from .PrecisionTest import PrecisionTest

CASES = (ModuleTest, EffectTest, MaskTest, PrecisionTest)


def runSelfTest(show: Callable[[str], object]) -> None:
    """Run every test; show(text) says what was left out and why, and the precision that the model will work in.

    Raises AssertionError naming those that failed.
    """
    PrecisionTest.found = ""
    loader = unittest.defaultTestLoader
    suite = unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in CASES)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    for reason in sorted({reason for _, reason in result.skipped}):
        show(f"Skipped: {reason}")
    failed = [str(test) for test, _ in (*result.failures, *result.errors)]
    if failed:
        raise AssertionError(f"{len(failed)} of {result.testsRun} tests failed: {'; '.join(failed)}")
    if PrecisionTest.found:
        show(PrecisionTest.found)
    show(f"Passed: {result.testsRun - len(result.skipped)} tests of SAM 3D Segment")
