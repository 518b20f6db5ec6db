"""Work of a GPU, recorded once and played back: a click does not wait for hundreds of kernels to be launched."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

log = logging.getLogger(__name__)

Outputs = tuple[Tensor, ...]
Work = Callable[..., Outputs]
Record = Callable[[Work, Sequence[Tensor]], Work]

WARM_UP = 3  # calls before a recording: libraries choose their kernels and set up their buffers in them
DIFFERS = 1e-3  # largest difference from the work itself, in units of its largest value, that counts as the same
KEPT = 16  # recordings, one for every set of shapes


def recorded_on_cuda(work: Work, inputs: Sequence[Tensor]) -> Work:
    """A CUDA graph of `work` for inputs of these shapes. Raises RuntimeError for work that cannot be recorded."""
    fixed = [given.clone() for given in inputs]
    device = fixed[0].device
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            work(*fixed)
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = work(*fixed)

    def played(*given: Tensor) -> Outputs:
        for place, value in zip(fixed, given, strict=True):
            place.copy_(value)
        graph.replay()
        return tuple(output.clone() for output in outputs)

    return played


class RecordedCalls:
    """Does `work` on CUDA tensors from recordings, one for every set of shapes; elsewhere it is simply done.

    A recording is compared with the work itself before it is used; where it differs, or none can be made, all work is
    done without one from then on, and a warning says why.  Recordings read the weights where these lay when they were
    made: they are given up as soon as work comes from elsewhere.  Calls may come from several threads.
    """

    def __init__(self, work: Work, *, record: Record = recorded_on_cuda, device_type: str = "cuda") -> None:
        self._work, self._record, self._device_type = work, record, device_type
        self._recordings: dict[tuple, Work] = {}
        self._is_given_up = False
        self._playing = threading.Lock()

    def __call__(self, *inputs: Tensor) -> Outputs:
        """What `work` gives; the tensors belong to the caller."""
        if self._is_given_up or any(given.device.type != self._device_type for given in inputs):
            self._recordings.clear()
            return self._work(*inputs)
        key = tuple((tuple(given.shape), given.dtype, given.device) for given in inputs)
        with self._playing:
            recording = self._recordings.get(key)
            return self._first(key, inputs) if recording is None else recording(*inputs)

    def _first(self, key: tuple, inputs: Sequence[Tensor]) -> Outputs:
        """Do the work, and record it for the next time."""
        expected = self._work(*inputs)
        try:
            recording = self._record(self._work, inputs)
            worst = max(_difference(a, b) for a, b in zip(recording(*inputs), expected, strict=True))
        except RuntimeError as error:
            self._give_up(f"recording failed: {str(error).splitlines()[0]}")
            return expected
        if not worst <= DIFFERS:
            self._give_up(f"a recording differs by {worst:.2g}")
            return expected
        while len(self._recordings) >= KEPT:
            self._recordings.pop(next(iter(self._recordings)))
        self._recordings[key] = recording
        return expected

    def _give_up(self, reason: str) -> None:
        self._is_given_up = True
        self._recordings.clear()
        log.warning("going on without recorded GPU work: %s", reason)


def _difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference of two tensors of one shape, in units of the largest value."""
    found, expected = found.float(), expected.float()
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-6))
