"""Promptable segmentation of 3D images: click a structure, get its mask.

The names below are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # PyTorch on Linux then asks for large pages: far fewer to clear

__version__ = "0.1.0"
__all__ = ["Box", "Click", "Session", "load_proposer", "load_segmenter"]

_HOMES = {
    "Box": "prompts",
    "Click": "prompts",
    "Session": "session",
    "load_proposer": "proposer",
    "load_segmenter": "segmenter",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
