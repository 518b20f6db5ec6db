"""`sam3dseg view` with a model that encodes only while the file named by SAM3DSEG_TEST_GATE exists."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import sam3dseg.segmenter
from sam3dseg.cli import main

WAIT_S = 60


def pausable(encode):
    """An encode that waits for the file."""
    gate = Path(os.environ["SAM3DSEG_TEST_GATE"])

    def encode_later(self, image):
        end = time.monotonic() + WAIT_S
        while not gate.exists() and time.monotonic() < end:
            time.sleep(0.02)
        return encode(self, image)

    return encode_later


if __name__ == "__main__":
    kind = sam3dseg.segmenter.TorchSegmenter
    kind.encode = pausable(kind.encode)
    sys.exit(main(sys.argv[1:]))
