"""Where and when figures were measured: the head that every benchmark puts into its JSON file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("sam3dseg", "torch", "numpy", "slicer-core", "vtk")


def machine() -> str:
    """Processor, with its vector instructions, and number of usable cores."""
    from sam3dseg.machine import processor_name

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{processor_name('cpu')}, {cores} cores"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the figures; those not installed are left out."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def provenance(benchmark: str) -> dict[str, Any]:
    """Name of the benchmark, date, machine, its load now, threads of PyTorch, versions."""
    import torch

    return {
        "benchmark": benchmark,
        "date": date.today().isoformat(),
        "machine": machine(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def in_words(head: Mapping[str, Any]) -> str:
    """One line: "AMD EPYC, 4 cores, 4 threads, load 0.2; Python 3.11.7, torch 2.13.0; 2026-11-21"."""
    load = "" if head.get("load") is None else f", load {head['load']}"
    packages = ", ".join(f"{name} {number}" for name, number in head["versions"].items())
    return f"{head['machine']}, {head['threads']} threads{load}; {packages}; {head['date']}"


def write(path: Path, result: Mapping[str, Any]) -> None:
    """Put a run, its provenance included, into a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
