"""Fixtures: the shared data folder, a deterministic stand-in for a network, and small volumes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3dseg.cli import main
from sam3dseg.protocol import Prediction


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder of shared data and reference vectors; SAM3DSEG_SHARED overrides <repository>/../shared."""
    default = Path(__file__).resolve().parents[2].parent / "shared"
    folder = Path(os.environ.get("SAM3DSEG_SHARED", default))
    if not folder.is_dir():
        pytest.skip(f"shared data not found at {folder}; set SAM3DSEG_SHARED to its folder")
    return folder


@pytest.fixture(autouse=True)
def own_models_folder(tmp_path_factory, monkeypatch) -> None:
    """Neither the models nor the checked precisions of whoever runs the tests."""
    monkeypatch.setenv("SAM3DSEG_MODELS", str(tmp_path_factory.getbasetemp() / "models"))


@dataclass
class ThresholdSegmenter:
    """Segments what is as bright as the foreground clicks; background clicks carve a ball. Counts its calls."""

    name: str = "threshold"
    architecture: str = "threshold"
    window_size: int = 32
    logits_size: int = 32
    fixed_spacing_mm: float | None = None
    normalisation: str = "robust_rank"
    antialias: bool = True
    judge: Any = None
    device_line: str = "CPU"
    tolerance: float = 0.5  # of the window's intensity range
    encoded: list[NDArray[np.float32]] = field(default_factory=list)
    decoded: list[dict] = field(default_factory=list)
    on_encode: object = None

    def encode(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        self.encoded.append(image)
        if self.on_encode:
            self.on_encode()
        return image[0]

    def decode(self, embedding, points, labels, previous) -> Prediction:
        self.decoded.append({"points": points, "labels": labels, "previous": previous})
        size = self.window_size
        cells = np.clip(np.round(points).astype(int), 0, size - 1)
        likeness = np.full(embedding.shape, -1.0, dtype=np.float32)
        reach = self.tolerance * float(np.ptp(embedding))
        for cell in cells[labels == 1]:
            likeness = np.maximum(likeness, reach - np.abs(embedding - embedding[tuple(cell)]))
        if previous is not None and not (labels == 1).any():
            likeness = np.repeat(np.repeat(np.repeat(previous, self.step, 0), self.step, 1), self.step, 2)
        grid = np.indices(embedding.shape).reshape(3, -1).T
        for point in points[labels == 0]:
            near = ((grid - point) ** 2).sum(axis=1).reshape(embedding.shape) < 9
            likeness = np.where(near, np.minimum(likeness, -0.5), likeness)
        n = self.logits_size
        logits = likeness.reshape(n, self.step, n, self.step, n, self.step).mean(axis=(1, 3, 5), dtype=np.float32)
        return Prediction(
            logits=np.stack([logits, logits - 0.1, logits + 0.1, logits]),
            iou=np.array([0.9, 0.8, 0.7, 0.6], dtype=np.float32),
        )

    @property
    def step(self) -> int:
        return self.window_size // self.logits_size

    def memory_bytes(self) -> int:
        return 123


@pytest.fixture
def segmenter() -> ThresholdSegmenter:
    return ThresholdSegmenter()


@pytest.fixture
def make_segmenter() -> type[ThresholdSegmenter]:
    return ThresholdSegmenter


@pytest.fixture
def run(make_segmenter, capsys):
    """Runs the command with the stand-in segmenter; gives code, stdout, stderr and the load calls."""
    loads = []

    def load(name, **options):
        loads.append((name, options))
        return make_segmenter()

    def call(*argv):
        code = main([str(word) for word in argv], load_segmenter=load)
        out, err = capsys.readouterr()
        return code, out, err, loads

    return call


@pytest.fixture
def random_image() -> NDArray[np.float32]:
    """Noise (8, 9, 10)."""
    return np.random.default_rng(0).normal(size=(8, 9, 10)).astype(np.float32)


def ellipsoid(shape, center, radii) -> NDArray[np.bool_]:
    """Bool ellipsoid of `radii` voxels about `center` in a volume of `shape`."""
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    return sum(((a - c) / r) ** 2 for a, c, r in zip(axes, center, radii, strict=True)) <= 1


@pytest.fixture
def make_ellipsoid():
    return ellipsoid
