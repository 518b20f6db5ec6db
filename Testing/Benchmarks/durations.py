"""Spent time as people read it."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Two or three digits: "12.3 s", "1.2 s", "125 ms", "4.2 ms"."""
    milliseconds = 1e3 * seconds
    if round(milliseconds) >= 1000:
        return f"{seconds:.1f} s"
    return f"{milliseconds:.0f} ms" if round(milliseconds, 1) >= 10 else f"{milliseconds:.1f} ms"


def of_bar(spent_ms: float, bar_ms: float | None) -> tuple[str, str]:
    """Two cells of a table: the bar, and which part of it was spent; empty where there is no bar."""
    return ("", "") if bar_ms is None else (f"{bar_ms} ms", f"{spent_ms / bar_ms:.0%}")
