"""The embedded model in fewer bits, compared with itself on this computer; the finding is kept for later starts."""

from __future__ import annotations

import time
import unittest
from concurrent.futures import ThreadPoolExecutor

import slicer

from .EffectTest import HAS_TORCH, NO_TORCH

EVENTS_S = 0.01  # between two turns of Slicer's own events


@unittest.skipUnless(HAS_TORCH, NO_TORCH)
class PrecisionTest(unittest.TestCase):
    """found: what to tell the user, empty before the test."""

    found = ""

    def test_thePrecisionIsChecked(self) -> None:
        with ThreadPoolExecutor(max_workers=1) as pool:
            work = pool.submit(_found)
            while not work.done():
                slicer.app.processEvents()
                time.sleep(EVENTS_S)
        type(self).found = work.result()
        self.assertIn("embedded model", self.found)


def _found() -> str:
    """Check the embedded model on the CPU and keep what comes out; gives it in a line."""
    from sam3dseg.check_cases import phantom
    from sam3dseg.check_command import verdict
    from sam3dseg.model_check import check_model
    from sam3dseg.precision_checks import remember
    from sam3dseg.segmenter import load_weights

    checkpoint = load_weights("embedded")
    check, _ = check_model(checkpoint, "cpu", [phantom()])
    remember(checkpoint, check)
    others = "; ".join(f"{entry.precision}: {verdict(check, entry)}" for entry in check.measured[1:])
    return f"The embedded model works in {check.best.precision} on this CPU ({others})"
