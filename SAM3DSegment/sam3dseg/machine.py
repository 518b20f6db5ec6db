"""The processor and the versions that decide what a network costs and how it rounds."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

CPU_INFO = Path("/proc/cpuinfo")


def processor_name(device: str) -> str:
    """The name of a CPU and its vector instructions, or of a GPU: "AMD EPYC (AVX512)"."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    if device == "mps":
        return f"Apple GPU ({platform.mac_ver()[0]})"
    return f"{_cpu_name()} ({torch.backends.cpu.get_cpu_capability()})"


def _cpu_name() -> str:
    if CPU_INFO.exists():
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()
