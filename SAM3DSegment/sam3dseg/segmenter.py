"""A promptable network on a device, behind the `Segmenter` protocol that the session knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from .adapters import base_file, merged
from .checkpoint import Checkpoint, build_network, load_checkpoint, require_family
from .families import CLICKS_2D, CLICKS_3D, FAMILIES
from .placed_network import PlacedNetwork
from .placement import Placement, placements_for
from .precision_checks import placements_of
from .protocol import Prediction, checked_points
from .recorded_calls import RecordedCalls, Work
from .slices.segmenter import TorchSliceSegmenter
from .weighing import Judge

WEIGHTS_FOLDER = Path(__file__).parents[1] / "Resources" / "Weights"


@dataclass(frozen=True, slots=True)
class Traits:
    """How the windows and prompts of an architecture are prepared."""

    channels: int
    logits_size: int
    normalisation: str
    antialias: bool
    fixed_spacing_mm: float | None = None
    starts_from_zeros: bool = False  # the first prompt comes with an all-zero mask, as in interactive training
    pads_empty_prompts: bool = False  # a mask without clicks needs one "not a point"
    channels_last: bool = False
    is_recorded: bool = False  # all that encoding and decoding launch depends on shapes alone
    window_size: int = 128


TRAITS = {
    "sam_med3d_vit_b_ori": Traits(
        channels=1,
        logits_size=32,
        normalisation="zscore_positive",
        antialias=False,
        fixed_spacing_mm=1.5,
        starts_from_zeros=True,
        is_recorded=True,
    ),
    "compact": Traits(
        channels=2,
        logits_size=64,
        normalisation="robust_rank",
        antialias=True,
        pads_empty_prompts=True,
        channels_last=True,
    ),
}


def traits_of(checkpoint: Checkpoint) -> Traits:
    """The architecture's traits, with the window size that these weights were trained for.

    Raises ValueError for a model that does not work in windows.
    """
    require_family(checkpoint, checkpoint.architecture, CLICKS_3D)
    traits = TRAITS[checkpoint.architecture]
    window = checkpoint.config.get("window", traits.window_size)
    return replace(traits, window_size=window, logits_size=window * traits.logits_size // traits.window_size)


class TorchSegmenter:
    """Encodes windows and decodes prompts with a network, on the first of `placements` that has enough memory."""

    def __init__(
        self, network: nn.Module, *, architecture: str, traits: Traits, placements: Sequence[Placement], name: str = ""
    ) -> None:
        self.name = name or architecture
        self.architecture = architecture
        self.window_size = traits.window_size
        self.fixed_spacing_mm = traits.fixed_spacing_mm
        self.normalisation = traits.normalisation
        self.antialias = traits.antialias
        self.judge: Judge | None = self._judge if hasattr(network, "judge_changes") else None
        self.logits_size = traits.logits_size
        self._traits = traits
        memory_format = torch.channels_last_3d if traits.channels_last else None
        self._placed = PlacedNetwork(network, placements, memory_format=memory_format)
        self._embedding_bytes = 0
        self._encoded: Work = RecordedCalls(self._embedding_of) if traits.is_recorded else self._embedding_of
        self._answered: Work = RecordedCalls(self._answer_of) if traits.is_recorded else self._answer_of

    @property
    def device_line(self) -> str:
        """The device and precision in words, and what ran out of memory before."""
        return self._placed.device_line

    def encode(self, image: NDArray[np.float32]) -> Any:
        """Normalised window (C, n, n, n) -> embedding on the device; raises ValueError for another shape."""
        size = self.window_size
        expected = (self._traits.channels, size, size, size)
        if image.shape != expected:
            raise ValueError(
                f"expected a window of shape {expected}, received {image.shape}; "
                "extract it with window_size and normalise it with the segmenter's own method"
            )
        embedding = self._placed.attempt(lambda: self._encode(image))
        self._embedding_bytes = _byte_count(embedding)
        return embedding

    def decode(
        self,
        embedding: Any,
        points: NDArray[np.float64],
        labels: NDArray[np.int64],
        previous: NDArray[np.float32] | None,
    ) -> Prediction:
        """Points (N, 3) in window voxels, labels (N,) 1 or 0, raw logits (n, n, n) of the last answer or None.

        Candidate 0 is the single mask, 1 to 3 are the alternatives.  `previous` of another resolution is resampled.
        Raises ValueError when there is neither a point nor a previous mask, or when shapes or labels are wrong.
        """
        places, labels = checked_points(points, labels, axes=3)
        if previous is None and not len(places):
            raise ValueError("expected at least one point or a previous mask, received neither; add a click")
        if previous is not None and (previous.ndim != 3 or len(set(previous.shape)) != 1):
            raise ValueError(f"expected cubic logits (n, n, n) as previous mask, received {previous.shape}")
        return self._placed.attempt(lambda: self._decode(embedding, places, labels, previous))

    def memory_bytes(self) -> int:
        """Bytes on the device: all that is allocated there, on the CPU the weights and the last embedding."""
        cpu = self._placed.device.type == "cpu"
        return self._placed.memory_bytes() + (self._embedding_bytes if cpu else 0)

    def _encode(self, image: NDArray[np.float32]) -> Any:
        x = torch.from_numpy(np.ascontiguousarray(image, np.float32)).unsqueeze(0)  # (1, C, n, n, n)
        return self._encoded(x.to(self._placed.device))[0]

    def _embedding_of(self, x: Tensor) -> tuple[Any]:
        """Window (1, C, n, n, n) -> embedding in float32."""
        with self._placed.reduced_precision():
            embedding = self._placed.network.encode_image(x)
        return (_map(embedding, torch.Tensor.float),)

    def _decode(
        self, embedding: Any, points: NDArray[np.float32], labels: NDArray, previous: NDArray[np.float32] | None
    ) -> Prediction:
        device = self._placed.device
        embedding = _map(embedding, lambda t: t.to(device))  # it may have been made before a fall-back
        given = (embedding, *self._points(points, labels), self._previous(previous))
        answer: Work = self._answer_of if any(part is None for part in given) else self._answered
        logits, iou = answer(*given)
        return Prediction(logits[0].cpu().numpy(), iou[0].cpu().numpy())

    def _answer_of(
        self, embedding: Any, points: Tensor | None, labels: Tensor | None, previous: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Points (1, N, 3), labels (1, N) and previous logits (1, 1, n, n, n) -> logits (1, M, n, n, n), iou (1, M)."""
        sparse, dense = self._placed.network.encode_prompts(points, labels, previous)
        logits, iou = self._placed.network.decode_masks(embedding, sparse, dense, multimask=None)
        return logits.float(), iou.float()

    def _judge(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (K, F) of changes after a correcting click -> logits (K,) that they are right."""

        def work() -> NDArray[np.float32]:
            on_device = torch.from_numpy(features).to(self._placed.device)
            return self._placed.network.judge_changes(on_device).float().cpu().numpy()

        return self._placed.attempt(work)

    def _points(self, points: NDArray[np.float32], labels: NDArray) -> tuple[Tensor | None, Tensor | None]:
        if not len(points):
            if not self._traits.pads_empty_prompts:
                return None, None
            points, labels = np.zeros((1, 3), np.float32), np.array([-1])
        batch = torch.from_numpy(points)[None].to(self._placed.device)  # (1, N, 3)
        return batch, torch.from_numpy(labels.astype(np.int64))[None].to(self._placed.device)

    def _previous(self, previous: NDArray[np.float32] | None) -> Tensor | None:
        size = (self.logits_size,) * 3
        if previous is None:
            return torch.zeros(1, 1, *size, device=self._placed.device) if self._traits.starts_from_zeros else None
        mask = torch.from_numpy(np.ascontiguousarray(previous, np.float32))[None, None].to(
            self._placed.device
        )  # (1, 1, n, n, n)
        return mask if mask.shape[2:] == size else F.interpolate(mask, size, mode="trilinear", align_corners=False)


def load_segmenter(
    name_or_path: str | Path = "embedded", device: str = "auto", precision: str = "auto"
) -> TorchSegmenter | TorchSliceSegmenter:
    """Model ready to encode: "embedded", the path of a weights file or of an adapter, or a name of the catalogue.

    device: auto, cpu, cuda, cuda:N or mps; precision: auto (the fastest that `sam3dseg check` found good, float32
    without a check), float32, bfloat16, float16 or int8.
    Raises ValueError for an unknown or unavailable device, for missing, damaged or unknown weights, and for a model
    that takes no clicks.
    """
    placements_for(device, precision)  # a wrong device is reported before a long read
    path = weights_path(name_or_path)
    name = path.stem if Path(name_or_path) == path else str(name_or_path)
    return segmenter_of(_whole(path), name=name, device=device, precision=precision)


def segmenter_of(
    checkpoint: Checkpoint, *, name: str, device: str = "auto", precision: str = "auto"
) -> TorchSegmenter | TorchSliceSegmenter:
    """A whole model as a segmenter of its family; device and precision as in `load_segmenter`.

    Raises ValueError for an unknown or unavailable device and for weights that cannot be used.
    """
    placements = placements_of(checkpoint, device, precision)
    require_family(checkpoint, name, CLICKS_3D, CLICKS_2D)
    if FAMILIES[checkpoint.architecture] == CLICKS_2D:
        return TorchSliceSegmenter(checkpoint, placements=placements, name=name)
    return TorchSegmenter(
        build_network(checkpoint),
        architecture=checkpoint.architecture,
        traits=traits_of(checkpoint),
        placements=placements,
        name=name,
    )


def load_weights(name_or_path: str | Path = "embedded") -> Checkpoint:
    """Weights of a whole model, named as for `load_segmenter`; an adapter is merged into its base model.

    Raises ValueError for missing, damaged or unknown weights, and for an adapter without the base it was trained on.
    """
    return _whole(weights_path(name_or_path))


def _whole(path: Path) -> Checkpoint:
    checkpoint = load_checkpoint(path)
    if not checkpoint.adapter:
        return checkpoint
    base = str(checkpoint.adapter.get("base"))
    try:
        loaded = load_checkpoint(weights_path(base_file(base, path)))
    except ValueError as error:
        raise ValueError(f"{path.name} is an adapter of {base!r}, which cannot be loaded: {error}") from error
    return merged(loaded, checkpoint, name=path.name)


def weights_path(name_or_path: str | Path) -> Path:
    """The file of a model named as for `load_segmenter`, there or not; ValueError for an unknown name."""
    if str(name_or_path) == "embedded":
        found = sorted(WEIGHTS_FOLDER.glob("*.safetensors"))
        if len(found) != 1:
            raise ValueError(
                f"expected one .safetensors file in {WEIGHTS_FOLDER}, found {len(found)}; reinstall the software, "
                "or give the path of a weights file"
            )
        return found[0]
    path = Path(name_or_path)
    if path.suffix in (".safetensors", ".pth", ".pt") or path.exists():
        return path
    from . import catalogue  # only needed here, and importable without PyTorch

    return Path(catalogue.local_path(str(name_or_path)))


def _map(tree: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """The embedding, a tensor or dicts and lists of tensors, with `function` applied to each."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, dict):
        return {key: _map(value, function) for key, value in tree.items()}
    return [_map(value, function) for value in tree]


def _byte_count(tree: Any) -> int:
    """Bytes of all tensors of an embedding."""
    if isinstance(tree, Tensor):
        return tree.numel() * tree.element_size()
    return sum(_byte_count(value) for value in (tree.values() if isinstance(tree, dict) else tree))
