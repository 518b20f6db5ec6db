"""Devices, precision and processes of a training, by Lightning Fabric."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision, Precision
from lightning_fabric.strategies import DDPStrategy, ModelParallelStrategy
from torch import Tensor, nn

from .configs.optim import ComputeConfig

MIXED = {"bf16": "bf16-mixed", "fp16": "16-mixed"}
UNSOUND_WINDOW = 32
BLOCKS = "image_encoder.blocks"  # what FSDP gathers and frees one after the other


class _AutocastOnly(MixedPrecision):
    """Mixed precision that leaves inputs and outputs as they are: targets in bfloat16 would lose their edges."""

    def convert_input(self, data: Any) -> Any:
        return data

    def convert_output(self, data: Any) -> Any:
        return data


def launch(config: ComputeConfig) -> Fabric:
    """Start the processes that were asked for; each goes on from here with its Fabric.

    Under torchrun or SLURM the processes are there already.  Raises ValueError for what this computer does not have.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    accelerator = _accelerator(config.accelerator)
    if config.precision == "fp16" and accelerator == "cpu":
        raise ValueError("compute.precision=fp16 needs a GPU: expected bf16 or float32 on a CPU")
    devices, nodes = config.devices, config.nodes
    if "TORCHELASTIC_RUN_ID" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    available = torch.cuda.device_count() if accelerator == "cuda" else 1 if accelerator == "mps" else devices
    if devices > available:
        raise ValueError(f"compute.devices={devices} asked for, but this computer has {available} of {accelerator}")
    with _quiet():
        fabric = Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy=_strategy(config.strategy, devices * nodes),
            plugins=_precision(config.precision, accelerator),
        )
        fabric.launch()
    if not fabric.is_global_zero:
        logging.getLogger(__package__).setLevel(logging.WARNING)
    return fabric


def check_window(fabric: Fabric, config: ComputeConfig, key: str, size: int) -> None:
    """Refuse windows with a grid of 2³ at stride 16, whose weight gradients PyTorch gets wrong on a CPU in bf16."""
    if size == UNSOUND_WINDOW and config.precision == "bf16" and fabric.device.type == "cpu":
        raise ValueError(f"{key}={size} needs compute.precision=float32 on a CPU: give that, or a larger window")


def is_sharded(fabric: Fabric) -> bool:
    """Whether every forward needs all processes."""
    return isinstance(fabric.strategy, ModelParallelStrategy)


def summed(fabric: Fabric, values: Tensor) -> Tensor:
    """The sum over all processes of a vector of float64, on the CPU."""
    on_device = values.to(fabric.device, torch.float32 if fabric.device.type == "mps" else None)
    total: Any = fabric.all_reduce(on_device, reduce_op="sum")
    return total.cpu()


def _accelerator(name: str) -> str:
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return "cuda" if cuda else "mps" if mps else "cpu"
    if not {"cpu": True, "cuda": cuda, "mps": mps}[name]:
        raise ValueError(f"compute.accelerator={name} is not available to this PyTorch ({torch.__version__}): use auto")
    return name


def _precision(name: str, accelerator: str) -> Precision:
    return _AutocastOnly(MIXED[name], accelerator) if name in MIXED else Precision()  # type: ignore[arg-type]


def _strategy(name: str, processes: int) -> Any:
    if name == "fsdp":
        return ModelParallelStrategy(_shard, data_parallel_size=processes, tensor_parallel_size=1)
    if name == "ddp" or processes > 1:
        return DDPStrategy(find_unused_parameters=True)  # which parts are run differs from click to click
    return "auto"


def _shard(module: nn.Module, mesh: Any) -> nn.Module:
    """Split the parameters over all processes, block by block (FSDP2; Zhao et al., arXiv 2304.11277)."""
    from torch.distributed.fsdp import fully_shard

    scalars = [name for name, value in module.named_parameters() if not value.ndim]
    if scalars:
        raise ValueError(f"compute.strategy=fsdp cannot split {scalars[0]}, a single number: use compute.strategy=ddp")
    mesh = mesh["data_parallel"]
    for name, part in module.named_modules():
        if name.endswith(BLOCKS):
            for block in part.children():
                fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh, reshard_after_forward=True)  # or validation would leave its weights in place
    return module


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Fabric's hints to its own users."""
    log = logging.getLogger("lightning_fabric")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning_fabric")
            yield
    finally:
        log.setLevel(level)
