"""Decoder-only training on encodings computed once: the image encoder, most of the work, is not run again.

A folder holds `index.json`, what the encodings belong to, and a file per window with the features of the image encoder
in half precision, the image where the decoder reads it, and the targets.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sam3dseg.adapters import digest_of
from sam3dseg.atomic import replacing

from ..click_training import encode_features

logger = logging.getLogger(__name__)

FORMAT = 1
INDEX = "index.json"
ORDER_STREAM = 4  # random numbers apart from those of clicks and windows
FEATURES, LEVEL = "features", "features."  # one tensor, or one for every level


class EncodedWindows(Dataset):
    """Endless samples to train a decoder on: the kept windows, every one once in `count` numbers, in ever new orders.

    Sample: as `CaseWindows` gives it, with `features` and without what the decoder does not read; all float32.
    Raises ValueError where the folder holds no complete encodings.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        index = _read_index(folder)
        if index is None or not index["complete"]:
            raise ValueError(f"no complete encodings in {folder}: make them with keep_encodings first")
        self.folder, self.seed, self.count = folder, seed, int(index["count"])

    def kept_number(self, number: int) -> int:
        """Which kept window sample `number` is."""
        epoch, place = divmod(number, self.count)
        return int(np.random.default_rng((self.seed, ORDER_STREAM, epoch)).permutation(self.count)[place])

    def __getitem__(self, number: int) -> dict[str, Any]:
        tensors = {name: value.float() for name, value in _read(self.folder, self.kept_number(number)).items()}
        levels = [name for name in tensors if name.startswith(LEVEL)]
        if levels:
            tensors[FEATURES] = [tensors.pop(f"{LEVEL}{level}") for level in range(len(levels))]
        return {**tensors, "number": torch.tensor(number)}


def keep_encodings(
    network: Any, windows: Dataset, count: int, folder: Path, *, about: Mapping[str, Any], workers: int = 0
) -> int:
    """Encode samples 0 to count - 1 of `windows` into `folder` -> how many were made, the others being there already.

    about: what else the samples follow from (data, settings, seed), as JSON can say it.  Encodings of another image
    encoder, of other samples, or damaged ones are made again; what a stopped run made is kept.
    Raises OSError when the disk is full.
    """
    encoder = digest_of(network.image_encoder.state_dict())
    index = {"format": FORMAT, "encoder": encoder, "about": json.loads(json.dumps(about)), "count": count}
    folder.mkdir(parents=True, exist_ok=True)
    known = _read_index(folder)
    if known is not None and {**known, "complete": False} != {**index, "complete": False}:
        changed = sorted(name for name in index if known.get(name) != index[name])
        logger.info(
            "the encodings in %s were of other data or weights (%s): making them anew", folder, ", ".join(changed)
        )
        for path in folder.glob("*.safetensors"):
            path.unlink()
    _write_index(folder, {**index, "complete": False})
    missing = [number for number in range(count) if not _is_readable(folder, number)]
    samples = DataLoader(windows, batch_size=None, sampler=missing, num_workers=workers)
    was_training = network.training
    network.eval()
    for sample in track(samples, "encoding", total=len(missing), disable=not missing):
        _write(folder, int(sample["number"]), _encoded(network, sample))
    network.train(was_training)
    _write_index(folder, {**index, "complete": True})
    return len(missing)


@torch.no_grad()
def _encoded(network: Any, sample: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one file, in half precision."""
    device = next(network.parameters()).device
    features = encode_features(network, sample["image"][None].to(device))
    named = {FEATURES: features} if isinstance(features, Tensor) else {f"{LEVEL}{n}": f for n, f in enumerate(features)}
    tensors = {name: value[0] for name, value in named.items()}
    tensors |= {name: value for name, value in sample.items() if name not in ("image", "number")}
    if hasattr(network.mask_decoder, "prepare"):
        tensors["image"] = sample["image"]
    return {name: value.half().cpu().contiguous() for name, value in tensors.items()}


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.safetensors"


def _write(folder: Path, number: int, tensors: dict[str, Tensor]) -> None:
    with replacing(_path(folder, number)) as temporary:
        save_file(tensors, temporary)


def _read(folder: Path, number: int) -> dict[str, Tensor]:
    path = _path(folder, number)
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"the encoding {path} is missing or damaged: remove it and start the run again") from error


def _is_readable(folder: Path, number: int) -> bool:
    path = _path(folder, number)
    if not path.is_file():
        return False
    try:
        load_file(path)
    except (OSError, SafetensorError):
        return False
    return True


def _read_index(folder: Path) -> dict[str, Any] | None:
    """The index as it is; None where there is none that can be read."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    return index if isinstance(index, dict) and index.keys() >= {"count", "complete"} else None


def _write_index(folder: Path, index: Mapping[str, Any]) -> None:
    with replacing(folder / INDEX) as temporary:
        temporary.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
