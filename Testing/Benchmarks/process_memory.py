"""What this process holds in memory, now and at the most; on Linux the most can be counted anew."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path


def resident() -> int:
    """Bytes in memory now; where the system does not say, the most so far."""
    return _status("VmRSS") or _highest()


def peak() -> int:
    """Most bytes in memory since the start or the last `reset_peak`."""
    return _status("VmHWM") or _highest()


def reset_peak() -> int:
    """Count the peak from now on, and return where it stands; where the system cannot forget, that is the old peak."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak()


def _status(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(name + ":")), None)


def _highest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
