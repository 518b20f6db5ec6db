"""A network on the first of several placements that has enough memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from .placement import Placement, describe, is_out_of_memory
from .reduced_linear import reduce_linears

log = logging.getLogger(__name__)


class PlacedNetwork:
    """Runs work with a network, on the first of `placements` that has enough memory.

    On the CPU, linear layers of the image encoder are exchanged for those of the placement's precision; autocast serves
    other encoders and devices.  A device that runs out of memory is left for the next placement, for good: a warning is
    logged and `device_line` says so.  Work may run in several threads.
    Raises ValueError for int8 and a network whose encoder has no linear layers.
    """

    def __init__(
        self, network: nn.Module, placements: Sequence[Placement], *, memory_format: torch.memory_format | None = None
    ) -> None:
        self.network: Any = network.eval()
        self._memory_format = memory_format
        self._placements = tuple(placements)
        self._level, self._placed_level = 0, -1
        self._weight_bytes = 0
        self._is_exchanged = False
        self._moving = threading.Lock()
        self.attempt(lambda: None)

    @property
    def device(self) -> torch.device:
        return torch.device(self._placements[self._level].device)

    @property
    def precision(self) -> str:
        return self._placements[self._level].precision

    @property
    def device_line(self) -> str:
        """The device and precision in words, and what ran out of memory before."""
        line = describe(self._placements[self._level])
        tried = [describe(placement) for placement in self._placements[: self._level]]
        return f"{line} (out of memory on {', then on '.join(tried)})" if tried else line

    def memory_bytes(self) -> int:
        """Bytes on the device: all that is allocated there; on the CPU the weights."""
        device = self.device
        if device.type == "cuda":
            return torch.cuda.memory_allocated(device)
        if device.type == "mps":
            return torch.mps.current_allocated_memory()
        return self._weight_bytes

    def reduced_precision(self) -> torch.autocast:
        """Context in which the placement's precision is used where it is not float32."""
        reduced = self.precision != "float32" and not self._is_exchanged
        dtype = getattr(torch, self.precision) if reduced else torch.bfloat16
        return torch.autocast(self.device.type, dtype, enabled=reduced, cache_enabled=False)

    def attempt(self, work: Callable[[], Any]) -> Any:
        """Run `work`; when memory runs out, move on to the next placement and run it again.

        Raises RuntimeError when there is none left.
        """
        while True:
            level = self._level
            try:
                self._place()
                with torch.inference_mode():
                    return work()
            except RuntimeError as error:
                moved = level != self._level  # by another thread, under this one's hands
                if not moved and not is_out_of_memory(error):
                    raise
                if not moved and level + 1 == len(self._placements):
                    raise RuntimeError(
                        f"out of memory: tried {self.device_line}; close other programs or choose a smaller model"
                    ) from error
            self._fall_back(level)  # outside the handler, whose traceback keeps the failed tensors alive

    def _place(self) -> None:
        with self._moving:
            if self._placed_level != self._level:
                self.network.to(self.device)
                if self._memory_format is not None:
                    self.network.to(memory_format=self._memory_format)
                if self.device.type == "cpu":
                    self._exchange(self._placements[self._level].precision)
                weights = (*self.network.parameters(), *self.network.buffers())
                self._weight_bytes = sum(t.numel() * t.element_size() for t in weights)  # asked for at every request
                self._placed_level = self._level

    def _exchange(self, precision: str) -> None:
        count = reduce_linears(getattr(self.network, "image_encoder", nn.Module()), precision)
        self._is_exchanged |= count > 0
        if precision == "int8" and not self._is_exchanged:
            raise ValueError(
                "precision 'int8' is for encoders with linear layers, such as vision transformers: received a "
                "convolutional one; use bfloat16 or precision='auto'"
            )

    def _fall_back(self, failed: int) -> None:
        with self._moving:
            if failed != self._level:
                return
            self._level += 1
            before, after = (describe(self._placements[level]) for level in (failed, self._level))
        log.warning("out of memory on %s: going on with %s", before, after)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
