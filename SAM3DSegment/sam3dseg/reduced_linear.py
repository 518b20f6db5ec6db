"""Linear layers that compute in fewer bits on a CPU, put in the place of a network's own.

Everything around them stays in float32: normalisations, softmax and the bias of attention need its digits, and make up
little of the work of a vision transformer.

N rows (tokens), C channels in, D channels out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST = 127.0  # of signed 8-bit numbers that are symmetric about 0
ROWS = 1024  # taken at a time: what lies between two steps stays in the cache
SMALLEST_SCALE = 1e-12  # a row of zeros has no scale of its own
VNNI_TESTS = ("_is_vnni_supported", "_is_cpu_support_avx512_vnni")  # by the age of PyTorch


class Int8Linear(nn.Module):
    """A linear layer in 8 bits: weights with a scale for each output channel, inputs with one for each row.

    Dynamic symmetric quantisation as in LLM.int8() (arXiv 2208.07339), without its outlier columns.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scale = weight.abs().amax(dim=1).clamp_min(SMALLEST_SCALE) / LARGEST  # (D,)
        self.weight: Tensor
        self.scale: Tensor
        self.bias: Tensor
        self.register_buffer("weight", (weight / scale[:, None]).round().to(torch.int8))  # (D, C)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", torch.zeros_like(scale) if linear.bias is None else linear.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) float32 -> (..., D) float32."""
        rows = x.flatten(0, -2)  # (N, C)
        result = rows.new_empty(len(rows), len(self.scale))
        for part, out in zip(rows.split(ROWS), result.split(ROWS), strict=True):
            largest = part.abs().amax(dim=1, keepdim=True).clamp_min(SMALLEST_SCALE)  # (n, 1)
            whole = (part * (LARGEST / largest)).round_().to(torch.int8)
            product = torch._int_mm(whole, self.weight.t())  # (n, D) int32
            torch.mul(product, largest / LARGEST, out=out)
            torch.addcmul(self.bias, out, self.scale, out=out)
        return result.unflatten(0, x.shape[:-1])


class BFloat16Linear(nn.Module):
    """A linear layer in bfloat16 between float32 inputs and outputs; its weights are kept in bfloat16."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight: Tensor
        self.bias: Tensor | None
        self.register_buffer("weight", linear.weight.detach().bfloat16())  # (D, C)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().bfloat16())

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) float32 -> (..., D) float32."""
        return F.linear(x.bfloat16(), self.weight, self.bias).float()


KINDS: dict[str, type[Int8Linear] | type[BFloat16Linear]] = {"int8": Int8Linear, "bfloat16": BFloat16Linear}


def reduce_linears(network: nn.Module, precision: str) -> int:
    """Put layers of `precision` in the place of the network's linear layers, for good; gives how many there were.

    precision: int8 or bfloat16; with another one nothing happens.
    """
    kind = KINDS.get(precision)
    if kind is None:
        return 0
    places = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear)
    ]
    for parent, name, child in places:
        setattr(parent, name, kind(child))
    return len(places)


def require_int8() -> None:
    """Raises ValueError where PyTorch has no fast and exact product of 8-bit matrices on this CPU.

    Without VNNI instructions it is a plain loop, and up to PyTorch 2.5 one that overflows.
    """
    is_fast = any(getattr(torch.cpu, test)() for test in VNNI_TESTS if hasattr(torch.cpu, test))
    if not (is_fast and _is_exact()):
        raise ValueError(
            f"precision 'int8' needs AVX-512 VNNI instructions: expected a CPU and a PyTorch that have them, received "
            f"PyTorch {torch.__version__} on {torch.backends.cpu.get_cpu_capability()}; use precision='auto'"
        )


def _is_exact() -> bool:
    """Whether a product that reaches the largest sums comes out right."""
    ends = torch.full((32, 64), int(LARGEST), dtype=torch.int8)
    try:
        product = torch._int_mm(ends, -ends.t())
    except (NotImplementedError, RuntimeError):
        return False
    return bool((product == -(int(LARGEST) ** 2) * ends.shape[1]).all())
