"""Network weights on disk: our safetensors format, and PyTorch files of others, read without executing anything.

Our format is safetensors with three entries in its header metadata: `architecture` (a name of `models.build`), `config`
and `provenance` (JSON objects); `crc32` guards the tensors.  An adapter has a fourth, `adapter`: see `adapters`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .atomic import replacing
from .families import CLICKS_2D, CLICKS_3D, FAMILIES, PROPOSALS
from .models import build

log = logging.getLogger(__name__)

WRAPPERS = ("model_state_dict", "state_dict", "model")  # entries under which training scripts keep the weights
PICKLE_STARTS = (b"PK\x03\x04", b"\x80")  # a zip archive of torch.save, and its older bare form
COMMANDS = {
    CLICKS_3D: "`sam3dseg segment`",
    CLICKS_2D: "`sam3dseg segment`, which takes slices too",
    PROPOSALS: "`sam3dseg propose`",
}
SAM_VARIANTS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}  # by the channels of a token
SAFETENSORS_START = b"\0\0\0\0{"  # after four bytes of the header's length, which may be those of a pickle


@dataclass(frozen=True)
class Checkpoint:
    """Weights in float32 on the CPU, and what is needed to use and to credit them.

    adapter: what the header of an adapter says, empty for a whole model.
    """

    architecture: str
    weights: dict[str, Tensor]
    config: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    adapter: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(
    path: str | os.PathLike[str],
    *,
    architecture: str,
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    provenance: Mapping[str, Any],
    adapter: Mapping[str, Any] | None = None,
) -> None:
    """Write the weights, in the precision they have, so that `path` holds either the whole new file or what it held.

    Raises OSError when the folder cannot be written.
    """
    path = Path(path)
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in weights.items()
    }
    metadata = {
        "format": "pt",
        "architecture": architecture,
        "config": json.dumps(dict(config)),
        "provenance": json.dumps(dict(provenance)),
        "crc32": str(_crc32(tensors)),
    }
    if adapter:
        metadata["adapter"] = json.dumps(dict(adapter))
    content = to_safetensors(tensors, metadata)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read .safetensors of our format, or plain weights of a known architecture in .safetensors, .pth or .pt.

    PyTorch files are read with `weights_only=True`; besides tensors only `argparse.Namespace` is admitted.
    Raises ValueError when the file is missing, damaged, needs code to be executed, or is of no known architecture.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no weights at {path}: expected a .safetensors, .pth or .pt file; check the path")
    with path.open("rb") as stream:
        start = stream.read(9)
    metadata: Mapping[str, str] = {}
    if start.startswith(PICKLE_STARTS) and start[4:] != SAFETENSORS_START:
        tensors = _read_torch(path)
    else:
        tensors, metadata = _read_safetensors(path)
    if "architecture" in metadata:
        architecture, config = metadata["architecture"], _json_object(metadata, "config", path)
    else:
        architecture, config = _recognise(tensors, path)
    weights = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    provenance, adapter = (_json_object(metadata, key, path) for key in ("provenance", "adapter"))
    return Checkpoint(architecture, weights, config, provenance, adapter)


class _NoInitialisation(TorchFunctionMode):
    """Leaves tensors without values where a module would fill them with random numbers.

    On the meta device that would do nothing either, but import PyTorch's compiler, which takes longer than all else.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return (torch.empty if func is torch.randn else func)(*args, **kwargs)


def _without_weights(architecture: str, config: Mapping[str, Any]) -> nn.Module:
    """The network on the meta device: no memory and no random numbers for weights that are replaced."""
    with torch.device("meta"), _NoInitialisation():
        return build(architecture, **config)


def build_network(checkpoint: Checkpoint) -> nn.Module:
    """Network in evaluation mode that owns the checkpoint's tensors.

    Raises ValueError when the weights do not fit the architecture, or belong to an adapter.
    """
    if checkpoint.adapter:
        raise ValueError(
            f"these weights are an adapter of {checkpoint.adapter.get('base')!r}: expected a whole model; load them "
            "with their base model by segmenter.load_weights"
        )
    network = _without_weights(checkpoint.architecture, checkpoint.config)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    received = {name: tuple(value.shape) for name, value in checkpoint.weights.items()}
    differences = (
        ("missing", [name for name in expected if name not in received]),
        ("unknown", [name for name in received if name not in expected]),
        (
            "of another shape",
            [
                f"{name} {received[name]} instead of {shape}"
                for name, shape in expected.items()
                if received.get(name, shape) != shape
            ],
        ),
    )
    found = [
        f"{len(names)} {kind} ({', '.join(names[:2])}{', …' * (len(names) > 2)})"
        for kind, names in differences
        if names
    ]
    if found:
        raise ValueError(
            f"the weights do not fit {checkpoint.architecture!r}: expected {len(expected)} tensors, received "
            f"{len(received)}: {'; '.join(found)}; use a checkpoint of this architecture"
        )
    network.load_state_dict(checkpoint.weights, strict=True, assign=True)
    return network.eval()


def require_family(model: Checkpoint | str, name: str, *families: str) -> None:
    """Check that a checkpoint, or an architecture, called `name`, belongs to one of `families`.

    Raises ValueError that says what it is, what is needed, and which command takes it.
    """
    architecture = model if isinstance(model, str) else model.architecture
    family = FAMILIES.get(architecture)
    if family is None:
        raise ValueError(f"{name} is of architecture {architecture!r}: expected one of {', '.join(FAMILIES)}")
    if family not in families:
        raise ValueError(
            f"{name} is a model for {family} ({architecture!r}): expected one for {' or '.join(families)}; "
            f"use it with {COMMANDS[family]}"
        )


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    try:
        with safe_open(path, framework="pt") as archive:
            metadata = archive.metadata() or {}
            tensors = {name: archive.get_tensor(name).clone() for name in archive.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error
    if "crc32" in metadata and metadata["crc32"] != str(_crc32(tensors)):
        raise _damaged(path, "its tensors do not match their checksum")
    return tensors, metadata


def _read_torch(path: Path) -> dict[str, Tensor]:
    version = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if version < (2, 6):  # weights_only could be circumvented before (CVE-2025-32434)
        raise ValueError(
            f"{path.name} is a PyTorch file: expected PyTorch 2.6 or newer to read it safely, received "
            f"{torch.__version__}; update PyTorch, or use a .safetensors file"
        )
    try:
        # a stream, as the name's ending would tell torch.load how to read
        with torch.serialization.safe_globals([argparse.Namespace]), path.open("rb") as stream:
            content = torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way; every one of them is reported
        asked_for = re.search(r"GLOBAL ([\w.]+)", str(error))
        if asked_for is None:
            raise _damaged(path, error) from error
        raise ValueError(
            f"{path.name} was refused: expected plain weights, received a pickle that asks for {asked_for.group(1)}, "
            "so that reading it would run code; use a .safetensors file"
        ) from error
    while isinstance(content, dict) and (inner := next((key for key in WRAPPERS if key in content), None)):
        content = content[inner]
    if not isinstance(content, dict):
        raise ValueError(
            f"{path.name} holds a {type(content).__name__}: expected a dictionary of tensors; use a checkpoint file"
        )
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    return {name.removeprefix("module."): value for name, value in tensors.items()}


def _recognise(tensors: Mapping[str, Tensor], path: Path) -> tuple[str, dict[str, Any]]:
    """Architecture and configuration from the names and shapes of plain weights."""
    patches = tensors.get("image_encoder.patch_embed.proj.weight")
    if patches is not None and tuple(patches.shape) == (768, 1, 16, 16, 16):
        kinds = sum(name.startswith("prompt_encoder.point_embeddings.") for name in tensors)
        return "sam_med3d_vit_b_ori", {"point_kinds": kinds} if kinds > 2 else {}
    if "mask_decoder.matchers.0.embed.weight" in tensors:
        return "compact", {}
    if patches is not None and tuple(patches.shape[1:]) == (3, 16, 16) and len(patches) in SAM_VARIANTS:
        preprocessing = "medsam" if "medsam" in path.name.lower() else "sam"
        log.info("%s: SAM with the preprocessing of %s, by its name", path.name, preprocessing)
        return "sam", {"variant": SAM_VARIANTS[len(patches)], "preprocessing": preprocessing}
    raise ValueError(
        f"{path.name} holds {len(tensors)} unknown tensors: expected SAM-Med3D ViT-B (vit_b_ori), SAM ViT-B, -L or -H, "
        "or a model of this software; choose another file"
    )


def _json_object(metadata: Mapping[str, str], key: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(metadata.get(key, "{}"))
    except json.JSONDecodeError as error:
        raise _damaged(path, f"its {key} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise _damaged(path, f"its {key} is not a JSON object")
    return value


def _damaged(path: Path, reason: object) -> ValueError:
    line = str(reason).strip().split("\n")[0][:160] or type(reason).__name__
    return ValueError(
        f"{path.name} is damaged, incomplete or no weights file ({line}): expected readable weights; download it again"
    )


def _crc32(tensors: Mapping[str, Tensor]) -> int:
    """Running checksum over the tensors' bytes in the order of their names."""
    value = 0
    for name in sorted(tensors):
        value = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, value)
    return value
