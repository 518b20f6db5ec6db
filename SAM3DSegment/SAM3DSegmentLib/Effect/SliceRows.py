"""Two rows for models that work slice by slice: the slices' orientation, and where masks are carried on to."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _


class SliceRows:
    """Hidden for all other models. actions.setSliceParameter(name, value) follows a choice."""

    def __init__(self, actions) -> None:
        self.orientationBox = _choice(
            (
                ("auto", _("Automatic")),
                ("axial", _("Axial")),
                ("coronal", _("Coronal")),
                ("sagittal", _("Sagittal")),
            ),
            _("Which slices the model looks at. Automatic: as acquired where that shows, else axial."),
            lambda value: actions.setSliceParameter("Orientation", value),
        )
        self.directionBox = _choice(
            (
                ("both", _("Both ways")),
                ("forward", _("Towards R, A, S")),
                ("backward", _("Towards L, P, I")),
                ("none", _("Clicked slices only")),
            ),
            _("Where the mask of a clicked slice is carried on to, until the structure ends."),
            lambda value: actions.setSliceParameter("Direction", value),
        )
        self._rows = []

    def addTo(self, scriptedEffect) -> None:
        for text, box in ((_("Slices:"), self.orientationBox), (_("Carry on:"), self.directionBox)):
            self._rows += [scriptedEffect.addLabeledOptionsWidget(text, box), box]

    def show(self, *, isVisible: bool, orientation: str, direction: str) -> None:
        for widget in self._rows:
            widget.setVisible(isVisible)
        for box, value in ((self.orientationBox, orientation), (self.directionBox, direction)):
            wasBlocked = box.blockSignals(True)
            box.setCurrentIndex(box.findData(value))
            box.blockSignals(wasBlocked)


def _choice(items, toolTip: str, onChosen):
    """A box of (value, text)."""
    box = qt.QComboBox()
    for value, text in items:
        box.addItem(text, value)
    box.toolTip = toolTip
    box.connect("activated(int)", lambda row: onChosen(box.itemData(row)))
    return box
