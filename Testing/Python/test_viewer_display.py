"""The contrast in which a volume is shown first."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sam3dseg_viewer.display import AUTOMATIC, CONTRASTS, set_contrast, suggested_contrast


class Display:
    """A volume's display node."""

    def __init__(self):
        self.is_automatic, self.window = True, None

    def AutoWindowLevelOn(self):
        self.is_automatic = True

    def AutoWindowLevelOff(self):
        self.is_automatic = False

    def SetWindowLevel(self, width, center):
        self.window = (width, center)


def volume(lowest=0.0, highest=0.0):
    display = Display()
    image = SimpleNamespace(GetScalarRange=lambda: (lowest, highest))
    return SimpleNamespace(GetDisplayNode=lambda: display, GetImageData=lambda: image)


@pytest.mark.parametrize(
    ("lowest", "highest", "expected"),
    [
        (-1024, 3071, "CT soft tissue"),
        (-2048, 1500, "CT soft tissue"),
        (0, 255, AUTOMATIC),
        (-500, 500, AUTOMATIC),
        (0, 4095, AUTOMATIC),
        (-1000, -100, AUTOMATIC),
    ],
)
def test_only_what_looks_like_ct_is_shown_as_soft_tissue(lowest, highest, expected):
    assert suggested_contrast(volume(lowest, highest)) == expected


def test_every_contrast_can_be_set_and_left_again():
    shown = volume()
    windows = set()
    for name in CONTRASTS[1:]:
        set_contrast(shown, name)
        assert not shown.GetDisplayNode().is_automatic
        windows.add(shown.GetDisplayNode().window)
    assert len(windows) == len(CONTRASTS) - 1
    set_contrast(shown, AUTOMATIC)
    assert shown.GetDisplayNode().is_automatic


def test_another_name_is_refused():
    with pytest.raises(ValueError, match="expected a contrast from Automatic, .* received X-ray"):
        set_contrast(volume(), "X-ray")
