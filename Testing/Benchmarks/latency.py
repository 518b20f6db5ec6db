"""Latency and memory of the models on this machine, each as a share of the machine's float32 matrix-product rate.

    python Testing/Benchmarks/latency.py [--models embedded sam_med3d sam_vit_b] [--repeats 9] [--json OUT]

Every row is measured in a process of its own: the matrix-product rate before and after, the image encoder and a click
(prompt encoder and mask decoder) alone, and, for models of volumes, later clicks through a `Session`, from the prompt
to the mask in the grid of the volume; for a model of slices, one slice of its own size.  Medians.  Speed and memory do
not depend on the weights: without a weights file, random ones are used.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
VOLUMES = {"embedded": ["128x128x128", "512x512x300"], "sam_med3d": ["128x128x128"], "sam_vit_b": ["1024x1024"]}
ARCHITECTURES = {"embedded": "compact", "sam_med3d": "sam_med3d_vit_b_ori", "sam_vit_b": "sam"}
SIZE = 2048  # of the square matrices


def median_seconds(work: Callable[[], Any], repeats: int) -> float:
    """Median wall-clock seconds of `work` after one call to warm up."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def matrix_rate(repeats: int) -> float:
    """GFLOP per second of a float32 product of two SIZE x SIZE matrices."""
    import torch

    a, b = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)
    return 2 * SIZE**3 / median_seconds(lambda: a @ b, repeats) / 1e9


def load(model: str) -> tuple[Any, str]:
    """Segmenter on the CPU, and where its weights come from."""
    import torch

    from sam3dseg.checkpoint import Checkpoint
    from sam3dseg.models import build
    from sam3dseg.segmenter import load_segmenter, segmenter_of

    if model == "embedded":
        try:
            return load_segmenter("embedded", device="cpu"), "embedded"
        except ValueError as error:
            print(f"random weights: {error}", file=sys.stderr)
    torch.manual_seed(0)
    architecture = ARCHITECTURES[model]
    checkpoint = Checkpoint(architecture, build(architecture).state_dict())
    return segmenter_of(checkpoint, name=model, device="cpu"), "random"


def counted_gflop(work: Callable[[], Any]) -> float:
    """Floating-point operations of one call, in thousand millions: convolutions and matrix products."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

    def onednn(x: Any, weight: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        return conv_flop_count(x, weight, out_shape)

    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mkldnn_convolution: onednn})
    with sdpa_kernel(SDPBackend.MATH), counter:  # fused kernels are not counted
        work()
    return counter.get_total_flops() / 1e9


def network_work(segmenter: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Encoding, and a click with the previous logits, without preprocessing and pasting."""
    import numpy as np

    rng = np.random.default_rng(0)
    labels = np.array([1, 1, 0])
    if hasattr(segmenter, "image_size"):
        picture = rng.normal(size=(3, *(segmenter.image_size,) * 2)).astype(np.float32)
        places = {"points": np.array([[640.0, 600], [300, 400], [900, 200]]), "labels": labels}
        embedding = segmenter.encode(picture)
        previous = segmenter.decode(embedding, **places).logits[0]
        return lambda: segmenter.encode(picture), lambda: segmenter.decode(embedding, **places, previous=previous)
    channels = 2 if segmenter.normalisation == "robust_rank" else 1
    window = rng.normal(size=(channels, *(segmenter.window_size,) * 3)).astype(np.float32)
    points = np.array([[64.0, 60, 70], [30, 40, 50], [90, 20, 10]])
    embedding = segmenter.encode(window)
    previous = segmenter.decode(embedding, points, labels, None).logits[0]
    return lambda: segmenter.encode(window), lambda: segmenter.decode(embedding, points, labels, previous)


def measure_network(segmenter: Any, repeats: int) -> dict[str, float]:
    """The encoder and a click alone."""
    encode, click = network_work(segmenter)
    return {
        "encode_gflop": counted_gflop(encode),
        "click_gflop": counted_gflop(click),
        "encode_s": median_seconds(encode, repeats),
        "click_s": median_seconds(click, 2 * repeats),
    }


def measure_session(segmenter: Any, shape: tuple[int, ...], repeats: int) -> dict[str, float]:
    """The first click on an ellipsoid in noise, and later clicks that need no new encoding."""
    import numpy as np

    from sam3dseg import Click, Session

    rng = np.random.default_rng(0)
    volume = np.empty(shape, np.int16)
    radius = 20.0
    plane = (np.arange(shape[0])[:, None] - shape[0] / 2) ** 2 + (np.arange(shape[1])[None] - shape[1] / 2) ** 2
    for k in range(shape[2]):  # slice by slice: the volume is the only large array
        inside = plane + (k - shape[2] / 2) ** 2 < radius**2
        volume[:, :, k] = rng.normal(0, 40, shape[:2]) + 300 * inside
    session = Session(segmenter)
    session.set_image(volume, spacing_mm=(1.0, 1.0, 1.0))
    center = np.array(shape) // 2
    start = time.perf_counter()
    session.add(Click(tuple(int(v) for v in center)))
    first = time.perf_counter() - start
    first_encodes = session.last_timing.encodes
    later = []
    for n in range(2 * repeats):
        is_foreground = n % 2 == 0
        distance = 10 if is_foreground else 30
        offset = rng.normal(size=3)
        place = center + np.round(distance * offset / np.linalg.norm(offset)).astype(int)
        start = time.perf_counter()
        session.add(Click(tuple(int(v) for v in place), is_foreground=is_foreground))
        seconds = time.perf_counter() - start
        if session.last_timing.encodes == 0:
            later.append(seconds)
    return {
        "first_click_s": first,
        "first_click_encodes": first_encodes,
        "later_click_s": statistics.median(later) if later else float("nan"),
        "later_clicks": len(later),
    }


def work(model: str, volume: str, repeats: int) -> dict[str, Any]:
    """One row: everything about `model` on a volume such as "512x512x300"."""
    import torch

    before = matrix_rate(repeats)
    segmenter, weights = load(model)
    row: dict[str, Any] = {"model": model, "volume": volume, "weights": weights, "device": segmenter.device_line}
    row |= measure_network(segmenter, repeats)
    between = matrix_rate(repeats)
    shape = tuple(int(n) for n in volume.split("x"))
    if len(shape) == 3:
        row |= measure_session(segmenter, shape, repeats)
    row["matrix_gflops"] = statistics.median([before, between, matrix_rate(repeats)])
    for stage in ("encode", "click"):
        row[f"{stage}_share"] = row[f"{stage}_gflop"] / row["matrix_gflops"] / row[f"{stage}_s"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    row["peak_gb"] = peak * (1 if sys.platform == "darwin" else 1024) / 1e9
    row["threads"] = torch.get_num_threads()
    row["torch"] = torch.__version__
    return row


def run_apart(model: str, volume: str, repeats: int) -> dict[str, Any]:
    """`work` in a fresh process, for a peak memory of its own."""
    command = [sys.executable, __file__, "--row", model, volume, "--repeats", str(repeats)]
    path = os.pathsep.join([str(REPOSITORY / "SAM3DSegment"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    return json.loads(done.stdout.splitlines()[-1])


def machine() -> str:
    """Processor name and number of usable cores."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.split(":")[1].strip()
            for line in info.read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ]
        name = models[0] if models else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores, load {os.getloadavg()[0]:.1f}"


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, one line per row."""
    heads = "model, volume, weights, encode, of limit, network click, of limit, first click, later click, peak memory"
    lines = [f"| {heads.replace(', ', ' | ')} |", "|---" * (heads.count(",") + 1) + "|"]
    for row in rows:
        cells = [
            row["model"],
            row["volume"],
            row["weights"],
            f"{row['encode_s']:.3f} s ({row['encode_gflop']:.1f} GFLOP)",
            f"{row['encode_share']:.0%}",
            f"{1e3 * row['click_s']:.0f} ms ({row['click_gflop']:.1f} GFLOP)",
            f"{row['click_share']:.0%}",
            f"{row['first_click_s']:.2f} s ({row['first_click_encodes']} encodes)" if "first_click_s" in row else "",
            f"{1e3 * row['later_click_s']:.0f} ms (n={row['later_clicks']})" if "later_click_s" in row else "",
            f"{row['peak_gb']:.2f} GB",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Latency and memory of the models on this machine.")
    parser.add_argument("--models", nargs="+", choices=sorted(VOLUMES), default=sorted(VOLUMES))
    parser.add_argument("--repeats", type=int, default=9, help="timed calls per median")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--row", nargs=2, metavar=("MODEL", "VOLUME"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(work(*arguments.row, arguments.repeats)))
        return
    print(f"machine: {machine()}")
    rows = [run_apart(model, volume, arguments.repeats) for model in arguments.models for volume in VOLUMES[model]]
    rates = ", ".join(f"{row['matrix_gflops']:.0f}" for row in rows)
    print(f"Python {platform.python_version()}, PyTorch {rows[0]['torch']}, {rows[0]['threads']} threads")
    print(f"limit: float32 {SIZE}² matrix products at {rates} GFLOP/s (one figure per row)\n")
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
