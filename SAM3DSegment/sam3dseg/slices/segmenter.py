"""A SAM network on a device, behind the `SliceSegmenter` protocol that the session knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..checkpoint import Checkpoint, build_network
from ..models.sam import CHANNELS, variant_of
from ..placed_network import PlacedNetwork
from ..placement import Placement
from ..protocol import Prediction, checked_points


class TorchSliceSegmenter:
    """Encodes prepared slices and decodes prompts, on the first of `placements` that has enough memory.

    Embeddings are kept in half precision, 2 MB for a released model; encoding and decoding may run in two threads.
    """

    def __init__(self, checkpoint: Checkpoint, *, placements: Sequence[Placement], name: str = "") -> None:
        sizes = variant_of(**checkpoint.config)
        self.name = name or checkpoint.architecture
        self.architecture = checkpoint.architecture
        self.image_size = sizes.image_size
        self.logits_size = sizes.image_size // 4
        self.preprocessing = checkpoint.config.get("preprocessing", "sam")
        self._placed = PlacedNetwork(build_network(checkpoint), placements)

    @property
    def device_line(self) -> str:
        """The device and precision in words, and what ran out of memory before."""
        return self._placed.device_line

    def encode(self, values: NDArray[np.float32]) -> Tensor:
        """Prepared slice (3, S, S) -> embedding (1, D, S/16, S/16) on the device; ValueError for another shape."""
        expected = (CHANNELS, self.image_size, self.image_size)
        if values.shape != expected:
            raise ValueError(
                f"expected a slice of shape {expected}, received {values.shape}; "
                "prepare it with slice_input, image_size and the segmenter's own preprocessing"
            )
        return self._placed.attempt(lambda: self._encode(values))

    def decode(
        self,
        embedding: Any,
        *,
        points: NDArray[np.float64],
        labels: NDArray[np.int64],
        box: NDArray[np.float64] | None = None,
        previous: NDArray[np.float32] | None = None,
    ) -> Prediction:
        """Points (N, 2) as (x, y) in pixels of the square, labels (N,) 1 or 0, box (x0, y0, x1, y1), logits (n, n).

        Candidate 0 is the single mask, 1 to 3 are the alternatives.  `previous` of another resolution is resampled.
        Raises ValueError when there is no prompt at all, or when shapes or labels are wrong.
        """
        places, labels = checked_points(points, labels, axes=2)
        if previous is None and box is None and not len(places):
            raise ValueError("expected a point, a box or a previous mask, received none; add a click")
        if previous is not None and (previous.ndim != 2 or previous.shape[0] != previous.shape[1]):
            raise ValueError(f"expected square logits (n, n) as previous mask, received {previous.shape}")
        if box is not None and np.shape(box) != (4,):
            raise ValueError(f"expected a box (x0, y0, x1, y1), received shape {np.shape(box)}")
        return self._placed.attempt(lambda: self._decode(embedding, places, labels, box, previous))

    def memory_bytes(self) -> int:
        """Bytes on the device: all that is allocated there, on the CPU the weights."""
        return self._placed.memory_bytes()

    def _encode(self, values: NDArray[np.float32]) -> Tensor:
        x = torch.from_numpy(np.ascontiguousarray(values, np.float32)).unsqueeze(0)  # (1, 3, S, S)
        with self._placed.reduced_precision():
            return self._placed.network.encode_image(x.to(self._placed.device)).half()

    def _decode(
        self,
        embedding: Tensor,
        points: NDArray[np.float32],
        labels: NDArray,
        box: NDArray | None,
        previous: NDArray[np.float32] | None,
    ) -> Prediction:
        device, network = self._placed.device, self._placed.network
        given = len(points) > 0
        places = torch.from_numpy(points)[None].to(device) if given else None  # (1, N, 2)
        kinds = torch.from_numpy(labels.astype(np.int64))[None].to(device) if given else None
        corners = None if box is None else torch.from_numpy(np.asarray(box, np.float32))[None].to(device)  # (1, 4)
        sparse, dense = network.encode_prompts(places, kinds, corners, self._previous(previous))
        # made before a fall-back, the embedding may lie on another device
        logits, iou = network.decode_masks(embedding.to(device).float(), sparse, dense, multimask=None)
        return Prediction(logits[0].float().cpu().numpy(), iou[0].float().cpu().numpy())

    def _previous(self, previous: NDArray[np.float32] | None) -> Tensor | None:
        if previous is None:
            return None
        mask = torch.from_numpy(np.ascontiguousarray(previous, np.float32))[None, None]  # (1, 1, n, n)
        if mask.shape[-1] != self.logits_size:
            mask = F.interpolate(mask, (self.logits_size,) * 2, mode="bilinear", align_corners=False)
        return mask.to(self._placed.device)
