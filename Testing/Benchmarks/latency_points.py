"""Seconds and memory of one model in this process, beside the machine's matrix-product rate."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from process_memory import peak

ARCHITECTURES = {"embedded": "compact", "sam_med3d": "sam_med3d_vit_b_ori", "sam_vit_b": "sam"}
SIZE = {"cpu": 2048, "cuda": 8192}  # of the square matrices
RADIUS_MM = 20.0  # of the ball that is clicked, at 1 mm


def median_seconds(work: Callable[[], Any], repeats: int) -> float:
    """Median wall-clock seconds of `work` after one call to warm up."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def matrix_rate(repeats: int, device: str = "cpu", precision: str = "float32") -> float:
    """GFLOP per second of a product of two square matrices; those of int8 models are compared in float32."""
    import torch

    kind = {"int8": "float32"}.get(precision, precision)
    a, b = (torch.randn(SIZE[device], SIZE[device], device=device, dtype=getattr(torch, kind)) for _ in range(2))
    return 2 * SIZE[device] ** 3 / median_seconds(finished(lambda: a @ b, device), repeats) / 1e9


def finished(work: Callable[[], Any], device: str) -> Callable[[], Any]:
    """`work` that returns only when the device has done it."""
    import torch

    if device == "cpu":
        return work
    return lambda: (work(), torch.cuda.synchronize())


def load(model: str, device: str = "cpu", precision: str = "float32") -> tuple[Any, str]:
    """Segmenter, and where its weights come from. Raises ValueError for a precision that it cannot run in."""
    import torch

    from sam3dseg.checkpoint import Checkpoint
    from sam3dseg.models import build
    from sam3dseg.segmenter import WEIGHTS_FOLDER, load_segmenter, segmenter_of

    if model == "embedded" and any(WEIGHTS_FOLDER.glob("*.safetensors")):
        return load_segmenter("embedded", device=device, precision=precision), "embedded"
    torch.manual_seed(0)
    architecture = ARCHITECTURES[model]
    checkpoint = Checkpoint(architecture, build(architecture).state_dict())
    return segmenter_of(checkpoint, name=model, device=device, precision=precision), "random"


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


def operations(model: str) -> dict[str, float]:
    """Floating-point operations of the encoder and of a click, in thousand millions, counted in float32."""
    encode, click = network_work(load(model)[0])
    return {"encode_gflop": counted_gflop(encode), "click_gflop": counted_gflop(click)}


def measure_network(segmenter: Any, device: str, repeats: int) -> dict[str, float]:
    """The encoder and a click alone."""
    encode, click = (finished(work, device) for work in network_work(segmenter))
    return {"encode_s": median_seconds(encode, repeats), "click_s": median_seconds(click, 2 * repeats)}


def measure_session(segmenter: Any, shape: tuple[int, ...], repeats: int) -> dict[str, float]:
    """The first click on a ball in noise, and later clicks that need no new encoding."""
    import numpy as np

    from phantom import balls_in_noise, correction
    from sam3dseg import Click, Session

    rng = np.random.default_rng(0)
    center, spacing_mm = np.array(shape) // 2, (1.0, 1.0, 1.0)
    session = Session(segmenter)
    session.set_image(balls_in_noise(shape, center[None], RADIUS_MM), spacing_mm=spacing_mm)
    start = time.perf_counter()
    session.add(Click(tuple(center.tolist())))
    found = {"first_click_s": time.perf_counter() - start, "first_click_encodes": session.last_timing.encodes}
    later = []
    for number in range(2 * repeats):
        click = correction(number, center, RADIUS_MM, spacing_mm, rng)
        start = time.perf_counter()
        session.add(click)
        seconds = time.perf_counter() - start
        if session.last_timing.encodes == 0:
            later.append(seconds)
    return {**found, **({"later_click_s": statistics.median(later)} if later else {}), "later_clicks": len(later)}


def work(device: str, model: str, volume: str, precision: str, repeats: int) -> dict[str, Any]:
    """The figures of `model` on a volume such as "512x512x300"."""
    import torch

    try:
        segmenter, weights = load(model, device, precision)
    except ValueError as error:
        return {"skipped": str(error)}
    rates = [matrix_rate(repeats, device, precision)]
    row: dict[str, Any] = {"weights": weights, **measure_network(segmenter, device, repeats)}
    rates.append(matrix_rate(repeats, device, precision))
    shape = tuple(int(n) for n in volume.split("x"))
    if len(shape) == 3:
        row |= measure_session(segmenter, shape, repeats)
    row["peak_gb"] = (peak() if device == "cpu" else torch.cuda.max_memory_reserved()) / 1e9
    row["matrix_gflops"] = statistics.median([*rates, matrix_rate(repeats, device, precision)])
    return {**row, "device": segmenter.device_line}
