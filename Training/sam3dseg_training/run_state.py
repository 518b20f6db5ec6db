"""What a run keeps on disk to go on from: `last.pt` and `best.pt`, read without executing anything."""

from __future__ import annotations

import errno
import pickle
import random
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from sam3dseg.atomic import replacing

FORMAT = 2  # 1 had no number
LAST, BEST = "last.pt", "best.pt"
SGD_MOMENT = "momentum_buffer"


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write in one step: a stop at any moment leaves the previous or the new file, never half of one.

    Raises OSError when the disk is full or read-only; the previous file is then untouched.
    """
    with replacing(path) as temporary:
        try:
            torch.save({"format": FORMAT, **state}, temporary)
        except RuntimeError as error:  # how PyTorch's writer reports a full disk
            raise OSError(errno.ENOSPC, "no space left on the disk, or it failed") from error


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed while they saved have left."""
    for name in (LAST, BEST):
        for path in folder.glob(f".*.{name}"):
            path.unlink(missing_ok=True)


def read_state(path: Path) -> dict[str, Any]:
    """A state of any format; "average", "step" and "seconds" are in all of them.

    Raises ValueError when there is none, or when it cannot be read.
    """
    if not path.is_file():
        raise ValueError(f"expected a training state at {path}: train first, or check the path")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} is damaged or no training state: remove it to start the run anew") from error
    if not isinstance(state, dict) or not {"average", "step", "seconds"} <= state.keys():
        raise ValueError(f"{path} is no training state: expected what sam3dseg-train saved in a run folder")
    return state


def check_resumable(state: Mapping[str, Any], path: Path, parameters: Mapping[str, Tensor], frozen: int) -> None:
    """Raise ValueError when a state does not belong to these parameters (name -> tensor) and frozen weights."""
    if state.get("format") != FORMAT:
        raise ValueError(
            f"{path} was written by another version, whose trainings cannot be gone on with: start a new run from its "
            f"weights with init={path.parent} and another out="
        )
    saved = {name: tuple(value.shape) for name, value in state["network"].items()}
    here = {name: tuple(value.shape) for name, value in parameters.items()}
    wrong = sorted({name for name, _ in saved.items() ^ here.items()})
    if wrong:
        raise ValueError(
            f"{path} was trained with another architecture or tune: give the run another folder "
            f"({len(wrong)} tensors differ, such as {wrong[0]}: {saved.get(wrong[0])} there, {here.get(wrong[0])} here)"
        )
    if state["frozen"] != frozen:
        raise ValueError(f"{path} was trained on other base weights than model= names now: give the run another folder")


def check_optimiser(state: Mapping[str, Any], path: Path, kind: str) -> None:
    """Raise ValueError when the moments in a state are not those of the optimiser `kind`: adamw or sgd."""
    moments = next(iter(state["optimisers"][0].values()), None)
    if moments is not None and (SGD_MOMENT in moments) != (kind == "sgd"):
        raise ValueError(
            f"{path} was trained with another optimiser than optim.kind={kind}: give the one it began with"
        )


def frozen_checksum(module: nn.Module) -> int:
    """CRC-32 of all parameters that are not trained, 0 when all are."""
    value = 0
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            value = zlib.crc32(name.encode(), value)
            value = zlib.crc32(parameter.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data, value)
    return value


def whole(tensor: Tensor) -> Tensor:
    """A tensor on the CPU, put together where it is split over processes; all of them must ask."""
    tensor = tensor.detach()
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu()


@torch.no_grad()
def fill(target: Tensor, value: Tensor) -> None:
    """Copy a whole tensor into `target`, or this process's part of it."""
    value = value.to(target.device)
    if isinstance(target, DTensor):
        value = distribute_tensor(value, target.device_mesh, target.placements)
    target.copy_(value)


def optimiser_state(optimiser: torch.optim.Optimizer, names: Mapping[int, str]) -> dict[str, dict[str, Tensor]]:
    """Moments by parameter name; names: id of a parameter -> name."""
    return {
        names[id(parameter)]: {key: whole(value) for key, value in moments.items()}
        for parameter, moments in optimiser.state.items()
    }


@torch.no_grad()
def load_optimiser(
    optimiser: torch.optim.Optimizer, state: Mapping[str, Mapping[str, Tensor]], parameters: Mapping[str, nn.Parameter]
) -> None:
    """Take up what `optimiser_state` gave."""
    for name, moments in state.items():
        parameter = parameters[name]
        optimiser.state[parameter] = held = {}
        if "step" in moments:
            held["step"] = moments["step"].clone()  # it stays on the CPU
        for key in moments.keys() - {"step"}:
            held[key] = torch.empty_like(parameter)
            fill(held[key], moments[key])


def seed_all(seed: int) -> None:
    """Start all global random number generators of this process; seed is taken modulo 2³²."""
    torch.manual_seed(seed % 2**32)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def random_state() -> dict[str, Any]:
    """The states of all global random number generators of this process, as numbers and tensors."""
    held: Any = np.random.get_state()
    kind, keys, position, has_gauss, gauss = held
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(gauss)),
        "python": random.getstate(),
    }


def restore_random(state: Mapping[str, Any]) -> None:
    """Take up what `random_state` gave."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
