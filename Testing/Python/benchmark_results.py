"""Made-up results of the benchmarks, as their JSON files hold them."""

from __future__ import annotations

from typing import Any


def head(name: str) -> dict[str, Any]:
    """The provenance of a run."""
    return {
        "benchmark": name,
        "date": "2031-05-06",
        "machine": "Z80, 1 cores",
        "load": 0.1,
        "threads": 1,
        "versions": {"Python": "3.12.1", "torch": "9.9"},
    }


def clicks() -> dict[str, Any]:
    """Two structures of two data sets, each by both methods."""
    dice = {
        ("hippocampus", "a", "embedded"): [0.5, 0.7, 0.8],
        ("hippocampus", "a", "Grow from seeds"): [0.1, 0.2, 0.1],
        ("flair_lesion", "b", "embedded"): [0.3, 0.25, 0.6],
        ("flair_lesion", "b", "Grow from seeds"): [0.1, 0.2, 0.2],
    }
    runs = [
        {"set_name": name, "structure": structure, "method": method, "dice": values, "seconds": 0.1}
        for (name, structure, method), values in dice.items()
    ]
    return {**head("clicks"), "model": "embedded", "runs": runs}


def latency(name: str = "latency") -> dict[str, Any]:
    """A model of volumes, one of slices, and a precision that was skipped."""
    volume = {
        "model": "embedded",
        "volume": "128x128x128",
        "precision": "float32",
        "encode_s": 0.125,
        "encode_share": 0.9,
        "click_s": 0.05,
        "first_click_s": 1.25,
        "later_click_s": 0.06,
        "peak_gb": 0.73,
        "matrix_gflops": 250.0,
        "bars": {"encode_s": 0.25, "later_click_s": 0.04},
    }
    picture = {
        "model": "sam_vit_b",
        "volume": "1024x1024",
        "precision": "float32",
        "encode_s": 4.2,
        "click_s": 0.032,
        "peak_gb": 1.25,
        "matrix_gflops": 270.0,
        "bars": {},
    }
    skipped = {"model": "sam_med3d", "volume": "128x128x128", "precision": "int8", "skipped": "unknown", "bars": {}}
    return {**head(name), "rows": [volume, picture, skipped]}


def growth() -> dict[str, Any]:
    """Two volumes, three clicks, two segments."""
    mib = 2**20
    series = {
        "volume": {"x": [64, 128], "first_s": [0.3, 0.36], "later_s": [0.05, 0.06], "peak": [600 * mib, 1200 * mib]},
        "clicks": {"x": [1, 2, 3], "seconds": [0.3, 0.05, 0.05], "peak": [600 * mib] * 3},
        "segments": {"x": [1, 2], "later_s": [0.05, 0.05], "peak": [600 * mib] * 2},
    }
    ratios = {
        "volume": {"first_s": 1.2, "later_s": 1.2, "peak": 2.0},
        "clicks": {"later_s": 1.0},
        "segments": {"later_s": 1.0},
    }
    return {**head("growth"), "base": 256, "repeats": 1, "series": series, "ratios": ratios}


def start() -> dict[str, Any]:
    """A start of two seconds."""
    parts = {"import_s": 1.0, "load_s": 0.5, "click_s": 0.5, "total_s": 2.0}
    return {**head("start"), "size": 128, "bar_s": 4.0, "first": parts, "warm": [parts] * 3, "median": parts}


def effect() -> dict[str, Any]:
    """A click in 200 ms."""
    spent = {"total": 200, "engine": 108, "write": 4, "surface": 75, "main": 20, "activation": 53}
    return {
        **head("effect"),
        "size": 256,
        "extent": [80, 80, 79],
        "bars_ms": {"total": 250, "main": 50},
        "ms": spent,
        "busy_ms": {"total": 96, "write": 3},
        "clicks": [[{}, {}]] * 15,
    }


def viewer() -> dict[str, Any]:
    """A click that is seen after 300 ms."""
    spent = {"frame": 120, "mask": 300, "surface": 380}
    return {**head("viewer"), "size": 256, "bars_ms": {"mask": 400}, "ms": spent, "clicks": [spent] * 15}


def throughput() -> dict[str, Any]:
    """Twice as fast as from files."""
    return {**head("throughput"), "ours": 20.0, "monai": 10.0, "monai_cached": 16.0, "waiting_share": 0.01}


def precision() -> dict[str, Any]:
    """Half the seconds at half the bits, on two volumes."""
    rows = []
    for volume, dice in (("ct", 0.998), ("mr", 0.97)):
        shared = {"model": "embedded", "weights": "embedded", "volume": volume, "click_s": 0.1}
        rows.append(
            {**shared, "precision": "float32", "encode_s": 0.9, "dice_smallest": 1.0, "dice_median": 1.0, "masks": 0}
        )
        rows.append(
            {
                **shared,
                "precision": "bfloat16",
                "encode_s": 0.4,
                "dice_smallest": dice,
                "dice_median": 0.999,
                "masks": 6,
            }
        )
    return {**head("precision"), "rows": rows}


def decoders() -> dict[str, Any]:
    """Linear against quadratic."""
    figures = {
        kind: {
            "seconds": [1.0, slope],
            "bytes": [2**20, slope * 2**20],
            "exponents": {"seconds": slope, "bytes": slope},
        }
        for kind, slope in (("sam_3d", 1.0), ("attention", 2.0))
    }
    return {**head("decoders"), "voxels": [1000.0, 2000.0], "decoders": figures}


ALL = {
    "clicks": clicks,
    "latency": latency,
    "growth": growth,
    "start": start,
    "effect": effect,
    "viewer": viewer,
    "throughput": throughput,
    "precision": precision,
    "decoders": decoders,
}
