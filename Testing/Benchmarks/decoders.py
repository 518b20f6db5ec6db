"""What the volume decoder of SAM-3D costs as volumes grow, against plain self-attention over the same features.

    python Testing/Benchmarks/decoders.py [--repeats 3] [--json OUT] [--plot PNG WEBP]

Both take features of 256 channels at a sixteenth of the rows and columns of every slice, and give logits of three
classes at every voxel.  SAM-3D's cost should grow with the number of voxels N = H·W·D, that of self-attention, which
compares every position with every other, with N² as soon as the comparison dominates.  Each figure is from a process of
its own: seconds of the fastest forward pass, bytes at the peak beyond the weights and the features, and floating-point
operations as PyTorch counts them.  The exponents are slopes of straight lines through the logarithms, over the larger
half of the sizes.  Speed does not depend on the weights: they are random.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from process_memory import peak, reset_peak
from provenance import in_words, provenance, write

CHANNELS, CLASSES, PATCH = 256, 2, 16
SIZES = ((8, 6, 6), (8, 8, 8), (12, 9, 9), (16, 11, 11), (24, 13, 13), (32, 16, 16))  # features (D, H/16, W/16)
DECODERS = {"sam_3d": "SAM-3D", "attention": "self-attention"}
FIGURES = {"seconds": "seconds", "bytes": "peak memory, MiB", "flop": "GFLOP"}
UNITS = {"seconds": 1.0, "bytes": 2.0**20, "flop": 1e9}


class AttentionDecoder(nn.Module):
    """Pre-norm transformer blocks over all positions at once, then linear enlargement to voxels."""

    def __init__(self, *, dim: int = 256, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2 * depth))
        self.qkv = nn.ModuleList(nn.Linear(dim, 3 * dim) for _ in range(depth))
        self.proj = nn.ModuleList(nn.Linear(dim, dim) for _ in range(depth))
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)) for _ in range(depth)
        )
        self.head = nn.Linear(dim, CLASSES + 1)

    def forward(self, features: Tensor) -> Tensor:
        """(1, C, D, h, w) -> logits (1, K + 1, D, 16 h, 16 w)."""
        grid = features.shape[2:]
        x = features.flatten(2).transpose(1, 2)  # (1, N, C)
        for number, (qkv, proj, mlp) in enumerate(zip(self.qkv, self.proj, self.mlp, strict=True)):
            x = x + proj(self._attended(qkv(self.norms[2 * number](x))))
            x = x + mlp(self.norms[2 * number + 1](x))
        logits = self.head(x).transpose(1, 2).unflatten(2, grid)  # (1, K + 1, D, h, w)
        return F.interpolate(logits, scale_factor=(1, PATCH, PATCH), mode="trilinear", align_corners=False)

    def _attended(self, qkv: Tensor) -> Tensor:
        q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)  # (1, H, N, E) each
        weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(dim=-1)  # (1, H, N, N)
        return (weights @ v).transpose(1, 2).flatten(2)


def decoder_of(kind: str) -> nn.Module:
    """A decoder with random weights."""
    from sam3dseg.models.sam_3d import VolumeDecoder

    torch.manual_seed(0)
    return (VolumeDecoder(CHANNELS, CLASSES) if kind == "sam_3d" else AttentionDecoder(dim=CHANNELS)).eval()


def logits_of(decoder: nn.Module, features: Tensor) -> Tensor:
    """Logits at every voxel."""
    finest = getattr(decoder, "finest", None)
    return finest(features) if finest is not None else decoder(features)


@torch.inference_mode()
def measure(kind: str, size: tuple[int, int, int], repeats: int) -> dict[str, float]:
    """Figures of one decoder on random features (D, h, w)."""
    decoder = decoder_of(kind)
    logits_of(decoder, torch.randn(1, CHANNELS, 2, 2, 2))  # libraries set up their threads and buffers
    features = torch.randn(1, CHANNELS, *size)
    before = reset_peak()
    logits_of(decoder, features)
    used = peak() - before
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        logits_of(decoder, features)
        seconds.append(time.perf_counter() - start)
    return {"seconds": min(seconds), "bytes": float(max(used, 1)), "flop": operations(kind, size)}


def operations(kind: str, size: tuple[int, int, int]) -> float:
    """Floating-point operations of a forward pass, counted without computing it."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        logits_of(decoder_of(kind), torch.empty(1, CHANNELS, *size))
    return float(counter.get_total_flops())


def measure_apart(kind: str, size: tuple[int, int, int], repeats: int) -> dict[str, float]:
    """The same in a process of its own, whose peak is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (kind, size, repeats))


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of log(values) over log(sizes) for the larger half of the sizes, by least squares."""
    half = len(sizes) // 2 if len(sizes) > 3 else 0
    return float(np.polyfit(np.log(sizes[half:]), np.log(values[half:]), 1)[0])


def run(sizes: Sequence[tuple[int, int, int]], repeats: int) -> dict[str, Any]:
    """All figures, and the exponents."""
    voxels = [float(np.prod(size)) * PATCH**2 for size in sizes]
    result: dict[str, Any] = {"sizes": [list(size) for size in sizes], "voxels": voxels, "decoders": {}}
    result["threads"] = torch.get_num_threads()
    for kind in DECODERS:
        rows = [measure_apart(kind, size, repeats) for size in sizes]
        figures: dict[str, Any] = {name: [row[name] for row in rows] for name in FIGURES}
        figures["exponents"] = {name: exponent(voxels, figures[name]) for name in FIGURES}
        result["decoders"][kind] = figures
    return result


def table(result: dict[str, Any]) -> str:
    """Markdown of one run."""
    lines = [f"forward passes on {result['threads']} threads; features of {CHANNELS} channels\n"]
    lines += [
        "| voxels H·W·D | "
        + " | ".join(f"{name}: {unit}" for name in DECODERS.values() for unit in FIGURES.values())
        + " |"
    ]
    lines += ["|---" * (1 + len(DECODERS) * len(FIGURES)) + "|"]
    for number, voxels in enumerate(result["voxels"]):
        cells = [f"{result['decoders'][kind][name][number] / UNITS[name]:.3g}" for kind in DECODERS for name in FIGURES]
        lines.append(f"| {voxels:,.0f} | " + " | ".join(cells) + " |")
    slopes = [f"N^{result['decoders'][kind]['exponents'][name]:.2f}" for kind in DECODERS for name in FIGURES]
    return "\n".join([*lines, "| grows with | " + " | ".join(slopes) + " |"])


def draw(result: dict[str, Any], path: Path) -> None:
    """A picture of both curves per figure, on logarithmic axes, with their exponents."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, unit) in zip(figure.subplots(1, len(FIGURES)), FIGURES.items(), strict=True):
        for kind, color in zip(DECODERS, ("#1f77b4", "#d62728"), strict=True):
            figures = result["decoders"][kind]
            values = np.array(figures[name]) / UNITS[name]
            slope = figures["exponents"][name]
            axes.loglog(result["voxels"], values, "o-", color=color, label=f"{DECODERS[kind]}: N^{slope:.2f}")
        axes.set(xlabel="voxels N = H·W·D", title=unit)
        axes.grid(True, which="both", alpha=0.25)
        axes.legend()
    figure.savefig(path)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Cost of SAM-3D's decoder against self-attention, by volume size.")
    parser.add_argument("--repeats", type=int, default=3, help="timed passes, of which the fastest counts")
    parser.add_argument("--largest", type=int, default=len(SIZES), help="how many of the sizes, smallest first")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--plot", type=Path, nargs="+", default=[], help="also draw them into these PNG or WebP files")
    args = parser.parse_args(argv)
    if not 2 <= args.largest <= len(SIZES) or args.repeats < 1:
        print(f"decoders: expected --largest from 2 to {len(SIZES)} and --repeats from 1", file=sys.stderr)
        return 2
    result = {**provenance("decoders"), **run(SIZES[: args.largest], args.repeats)}
    print(f"{in_words(result)}\n\n{table(result)}")
    if args.json:
        write(args.json, result)
    for path in args.plot:
        draw(result, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
