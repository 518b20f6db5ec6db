"""How fast training samples are made, and how long a training waits for them.

    python Testing/Benchmarks/throughput.py [--data DATA] [--window 128] [--batch 2] [--workers 1] [--json OUT]

Three ways to augmented windows in one run, made by as many workers: this package from a prepared cache, and two plain
loops over MONAI's own transforms, from the files and after caching what is not random.  Then training steps of the
embedded architecture, fine-tuned by clicks: the share of the time that they wait for the next batch.  With no data
folder, made-up cases of the same size are used.  Speed does not depend on the weights: they are random.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from provenance import in_words, provenance, write

CASES = 40
SHAPE = (36, 50, 36)
RUNS = {"ours": "sam3dseg, cache", "monai": "MONAI, files", "monai_cached": "MONAI, cached in memory"}


def made_up(folder: Path, count: int) -> Path:
    """Cases (images and labels of two touching boxes) where there are no real ones."""
    import SimpleITK as sitk

    rng = np.random.default_rng(0)
    for index in range(count):
        labels = np.zeros(SHAPE, np.uint8)
        labels[8:18, 10:40, 10:24], labels[18:28, 10:40, 10:24] = 1, 2
        image = (100.0 * labels + rng.normal(300, 20, SHAPE)).astype(np.float32)
        for name, array in (("images", image), ("labels", labels)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(array.T), str(folder / name / f"case_{index:03d}.nii.gz"))
    return folder


def rate(batches: Iterator[Any], count: int) -> float:
    """Samples per second over `count` batches, after two to warm up."""
    for _ in range(2):
        next(batches)
    start, samples = time.perf_counter(), 0
    for _ in range(count):
        samples += len(next(batches)["image"])
    return samples / (time.perf_counter() - start)


def our_windows(cache_folder: Path, window: int) -> Any:
    """Training windows of the embedded architecture from a prepared cache."""
    from sam3dseg.segmenter import TRAITS
    from sam3dseg_training.configs.data import DataConfig
    from sam3dseg_training.data.cache import open_cache
    from sam3dseg_training.data.windows import CaseWindows

    cache = open_cache(cache_folder)
    return CaseWindows(cache, cache.keys, DataConfig(path=str(cache_folder), crop=window), TRAITS["compact"], 0)


def monai_batches(cache_folder: Path, args: argparse.Namespace, *, cached: bool) -> Iterator[Any]:
    """The usual loop: load, orient, resample, scale, crop around a label, flip, turn, change contrast, add noise."""
    import monai.data
    from monai.transforms import (
        Compose,
        EnsureChannelFirstd,
        LoadImaged,
        NormalizeIntensityd,
        Orientationd,
        RandAdjustContrastd,
        RandAffined,
        RandCropByPosNegLabeld,
        RandFlipd,
        RandGaussianNoised,
        Spacingd,
        SpatialPadd,
    )

    from sam3dseg_training.data.cache import open_cache

    both, size = ["image", "label"], (args.window,) * 3
    spacing_mm = our_windows(cache_folder, args.window).plan(0).window.spacing_mm
    turn = {"prob": 0.4, "rotate_range": (0.35,) * 3, "scale_range": (0.1,) * 3, "mode": ("bilinear", "nearest")}
    steps = Compose(
        [
            LoadImaged(both),
            EnsureChannelFirstd(both),
            Orientationd(both, axcodes="RAS", labels=None),
            Spacingd(both, pixdim=(spacing_mm,) * 3, mode=("bilinear", "nearest")),
            NormalizeIntensityd("image"),
            SpatialPadd(both, size),
            RandCropByPosNegLabeld(both, "label", size, pos=1, neg=0, num_samples=1),
            *(RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(3)),
            RandAffined(both, spatial_size=size, **turn),
            RandAdjustContrastd("image", prob=0.3),
            RandGaussianNoised("image", prob=0.3),
        ]
    )
    files = [{"image": record.image, "label": record.label} for record in open_cache(cache_folder).records]
    kind = monai.data.CacheDataset if cached else monai.data.Dataset
    dataset = kind(files, steps, **({"progress": False} if cached else {}))
    while True:
        yield from monai.data.DataLoader(
            dataset, batch_size=args.batch, shuffle=True, num_workers=args.workers, drop_last=True
        )


def training(windows: Any, args: argparse.Namespace) -> dict[str, float]:
    """Seconds per training step, and the share of them spent waiting for data; the first batch is not counted."""
    import torch

    from sam3dseg.models import build
    from sam3dseg_training.click_training import ClickObjective
    from sam3dseg_training.configs.clicks import ClickConfig
    from sam3dseg_training.configs.losses import LossConfig
    from sam3dseg_training.data.windows import loader

    torch.manual_seed(0)
    network = build("compact").to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    objective = ClickObjective(network, clicks=ClickConfig(), loss=LossConfig(), seed=0, stride=2)
    optimiser = torch.optim.AdamW(network.parameters())
    batches = loader(windows, args.batch, args.workers)
    batch, waited, start = next(batches), 0.0, time.perf_counter()
    for step in range(args.steps):
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = objective(batch, batch["number"].tolist(), draw=step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        begin = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - begin
    seconds = time.perf_counter() - start
    return {"step_s": seconds / args.steps, "waiting_share": waited / seconds}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All figures of a run."""
    from sam3dseg_training.configs.prepare import PrepareConfig
    from sam3dseg_training.data.prepare import prepare
    from sam3dseg_training.data.windows import loader

    with tempfile.TemporaryDirectory() as name:
        real = args.data / "hippocampus"
        source = real if real.is_dir() else made_up(Path(name) / "cases", CASES)
        cache = Path(name) / "cache"
        start = time.perf_counter()
        count = prepare(PrepareConfig(data=[str(source)], out=str(cache), jobs=args.jobs)).cases
        result: dict[str, Any] = {"data": source.name, "cases": count, "prepare_s": time.perf_counter() - start}
        windows = our_windows(cache, args.window)
        result["ours"] = rate(loader(windows, args.batch, args.workers), args.batches)
        for key, cached in (("monai", False), ("monai_cached", True)):
            result[key] = rate(monai_batches(cache, args, cached=cached), args.batches)
        return {**result, **training(windows, args)}


def table(result: dict[str, Any], args: argparse.Namespace) -> str:
    """Markdown of one run."""
    head = f"{result['cases']} cases of {result['data']}, windows {args.window}³, {args.batch} per batch"
    lines = [f"{head}, workers: {args.workers}; prepared in {result['prepare_s']:.1f} s\n"]
    lines += ["| samples made by | per second |", "|---|---|"]
    lines += [f"| {name} | {result[key]:.1f} |" for key, name in RUNS.items()]
    share = 100 * result["waiting_share"]
    return "\n".join([*lines, f"\nTraining step: {result['step_s']:.2f} s, of which {share:.1f} % waiting for data"])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Training samples per second, and the share of time waiting for them.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the shared data")
    parser.add_argument("--window", type=int, default=128, help="window size in voxels")
    parser.add_argument("--batch", type=int, default=2, help="windows per batch")
    parser.add_argument("--workers", type=int, default=1, help="processes that make samples")
    parser.add_argument("--jobs", type=int, default=0, help="processes that prepare (0: one per core)")
    parser.add_argument("--batches", type=int, default=20, help="timed batches per way of making them")
    parser.add_argument("--steps", type=int, default=12, help="timed training steps")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args(argv)
    logging.getLogger("monai").setLevel(logging.ERROR)
    try:
        result = measure(args)
    except (ValueError, OSError) as error:
        print(f"throughput: {error}", file=sys.stderr)
        return 2
    head = provenance("throughput")
    print(f"{in_words(head)}\n\n{table(result, args)}")
    if args.json:
        write(args.json, {**head, "window": args.window, "batch": args.batch, "workers": args.workers, **result})
    return 0


if __name__ == "__main__":
    sys.exit(main())
