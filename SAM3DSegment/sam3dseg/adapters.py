"""Adapters: a few trained tensors that make a fine-tuned model of a base model.  No PEFT is needed to use one.

An adapter file is in our format, `architecture` and `config` being those of the base model, with one more entry in the
header: `adapter`, a JSON object with the base model's name (`base`: "embedded", a name of the catalogue, or a path),
the digest of its weights (`base_sha256`), `rank` and `alpha`.  `x.lora_A.weight` (rank, in, ...) and `x.lora_B.weight`
(out, rank, ...) add alpha / rank · B A to the base's `x.weight` (Hu et al., arXiv 2106.09685); every other tensor
takes the place of the base's tensor of that name.

A SAM-3D model whose encoder is that of an unchanged model is kept in the same way: `architecture` and `config` are its
own, `base_architecture` in `adapter` is the base's, and the base's image encoder comes to the tensors of its decoder.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .checkpoint import Checkpoint, save_checkpoint

ENCODER = "image_encoder."
LOW_RANK_A, LOW_RANK_B = ".lora_A.weight", ".lora_B.weight"
WEIGHTS_SUFFIXES = (".safetensors", ".pth", ".pt")


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, shapes and float32 values: equal for equal weights, whatever file they come from."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu()
        value = value.float() if value.is_floating_point() else value
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_adapter(
    path: str | os.PathLike[str],
    *,
    base: Checkpoint,
    base_name: str,
    tensors: Mapping[str, Tensor],
    rank: int,
    alpha: float,
    provenance: Mapping[str, Any],
    config: Mapping[str, Any] | None = None,
) -> None:
    """Write an adapter of `base`, in one step; config: the merged model's, where it is not the base's.

    Raises ValueError for tensors that do not fit the base, OSError as usual.
    """
    header = {"base": base_name, "base_sha256": digest_of(base.weights), "rank": rank, "alpha": alpha}
    adapter = Checkpoint(base.architecture, dict(tensors), dict(config or base.config), dict(provenance), header)
    _save(path, adapter, base)


def save_decoder(
    path: str | os.PathLike[str], model: Checkpoint, *, base: Checkpoint, base_name: str, provenance: Mapping[str, Any]
) -> None:
    """Write a SAM-3D model without its encoder, which is that of `base`, in one step.

    Raises ValueError when the encoders differ, OSError as usual.
    """
    changed = [name for name, value in encoder_of(model).items() if not _equal(value, base.weights.get(name))]
    if changed or not encoder_of(model):
        raise ValueError(
            f"expected a model with the encoder of {base_name!r}, received another one ({', '.join(changed[:2])}); "
            "export the whole model"
        )
    header = {"base": base_name, "base_sha256": digest_of(base.weights), "base_architecture": base.architecture}
    tensors = {name: value for name, value in model.weights.items() if not name.startswith(ENCODER)}
    adapter = Checkpoint(model.architecture, tensors, model.config, dict(provenance), header)
    _save(path, adapter, base)


def merged(base: Checkpoint, adapter: Checkpoint, *, name: str) -> Checkpoint:
    """The whole model; `name` is the adapter's in messages.

    Raises ValueError when the base is not the one that the adapter was trained on, or when a tensor does not fit it.
    """
    wanted = str(adapter.adapter.get("base"))
    if base.adapter:
        raise ValueError(
            f"{name}: expected a whole model as base, received another adapter for {wanted!r}; merge that first"
        )
    needed = str(adapter.adapter.get("base_architecture", adapter.architecture))
    if base.architecture != needed:
        raise ValueError(
            f"{name} adapts a model of architecture {needed!r}: received {base.architecture!r} for "
            f"{wanted!r}; use the base model that it was trained on"
        )
    expected, received = str(adapter.adapter.get("base_sha256")), digest_of(base.weights)
    if expected != received:
        raise ValueError(
            f"{name} was trained on other weights than {wanted!r} has here: expected sha256 {expected[:12]}…, received "
            f"{received[:12]}…; use that version of the base model, or fine-tune again"
        )
    if needed != adapter.architecture:
        weights = {**encoder_of(base), **adapter.weights}
    else:
        weights = applied(base.weights, adapter.weights, scale=_scale(adapter, name), name=name)
    return Checkpoint(adapter.architecture, weights, adapter.config, adapter.provenance)


def applied(base: Mapping[str, Tensor], tensors: Mapping[str, Tensor], *, scale: float, name: str) -> dict[str, Tensor]:
    """Base weights with an adapter's tensors applied; scale is alpha / rank.

    Raises ValueError naming the first tensor that does not fit.
    """
    weights = dict(base)
    for key, value in tensors.items():
        if key.endswith(LOW_RANK_B):
            continue
        if not key.endswith(LOW_RANK_A):
            _check(key, weights.get(key), tuple(value.shape), name)
            weights[key] = value
            continue
        layer = key.removesuffix(LOW_RANK_A)
        back = tensors.get(layer + LOW_RANK_B)
        if back is None:
            raise ValueError(f"{name} is incomplete: it has {key} without {layer + LOW_RANK_B}; export it again")
        _check(f"{layer}.weight", weights.get(f"{layer}.weight"), (back.shape[0], *value.shape[1:]), name)
        whole = weights[f"{layer}.weight"]
        change = back.float().flatten(1) @ value.float().flatten(1)  # (out, in · kernel)
        weights[f"{layer}.weight"] = whole + scale * change.reshape(whole.shape)
    return weights


def base_file(base: str, adapter: Path) -> str:
    """`base` as `load_segmenter` takes it; a path that is gone is looked for beside the adapter as well."""
    if not base.endswith(WEIGHTS_SUFFIXES) or Path(base).exists():
        return base
    beside = adapter.parent / re.split(r"[\\/]", base)[-1]
    return str(beside) if beside.exists() else base


def encoder_of(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The tensors of its image encoder."""
    return {name: value for name, value in checkpoint.weights.items() if name.startswith(ENCODER)}


def _save(path: str | os.PathLike[str], adapter: Checkpoint, base: Checkpoint) -> None:
    """Write a file that needs `base`, once it is sure to fit it."""
    merged(base, adapter, name=Path(path).name)
    save_checkpoint(
        path,
        architecture=adapter.architecture,
        config=adapter.config,
        weights=adapter.weights,
        provenance=adapter.provenance,
        adapter=adapter.adapter,
    )


def _equal(value: Tensor, other: Tensor | None) -> bool:
    return other is not None and torch.equal(value.cpu().float(), other.cpu().float())


def _scale(adapter: Checkpoint, name: str) -> float:
    rank, alpha = adapter.adapter.get("rank"), adapter.adapter.get("alpha")
    if not isinstance(rank, int) or not isinstance(alpha, int | float) or rank < 0:
        raise ValueError(f"{name} has no readable rank and alpha: received {rank!r} and {alpha!r}; export it again")
    odd = [key for key, value in adapter.weights.items() if key.endswith(LOW_RANK_A) and len(value) != rank]
    if odd:
        raise ValueError(f"{name} says rank {rank}, but {odd[0]} has {len(adapter.weights[odd[0]])}; export it again")
    return alpha / rank if rank else 0.0


def _check(key: str, found: Tensor | None, expected: tuple[int, ...], name: str) -> None:
    if found is None or tuple(found.shape) != expected:
        has = "no such tensor" if found is None else f"shape {tuple(found.shape)}"
        raise ValueError(f"{name} does not fit its base model: {key} of shape {expected} meets {has}; export it again")
