"""Decoder-only training on encodings computed once: the image encoder, most of the work, is not run again.

A folder holds `index.json`, what the encodings belong to, and a file per window with the features of the image encoder
in half precision, the image where the decoder reads it, and the targets.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sam3dseg.adapters import digest_of

from ..click_training import encode_features
from ..configs.fit import FitConfig
from ..data.kept_tensors import KeptTensors

logger = logging.getLogger(__name__)

FORMAT = 1
ENCODINGS = "encodings"  # folder beside a run
NOUN = "encodings"
ORDER_STREAM = 4  # random numbers apart from those of clicks and windows
COORDINATES = 2  # axes of a list of boxes
FEATURES, LEVEL = "features", "features."  # one tensor, or one for every level


class EncodedWindows(Dataset):
    """Endless samples to train a decoder on: the kept windows, every one once in `count` numbers, in ever new orders.

    Sample: as `CaseWindows` gives it, with `features` and without what the decoder does not read; all float32.
    Raises ValueError where the folder holds no complete encodings.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._kept = KeptTensors(folder, NOUN)
        index = self._kept.index()
        if index is None or not index.get("complete"):
            raise ValueError(f"no complete encodings in {folder}: make them with keep_encodings first")
        self.folder, self.seed, self.count = folder, seed, int(index["count"])

    def kept_number(self, number: int) -> int:
        """Which kept window sample `number` is."""
        epoch, place = divmod(number, self.count)
        return int(np.random.default_rng((self.seed, ORDER_STREAM, epoch)).permutation(self.count)[place])

    def __getitem__(self, number: int) -> dict[str, Any]:
        tensors = {name: value.float() for name, value in self._kept.read(_name(self.kept_number(number))).items()}
        levels = [name for name in tensors if name.startswith(LEVEL)]
        if levels:
            tensors[FEATURES] = [tensors.pop(f"{LEVEL}{level}") for level in range(len(levels))]
        return {**tensors, "number": torch.tensor(number)}


def encode_once(config: FitConfig, network: Any, samples: Any, *, about: Mapping[str, Any], fabric: Fabric) -> None:
    """The encodings of some samples of every case, where they are asked for, made beside the run by the first process.

    samples: numbered ones of `ObjectCases`; about: what they follow from besides data, augmentation and seed.
    """
    if not config.embeddings.windows:
        return
    count, folder = config.embeddings.windows * len(samples.keys), Path(config.out) / ENCODINGS
    facts = {
        "cases": list(samples.keys),
        "objects": list(samples.objects),
        "augment": config.data.augment,
        "targets": config.data.targets,
        "seed": config.seed,
        **about,
    }
    if fabric.is_global_zero:
        made = keep_encodings(network, samples, count, folder, about=facts, workers=config.compute.workers)
        logger.info("%d encodings in %s, %d of them new", count, folder, made)
    fabric.barrier()


def keep_encodings(
    network: Any, windows: Dataset, count: int, folder: Path, *, about: Mapping[str, Any], workers: int = 0
) -> int:
    """Encode samples 0 to count - 1 of `windows` into `folder` -> how many were made, the others being there already.

    about: what else the samples follow from (data, settings, seed), as JSON can say it.  Encodings of another image
    encoder, of other samples, or damaged ones are made again; what a stopped run made is kept.
    Raises OSError when the disk is full.
    """
    kept, names = KeptTensors(folder, NOUN), [_name(number) for number in range(count)]
    encoder = digest_of(network.image_encoder.state_dict())
    kept.begin({"format": FORMAT, "encoder": encoder, "about": about, "count": count})
    missing = kept.missing(names)
    samples = DataLoader(windows, batch_size=None, sampler=missing, num_workers=workers)
    was_training = network.training
    network.eval()
    for sample in track(samples, "encoding", total=len(missing), disable=not missing):
        kept.write(_name(int(sample["number"])), _encoded(network, sample))
    network.train(was_training)
    kept.complete()
    return len(missing)


def _name(number: int) -> str:
    return f"{number:06d}"


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
    return {name: _kept(value).cpu().contiguous() for name, value in tensors.items()}


def _kept(value: Tensor) -> Tensor:
    """In half precision what takes space; coordinates need all their digits."""
    return value.half() if value.ndim > COORDINATES else value
