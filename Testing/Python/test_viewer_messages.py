"""Errors are one readable line."""

from __future__ import annotations

import pytest

from sam3dseg_viewer.messages import one_line


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("expected a,\n  received b"), "expected a, received b"),
        (ValueError(), "ValueError"),
        (FileNotFoundError(2, "No such file or directory", "/a.nii"), "cannot use /a.nii: no such file or directory"),
        (OSError("the disk is full"), "the disk is full"),
    ],
)
def test_line(error, expected):
    assert one_line(error) == expected
