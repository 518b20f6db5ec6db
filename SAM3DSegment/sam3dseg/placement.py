"""Where a network runs and in which precision, and what to try when memory runs out."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from .reduced_linear import require_int8

PRECISIONS = ("float32", "bfloat16", "float16", "int8")
ON = {"cpu": ("bfloat16", "int8"), "cuda": ("bfloat16", "float16"), "mps": ("float16",)}  # besides float32


@dataclass(frozen=True, slots=True)
class Placement:
    """A PyTorch device name and the precision of the image encoder there. reason: why that one, for people."""

    device: str
    precision: str = "float32"
    reason: str = ""


def placements_for(device: str, precision: str) -> tuple[Placement, ...]:
    """What to try, in this order: as asked, the same device in smaller precision, the CPU.

    device: auto (CUDA, else MPS, else CPU), cpu, cuda, cuda:N or mps; precision: auto (float32), float32, bfloat16,
    float16 or int8.
    Raises ValueError for an unknown device or precision, for a device this computer does not have, and for a precision
    that the device does not take.
    """
    device = _available(device)
    if precision not in ("auto", *PRECISIONS):
        raise ValueError(f"unknown precision {precision!r}: expected auto, {', '.join(PRECISIONS)}")
    kind = device.split(":")[0]
    refused = {"cpu": ("float16",), "cuda": ("int8",), "mps": ("int8",)}[kind]
    if precision in refused:
        where = "the CPU" if kind == "cpu" else f"the device {device!r}"
        raise ValueError(
            f"precision {precision!r} is not for {where}: expected float32 or {' or '.join(ON[kind])}; "
            "use precision='auto'"
        )
    if precision == "int8":
        require_int8()
    first = Placement(device, "float32" if precision == "auto" else precision)
    if device == "cpu":
        return (first,)
    small = "bfloat16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "float16"
    smaller = (Placement(device, small),) if first.precision == "float32" else ()
    return (first, *smaller, Placement("cpu"))


def describe(placement: Placement) -> str:
    """For people: "NVIDIA H100 (cuda:0), float32"."""
    device = torch.device(placement.device)
    if device.type == "cuda":
        where = f"{torch.cuda.get_device_name(device)} ({device})"
    elif device.type == "mps":
        where = "Apple GPU (mps)"
    else:
        threads = torch.get_num_threads()
        where = f"CPU ({threads} thread{'s' * (threads != 1)})"
    reason = f", {placement.reason}" if placement.reason else ""
    return f"{where}, {placement.precision}{reason}"


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an allocation was refused; MPS, the CPU and some CUDA libraries only say so in words."""
    words = ("out of memory", "ALLOC_FAILED", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(word in str(error) for word in words)


def _available(device: str) -> str:
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device == "auto":
        return "cuda" if cuda else "mps" if mps else "cpu"
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
        raise ValueError(f"unknown device {device!r}: expected auto, cpu, cuda, cuda:N or mps")
    present = {"cpu": True, "mps": mps, "cuda": cuda}[device.split(":")[0]]
    if present and device.startswith("cuda:"):
        present = int(device[5:]) < torch.cuda.device_count()
    if not present:
        raise ValueError(
            f"device {device!r} is not available to this PyTorch ({torch.__version__}): expected a device of this "
            "computer; use device='auto' or 'cpu'"
        )
    return device
