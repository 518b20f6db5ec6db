"""What the effect keeps: in the scene, on the segment editor's parameter node, and its defaults in the settings."""

from __future__ import annotations

import slicer

SETTINGS = "SAM3DSegment"
# Name -> default of a first start. The last value that the user chose becomes the default of new scenes.
DEFAULTS = {
    "Sign": "foreground",
    "ShowHint": 0,
    "ShowChange": 1,
    "Orientation": "auto",
    "Direction": "both",
    "Proposer": "",
}
KEPT = ("ShowHint", "ShowChange")


class EffectParameters:
    """Reads and writes "SAM3DSegment.<name>" of one editor."""

    def __init__(self, scriptedEffect) -> None:
        self._effect = scriptedEffect

    def setDefaults(self) -> None:
        for name, value in DEFAULTS.items():
            kept = slicer.util.settingsValue(f"{SETTINGS}/{name}", value, type(value)) if name in KEPT else value
            self._effect.setParameterDefault(name, kept)

    def text(self, name: str) -> str:
        """The value; its default where the scene has none (an editor that has no parameter node yet)."""
        if self._effect.parameterSetNode() is None or not self._effect.parameterDefined(name):
            return str(DEFAULTS[name])
        return self._effect.parameter(name)

    def isOn(self, name: str) -> bool:
        return self.text(name) == "1"

    def set(self, name: str, value: str | int) -> None:
        """Keep a value in the scene, and in the settings where it is a habit of the user."""
        self._effect.setParameter(name, value)
        if name in KEPT:
            slicer.app.userSettings().setValue(f"{SETTINGS}/{name}", value)

    @property
    def isForeground(self) -> bool:
        return self.text("Sign") == "foreground"
