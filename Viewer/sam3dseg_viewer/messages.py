"""Errors as one readable line, and what the page says of files."""

from __future__ import annotations

EXPECTED_ERRORS = (ValueError, OSError, RuntimeError, MemoryError)


def one_line(error: BaseException) -> str:
    """What went wrong, without a traceback."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"cannot use {error.filename}: {error.strerror.lower()}"
    return " ".join(str(error).split()) or type(error).__name__
